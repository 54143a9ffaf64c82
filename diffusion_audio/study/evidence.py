"""What an evaluation shows of runs: training curves, how all was made."""

from pathlib import Path

from diffusion_audio.report import plots
from diffusion_audio.report.content import Curves, Provenance
from diffusion_audio.runs import session
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.same_run import content_hash
from diffusion_audio.runs.workdir import provenance, read_config

CURVES = {
    "autoencoder": ("reconstruction", "kl"),
    "vocoder": ("mel", "mel_l1", "discriminator"),
    "conditioners": ("loss",),
    "denoiser": ("loss",),
    "diffusion": ("loss",),
    "classifier": ("loss",),
}


def curves(runs: dict[str, Path]) -> list[Curves]:
    """Training curves of runs, by name."""
    found = []
    for name, path in runs.items():
        rows = read_metrics(path)
        steps = max((row["step"] for row in rows), default=0)
        drawn = [(metric, plots.curve(rows, metric)) for metric in CURVES[name]]
        found.append(Curves(name, f"{steps} steps", drawn))
    return found


def made_by(
    runs: dict[str, Path], command: str | None, seconds: dict[str, float]
) -> Provenance:
    """How a report was made: runs by name, the command, seconds by what took them."""
    now = provenance()
    made = {name: session.sessions(path) for name, path in runs.items()}
    made_with = session.origin([*(s for every in made.values() for s in every), now])
    spent = {f"train {name}": session.seconds(every) for name, every in made.items()}
    return Provenance(
        command=command or now["command"],
        commit=made_with["commit"],
        dirty=made_with["uncommitted_changes"],
        device=made_with["device"],
        configs={name: content_hash(read_config(path)) for name, path in runs.items()},
        versions=made_with["versions"],
        seconds=spent | seconds,
    )
