"""The report that fits a run: of text to audio, or of a vocoder."""

from pathlib import Path
from typing import Any

from diffusion_audio.errors import UserError
from diffusion_audio.outputs import require_writable
from diffusion_audio.runs.workdir import read_config
from diffusion_audio.study.evidence import PAGE, RESULTS
from diffusion_audio.study.report import write_report
from diffusion_audio.study.vocoder_report import write_vocoder_report

TRAINED = ("denoiser", "vocoder")  # what a config has a group of


def evaluate(
    model: str | Path,
    out: str | Path,
    *,
    classifier: str | Path | None = None,
    vocoder: str | Path | None = None,
    captions: int = 144,
    overwrite: bool = False,
    **options: Any,
) -> Path:
    """Evaluates a run and writes ``results.json`` and ``report.html``.

    Args:
        model: work directory of a diffusion or vocoder run.
        out: directory to write to.
        classifier: work directory of the judge's run, for a diffusion run.
        vocoder: in place of a diffusion run's own.
        captions: how many to make sounds of, or clips to copy.
        overwrite: files that were not made here may be replaced; see `outputs`.
        **options: as of `write_report` and `write_vocoder_report`.

    Returns:
        The page.

    Raises:
        UserError: a run is missing or does not fit.
    """
    config = read_config(model)
    # Not by the name of its task, which may be of one's own.
    trained = [name for name in TRAINED if name in config]
    if not trained:
        raise UserError(
            f"{model} is a run of task {config['task']!r}; evaluate needs one that "
            f"trained a {' or '.join(TRAINED)}"
        )
    require_writable(
        [Path(out) / RESULTS, Path(out) / PAGE],
        inputs=[path for path in (model, classifier, vocoder) if path is not None],
        overwrite=overwrite,
    )
    if trained[0] == "denoiser":
        return write_report(
            model,
            out,
            classifier=classifier,
            vocoder=vocoder,
            captions=captions,
            **options,
        )
    for name, given in (("classifier", classifier), ("vocoder", vocoder)):
        if given is not None:
            raise UserError(
                f"--{name} is for diffusion runs, and {model} is a vocoder's; leave it "
                "out"
            )
    return write_vocoder_report(model, out, clips=captions, **options)
