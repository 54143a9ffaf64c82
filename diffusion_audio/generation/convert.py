"""Vocoders, networks of metrics and systems, from and to the formats of others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError
from diffusion_audio.generation.convert_system import convert_system
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.outputs import CHECKPOINTS, record, require_writable
from diffusion_audio.pretrained import folder, hifigan, metric_networks, published
from diffusion_audio.pretrained.hub import located
from diffusion_audio.pretrained.read_system import is_system
from diffusion_audio.runs.chosen import Chosen, choose
from diffusion_audio.runs.components import load_discriminators
from diffusion_audio.runs.read import read_part
from diffusion_audio.runs.workdir import CONFIG, read_config, require_part
from diffusion_audio.systems import vocoders
from diffusion_audio.systems.table import build


def convert(
    source: str | Path,
    out: str | Path,
    audio: str | None = None,
    *,
    cut: str | None = None,
    take: str | None = None,
    dtype: str | None = None,
    layout: str | None = None,
    revision: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes a folder of weights that a run can stand on and others can read.

    Args:
        source: a published vocoder, as `pretrained.published.read` takes it; a
            vocoder's run, or a folder that this wrote. Or a whole system: a published
            one, its id on the hub, a diffusion run; see `convert_system`, as for dtype
            and layout. Or a network of metrics; see `pretrained.metric_networks`. Of a
            run it may say which checkpoint (`runs.chosen`).
        out: the folder; see `pretrained.folder` and `pretrained.system_folder`.
        audio: of a published vocoder, what its config does not say of its mels.
        cut: of a published vocoder, where it cuts the sample that an odd stage makes
            too many, where that cannot be known.
        take: of a published vocoder or network of metrics, under which key of its file
            it lies, where several do.
        dtype: of a system's weights.
        layout: of a system's folder.
        revision: of what is on the hub.
        overwrite: files that were not made here may be replaced; see `outputs`.

    Returns:
        ``out``.

    Raises:
        UserError: something lacks, is damaged, hostile or of another model; or what is
            of vocoders was given for a system, or the other way round, or for a source
            that says it itself.
    """
    chosen = choose(source)
    source, out = located(chosen.place, revision), Path(out)
    of_system = {"dtype": dtype, "layout": layout}
    of_vocoder = {"audio": audio, "cut": cut, "take": take}
    if is_system(source) or _is_diffusion(source):
        _require_none(of_vocoder, f"{source} is a whole system", "vocoders")
        return convert_system(
            chosen._replace(place=source),
            out,
            dtype=dtype,
            layout=layout or "ours",
            overwrite=overwrite,
        )
    _require_none(of_system, f"{source} is no whole system", "such")
    if metric_networks.is_metric_network(source):
        del of_vocoder["take"]
        _require_none(of_vocoder, f"{source} is a network of metrics", "vocoders")
        return _convert_encoder(source, out, take, overwrite=overwrite)
    beside = source if source.is_dir() else source.parent
    require_writable(
        [out / name for name in folder.FILES],
        inputs=[source, *(beside / name for name in folder.FILES)],
        overwrite=overwrite,
    )
    ours = folder.is_weights(source) or (source / "checkpoints").is_dir()
    if ours:
        what = f"{source} is of this program and says for itself what it is"
        _require_none(of_vocoder, what, "published vocoders")
    if folder.is_weights(source):
        config = read_config(source)
        cfg, generator = folder.read_generator(source, config)
        params = {"vocoder": generator}
        if "discriminators" in config:
            params["discriminators"] = folder.read_discriminators(source, config)
        config["vocoder"]["weight_norm"] = cfg.weight_norm
    elif ours:
        config, params = _of_run(source, chosen.step)
    else:
        config, params = published.read(source, audio, cut=cut, take=take)
    for path in folder.write(out, config, params):
        record(path, "convert")
    return out


def _convert_encoder(
    source: Path, out: Path, take: str | None, *, overwrite: bool
) -> Path:
    require_writable(
        [out / name for name in metric_networks.FILES],
        inputs=[source, *(source / name for name in metric_networks.FILES)],
        overwrite=overwrite,
    )
    for path in metric_networks.write(out, metric_networks.read(source, take)):
        record(path, "convert")
    return out


def _require_none(given: Mapping[str, str | None], what: str, others: str) -> None:
    """Refuses options that are for other sources."""
    for name, value in given.items():
        if value is not None:
            raise UserError(f"{what}; --{name} is for {others}")


def _is_diffusion(source: Path) -> bool:
    """Whether a directory is a run that trained a denoiser."""
    run = (source / CHECKPOINTS).is_dir() and (source / CONFIG).is_file()
    return run and "denoiser" in read_config(source)


def _of_run(source: Path, step: int | None) -> tuple[dict[str, Any], dict[str, Params]]:
    """A folder's config and parameters, of a vocoder's run."""
    trained = read_config(source)
    require_part(trained, source, "vocoder", "only what trained one converts:")
    if (kind := trained["vocoder"].get("name")) != "hifigan":
        raise UserError(
            f"{source} trained a vocoder {kind!r}: only a 'hifigan' has a form that "
            "other programs read; a run can stand on the directory itself"
        )
    config = {name: trained[name] for name in ("task", "audio", "vocoder")}
    config["origin"] = {"run": str(Chosen(source, step))}
    part = build(vocoders.TABLE, trained["vocoder"], f"{source}: config.vocoder")
    shapes = abstract_params(part.network)
    params = {"vocoder": read_part(source, "vocoder", shapes, step=step)}
    discriminators = load_discriminators(source, step)
    if (
        discriminators and discriminators.keys() <= hifigan.PAPER.keys()
    ):  # others have no original names
        config["discriminators"] = trained["discriminators"]
        params["discriminators"] = discriminators
    return config, jax.tree.map(np.asarray, params)
