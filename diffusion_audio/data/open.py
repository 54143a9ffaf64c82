"""Opening a source of clips by its name, such as ``folder:DIR``."""

import os
from collections import Counter
from pathlib import Path

from diffusion_audio.audio.decoders import Decode, here
from diffusion_audio.data.source import Source
from diffusion_audio.errors import UserError, unknown


def open_source(
    spec: str,
    split: str = "train",
    sample_rate: int = 16_000,
    *,
    data_dir: str | Path | None = None,
    decode: Decode = here,
) -> Source:
    """Open a source by name.

    Args:
        spec: ``"tones"``, ``"folder:DIR"`` or ``"tfds:NAME[/CONFIG]"``.
        split: ``"train"``, ``"validation"``, or another that the source has.
        sample_rate: the rate its audio is given at, Hz.
        data_dir: where TFDS keeps prepared sets; its own default if None.
        decode: how files are decoded; a source without files has no use for it.
    """
    kind, rest = parse(spec)
    # Each kind imports its own library only when it is asked for.
    if kind == "tones":
        from diffusion_audio.data import tones_tfds

        return tones_tfds.open_tones(split, sample_rate, data_dir=data_dir)
    if kind == "folder":
        from diffusion_audio.data import folder

        return folder.open_folder(rest, split, sample_rate, decode)
    from diffusion_audio.data import public

    return public.open_public(rest, split, sample_rate, data_dir=data_dir)


def prepare(spec: str, *, data_dir: str | Path | None = None) -> dict[str, int]:
    """Make a source ready to be opened; the number of clips of each split.

    Tones are synthesised, a public set is downloaded, a folder has only its metadata
    read. The arguments are those of ``open_source``.
    """
    kind, rest = parse(spec)
    if kind == "tones":
        from diffusion_audio.data import tones_tfds

        splits = tones_tfds.prepare_tones(data_dir).info.splits
        return {name: info.num_examples for name, info in splits.items()}
    if kind == "folder":
        from diffusion_audio.data.listing import list_folder

        return dict(Counter(entry.split for entry in list_folder(rest).entries))
    from diffusion_audio.data import public

    return public.prepare_public(rest, data_dir)


def split_names(spec: str, *, data_dir: str | Path | None = None) -> tuple[str, ...]:
    """The splits that a source can be opened with; arguments as ``open_source``."""
    kind, rest = parse(spec)
    if kind == "tones":
        from diffusion_audio.data import tones

        return tuple(tones.SPLITS)
    if kind == "folder":
        from diffusion_audio.data.listing import list_folder

        return tuple(sorted({entry.split for entry in list_folder(rest).entries}))
    from diffusion_audio.data import public

    return public.split_names(rest, data_dir)


def parse(spec: str) -> tuple[str, str]:
    """The kind of a source and what it names.

    Raises:
        UserError: if there is no such kind, or it lacks a name.
    """
    kind, _, rest = spec.partition(":")
    if kind not in ("tones", "folder", "tfds") or (kind == "tones" and rest):
        raise unknown("data source", spec, ("tones", "folder:DIR", "tfds:NAME"))
    if kind != "tones" and not rest:
        raise UserError(f"data source {spec!r} names nothing after the colon")
    return kind, os.path.expanduser(rest) if kind == "folder" else rest
