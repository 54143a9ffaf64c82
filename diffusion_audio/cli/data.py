"""Checks or prepares a data set.

check     decodes every clip and names each bad one: missing, unreadable, truncated,
          empty, silent, clipped, non-finite, of an absurd rate or number of channels,
          or the same as one of another split. Exits with 1 if there is one. Of a folder
          it says how it was understood and what of it is not used.
prepare   makes the set ready: synthesises tones, downloads a public set.

A source is `tones`, `folder:DIR` or `tfds:NAME`. Sets of TFDS, tones among them, are
in the folder that the environment variable TFDS_DATA_DIR names, else in
~/tensorflow_datasets; training looks there too.
"""

from collections.abc import Mapping

from absl import flags

from diffusion_audio.cli import options
from diffusion_audio.errors import UserError, unknown

USAGE = "diffusion-audio data check|prepare SOURCE"
ACTIONS = ("check", "prepare")


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    action, *sources = options.parse(
        values, argv, usage=USAGE, about=__doc__, positional="action"
    )
    if action not in ACTIONS:
        raise unknown("action of data", action, ACTIONS)
    if len(sources) != 1:
        raise UserError(f"expected one SOURCE, not {len(sources)}; usage: {USAGE}")
    if action == "prepare":
        return _prepare(sources[0])
    return _check(sources[0])


def _prepare(source: str) -> int:
    from diffusion_audio.data.open import prepare

    print(f"{source} is ready: {_sizes(prepare(source))}")
    return 0


def _check(source: str) -> int:
    from diffusion_audio.data.check import check
    from diffusion_audio.progress import ProgressView

    view: ProgressView | None = None

    def progress(done: int, total: int) -> None:
        nonlocal view
        view = view or ProgressView("check", total)
        view.update(done)

    try:
        report = check(source, progress=progress)
    finally:
        if view is not None:
            view.close()
    for note in report.notes:
        print(f"note: {note}")
    for finding in report.findings:
        print(f"{finding.file}: {finding.kind}: {finding.detail}")
    bad = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
    held = _captions(report.captions, report.uncaptioned)
    print(f"{source}: {_sizes(report.clips)}, {held}; {bad or 'none is bad'}")
    return int(bool(report.findings))


def _captions(captions: Mapping[str, int], uncaptioned: int) -> str:
    if not captions:
        return "no captions"
    without = f", {_plural(uncaptioned, 'clip')} without" if uncaptioned else ""
    return _sizes(captions, "caption") + without


def _sizes(counts: Mapping[str, int], thing: str = "clip") -> str:
    splits = ", ".join(f"{count} {split}" for split, count in counts.items())
    return f"{_plural(sum(counts.values()), thing)} ({splits})"


def _plural(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
