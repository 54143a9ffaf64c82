"""The page of an experiment: question, verdict, numbers, sounds, where all is from."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from diffusion_audio.evaluation.measures import about
from diffusion_audio.runs import session
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.workdir import read_json
from diffusion_audio.study import explain, plots, spec, wording
from diffusion_audio.study.execute import REAL, WAVES
from diffusion_audio.study.identity import FINISHED, NUMBERS
from diffusion_audio.study.page import (
    Clip,
    Column,
    Estimate,
    Example,
    Provenance,
    Row,
    Table,
    paired,
    write_page,
)
from diffusion_audio.study.plan import Plan
from diffusion_audio.study.results import Results
from diffusion_audio.study.sources import sources
from diffusion_audio.study.spec import Published


class Curves(NamedTuple):
    """Training curves of a system: one picture a seed."""

    name: str
    note: str
    curves: list[tuple[str, Markup | None]]


@dataclasses.dataclass(frozen=True)
class Study:
    """What the page of an experiment shows.

    Attributes:
        name: of the experiment.
        question: its heading.
        baseline: what differences are to.
        verdicts: sentences.
        tables: values and differences.
        plots: (title, picture) of differences.
        published: numbers of others.
        examples: captions with every system's clip.
        sample_rate: Hz.
        runs: training curves.
        provenance: where the numbers come from.
    """

    name: str
    question: str
    baseline: str
    verdicts: tuple[str, ...]
    tables: tuple[Table, ...]
    plots: tuple[tuple[str, Markup], ...]
    published: tuple[Published, ...]
    examples: tuple[Example, ...]
    sample_rate: int
    runs: tuple[Curves, ...]
    provenance: Provenance


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
    places = sources(results, plan, runs)
    examples, rate = _examples(plan, places)
    study = Study(
        name=results.name,
        question=plan.experiment.question,
        baseline=results.systems[0],
        verdicts=tuple(wording.verdicts(results)),
        tables=tuple(tables(results)),
        plots=tuple(differences(results)),
        published=plan.experiment.published,
        examples=examples,
        sample_rate=rate,
        runs=tuple(_curves(plan, places)),
        provenance=_provenance(plan, results, places),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    return render(study, out)


def render(study: Study, path: Path) -> Path:
    """Writes a study as one self-contained HTML file."""
    waves = [clip.audio for example in study.examples for clip in example.clips]
    pictures = plots.spectrograms(waves, study.sample_rate)
    return write_page(
        "experiment.html",
        path,
        script="blind.js",
        study=study,
        examples=paired(study.examples, iter(pictures)),
    )


def tables(results: Results) -> list[Table]:
    """Values and differences; shares and other units apart."""
    made = []
    for percent in (True, False):
        metrics = [m for m in results.metrics if about(m).percent == percent]
        if not metrics:
            continue
        unit = "shares" if percent else "other measures"
        made.append(
            Table(
                f"Values: {unit}",
                tuple(Column(system) for system in results.systems),
                tuple(_values(results, metric) for metric in metrics),
                "Mean over training seeds and prompts with its 95 % interval."
                + wording.seeds_only(results, metrics),
                percent=percent,
                mark=False,
            )
        )
        made.append(
            Table(
                f"Differences to {results.systems[0]}: {unit}",
                tuple(Column(system) for system in results.systems[1:]),
                tuple(_contrasts(results, metric) for metric in metrics),
                "Paired by training seed and prompt; intervals at the level of Holm's "
                "correction over the variants." + wording.seeds_only(results, metrics),
                percent=percent,
                mark=False,
                signed=True,
            )
        )
    return made


def _values(results: Results, metric: str) -> Row:
    cells = tuple(
        Estimate(*mean, story=explain.explain(results, metric, system))
        for system, mean in results.summaries(metric).items()
    )
    return Row(about(metric).title, cells, results.metrics[metric])


def _contrasts(results: Results, metric: str) -> Row:
    cells = []
    for system, contrast in results.contrasts(metric).items():
        sentence = wording.verdict(results, metric, system, contrast)
        story = f"{sentence}\n\n{explain.explain(results, metric, system)}"
        ends = contrast.low, contrast.high
        cells.append(Estimate(contrast.difference, *ends, contrast.verdict, story))
    return Row(about(metric).title, tuple(cells), results.metrics[metric])


def differences(results: Results) -> list[tuple[str, Markup]]:
    """A picture a metric: every variant's difference to the baseline."""
    pictures = []
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
        pictures.append((title, plots.forest(lines, title)))
    return pictures


def _examples(
    plan: Plan, places: Mapping[str, Path]
) -> tuple[tuple[Example, ...], int]:
    """Prompts spread evenly, each by every system of the first seed."""
    seed = plan.experiment.seeds[0]
    cells = [cell for cell in plan.cells if cell.seed == seed]
    waves = {cell.system: _waves(places[cell.id] / WAVES)[0] for cell in cells}
    first = places[cells[0].id]
    real, about = _waves(first / REAL), read_json(first / NUMBERS)
    captions = about["captions"]
    count = min(plan.experiment.examples, len(captions))
    chosen = np.linspace(0, len(captions) - 1, count).round().astype(int)
    examples = tuple(
        Example(
            captions[i],
            (
                Clip(spec.REAL_CLIPS, real[i]),
                *(Clip(system, sounds[i]) for system, sounds in waves.items()),
            ),
        )
        for i in chosen
    )
    return examples, about["sample_rate"]


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
    spent = {}
    every = [read_json(places[cell.id] / NUMBERS) for cell in plan.cells]
    for training in plan.trainings():
        sessions = read_json(places[training.id] / FINISHED)["sessions"]
        spent[f"train {training.name}"] = session.seconds(sessions)
        every += sessions
    made_with = session.origin(every)
    spent["listen"] = sum(record["seconds"]["listen"] for record in results.runs)
    return Provenance(
        command=f"diffusion-audio experiment run experiments/{results.name}",
        commit=made_with["commit"],
        dirty=made_with["uncommitted_changes"],
        device=made_with["device"],
        configs=_hashes(results),
        versions=made_with["versions"],
        seconds=spent,
        other={f"Protocol of {m}": p.hash for m, p in results.protocols.items()},
    )


def _hashes(results: Results) -> Mapping[str, str]:
    return {f"{r['system']}, seed {r['seed']}": r["config_hash"] for r in results.runs}
