"""What every page shows: values with their origin, training curves, provenance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffusion_audio.evaluation.measures import about
from diffusion_audio.report import plots
from diffusion_audio.report.content import Column, Curves, Estimate, Provenance, Row
from diffusion_audio.runs import session
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.study import explain
from diffusion_audio.study.results import Results

CURVES = {
    "autoencoder": ("reconstruction", "kl"),
    "vocoder": ("mel", "mel_l1", "discriminator"),
    "conditioners": ("loss",),
    "denoiser": ("loss",),
    "diffusion": ("loss",),
    "classifier": ("loss",),
}


def training_curves(runs: dict[str, Path]) -> list[Curves]:
    """Training curves of runs, by name."""
    found = []
    for name, path in runs.items():
        rows = read_metrics(path)
        steps = max((row["step"] for row in rows), default=0)
        drawn = [(metric, plots.curve(rows, metric)) for metric in CURVES[name]]
        found.append(Curves(name, f"{steps} steps", drawn))
    return found


def provenance_of(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    more: Sequence[Mapping[str, Any]],
    **known: Any,
) -> Provenance:
    """How the numbers of a page were made.

    Args:
        runs: sessions of each training run, by name.
        more: other records of `workdir.provenance`, of what measured.
        known: fields of `Provenance`; ``seconds`` go after those of training.
    """
    made_with = session.origin([*(s for made in runs.values() for s in made), *more])
    spent = {f"train {name}": session.seconds(made) for name, made in runs.items()}
    return Provenance(
        commit=made_with["commit"],
        dirty=made_with["uncommitted_changes"],
        device=made_with["device"],
        versions=made_with["versions"],
        **known | {"seconds": spent | known["seconds"]},
    )


def values_row(
    results: Results,
    metric: str,
    columns: Sequence[Column],
    more: tuple[Estimate | None, ...] = (),
) -> Row:
    """A metric of systems, by the names of their columns, and more cells after them."""
    found = results.summaries(metric)
    cells = []
    for column in columns:
        origin = explain.explain(results, metric, column.name)
        mean = found[column.name]
        if results.values(metric, column.name).size == 1:  # one number has no interval
            cells.append(Estimate(mean.value, origin=origin))
        else:
            cells.append(Estimate(*mean, origin=origin))
    return Row(about(metric).title, (*cells, *more), results.metrics[metric])
