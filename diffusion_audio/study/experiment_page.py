"""The page of an experiment: question, verdict, numbers, sounds, where all is from."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from markupsafe import Markup

from diffusion_audio.data.source import evenly
from diffusion_audio.evaluation.measures import about
from diffusion_audio.report import plots
from diffusion_audio.report.content import (
    Blind,
    Clip,
    Column,
    Curves,
    Estimate,
    Example,
    Listen,
    Measured,
    Provenance,
    Published,
    Report,
    Row,
    Table,
    Training,
)
from diffusion_audio.report.page import render
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.workdir import read_json
from diffusion_audio.study import explain, spec, wording
from diffusion_audio.study.execute import REAL, WAVES
from diffusion_audio.study.identity import FINISHED, NUMBERS
from diffusion_audio.study.plan import Plan
from diffusion_audio.study.recorded_runs import recorded_runs
from diffusion_audio.study.results import Results
from diffusion_audio.study.sections import provenance_of, values_row


def write(plan: Plan, results: Results, runs: Path, out: Path) -> Path:
    """Writes the page of an experiment.

    Args:
        plan: of its spec.
        results: the committed numbers.
        runs: where its runs are: sounds and curves come from there.
        out: the file.

    Raises:
        UserError: a run is missing, or the numbers are of other runs.
    """
    places = recorded_runs(results, plan, runs)
    out.parent.mkdir(parents=True, exist_ok=True)
    question, published = plan.experiment.question, plan.experiment.published
    return render(
        report(
            results,
            question,
            published,
            listen=_listen(plan, places),
            runs=_curves(plan, places),
            provenance=_provenance(plan, results, places),
        ),
        out,
    )


def report(
    results: Results,
    question: str,
    published: tuple[Published, ...],
    *,
    listen: Listen,
    runs: list[Curves],
    provenance: Provenance,
) -> Report:
    """Question, verdicts, numbers, sounds, where all is from."""
    measured = Measured(
        tuple(_tables(results)),
        tuple(_differences(results)),
        results.systems[0],
        published,
    )
    sounds = (listen, Blind(results.name)) if listen.examples else ()
    return Report(
        question,
        (measured, *sounds, Training(tuple(runs)), provenance),
        verdicts=tuple(wording.verdicts(results)),
    )


def _listen(plan: Plan, places: Mapping[str, Path]) -> Listen:
    """Prompts spread evenly, each by every system of the first seed."""
    seed = plan.experiment.seeds[0]
    cells = [cell for cell in plan.cells if cell.seed == seed]
    waves = {cell.system: _waves(places[cell.id] / WAVES)[0] for cell in cells}
    first = places[cells[0].id]
    real, made_of = _waves(first / REAL), read_json(first / NUMBERS)
    captions = made_of["captions"]
    examples = tuple(
        Example(
            captions[i],
            (
                Clip(spec.REAL_CLIPS, real[i]),
                *(Clip(system, sounds[i]) for system, sounds in waves.items()),
            ),
        )
        for i in evenly(len(captions), plan.experiment.examples)
    )
    note = "Every system under one caption, from the same noise and the same training "
    return Listen(examples, made_of["sample_rate"], f"{note}seed.")


def _waves(path: Path) -> np.ndarray:
    """Stored waves as floats, full scale 1."""
    return np.load(path, allow_pickle=False).astype(np.float32) / 32767


def _curves(plan: Plan, places: Mapping[str, Path]) -> list[Curves]:
    systems: dict[str, list[str]] = {}
    for cell in plan.cells:
        if cell.seed == plan.experiment.seeds[0]:
            systems.setdefault(cell.training.id, []).append(cell.system)
    made = []
    for names in systems.values():
        cells = [cell for cell in plan.cells if cell.system == names[0]]
        curves = [
            (
                f"loss, seed {cell.seed}",
                plots.curve(read_metrics(places[cell.training.id]), "loss"),
            )
            for cell in cells
        ]
        steps = f"{cells[0].training.steps} steps"
        made.append(Curves(", ".join(names), steps, curves))
    return made


def _provenance(plan: Plan, results: Results, places: Mapping[str, Path]) -> Provenance:
    return provenance_of(
        {
            training.name: read_json(places[training.id] / FINISHED)["sessions"]
            for training in plan.trainings()
        },
        [read_json(places[cell.id] / NUMBERS) for cell in plan.cells],
        command=f"diffusion-audio experiment run experiments/{results.name}",
        configs={
            f"{r['system']}, seed {r['seed']}": r["config_hash"] for r in results.runs
        },
        seconds={"measure": sum(r["seconds"]["listen"] for r in results.runs)},
        other={f"Protocol of {m}": p.hash for m, p in results.protocols.items()},
    )


def _tables(results: Results) -> list[Table]:
    """Values and differences; shares and other units apart."""
    made = []
    columns = tuple(Column(system) for system in results.systems)
    for percent in (True, False):
        metrics = [m for m in results.metrics if about(m).percent == percent]
        if not metrics:
            continue
        unit = "shares" if percent else "other measures"
        made.append(
            Table(
                f"Values: {unit}",
                columns,
                tuple(values_row(results, metric, columns) for metric in metrics),
                "Mean over training seeds and prompts with its 95 % interval."
                + wording.seeds_only(results, metrics),
                percent=percent,
                mark=False,
            )
        )
        made.append(
            Table(
                f"Differences to {results.systems[0]}: {unit}",
                columns[1:],
                tuple(_contrasts(results, metric) for metric in metrics),
                "Paired by training seed and prompt; intervals at the level of Holm's "
                "correction over the variants." + wording.seeds_only(results, metrics),
                percent=percent,
                mark=False,
                signed=True,
            )
        )
    return made


def _contrasts(results: Results, metric: str) -> Row:
    cells = []
    for system, contrast in results.contrasts(metric).items():
        sentence = wording.verdict(results, metric, system, contrast)
        origin = f"{sentence}\n\n{explain.explain(results, metric, system)}"
        ends = contrast.low, contrast.high
        cells.append(Estimate(contrast.difference, *ends, contrast.verdict, origin))
    return Row(about(metric).title, tuple(cells), results.metrics[metric])


def _differences(results: Results) -> list[tuple[str, Markup]]:
    """A figure for each metric: every variant's difference to the baseline."""
    figures = []
    for metric in results.metrics:
        baseline = results.values(metric, results.systems[0]).mean(1)
        scale = 100.0 if about(metric).percent else 1.0
        lines = {
            name: plots.Line(
                scale * contrast.low,
                scale * contrast.high,
                scale * (results.values(metric, name).mean(1) - baseline),
            )
            for name, contrast in results.contrasts(metric).items()
        }
        unit = " (points of %)" if about(metric).percent else ""
        better = f", {results.metrics[metric]} is better"
        title = f"{about(metric).title}{unit}{better}"
        figures.append((title, plots.forest(lines, title)))
    return figures
