"""Where a number of an experiment comes from, and making it again."""

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from diffusion_audio.errors import UserError, unknown
from diffusion_audio.evaluation.measures import about
from diffusion_audio.progress import ProgressView
from diffusion_audio.study import wording
from diffusion_audio.study.execute import measure_cell
from diffusion_audio.study.identity import check
from diffusion_audio.study.plan import Cell, Plan, Training
from diffusion_audio.study.results import DIGITS, Results
from diffusion_audio.study.statistics import spread_of

TOLERANCE = 10.0 ** (1 - DIGITS)  # relative; what rounding in the file may cost


def explain(results: Results, metric: str, system: str) -> str:
    """The story of one cell of a table: value, inputs, way, command.

    Raises:
        UserError: there is no such metric or system.
    """
    if metric not in results.metrics:
        raise unknown("metric of the results", metric, results.metrics)
    if system not in results.systems:
        raise unknown("system of the results", system, results.systems)
    return "\n".join(_lines(results, metric, system))


def _lines(results: Results, metric: str, system: str) -> Iterator[str]:
    mean = results.summaries(metric)[system]
    table = results.values(metric, system)
    seeds, prompts = table.shape
    yield f"{about(metric).title}, {system}: "
    yield f"  value     {wording.estimate(metric, *mean)}"
    if seeds > 1:
        sd = spread_of(table)
        size = f"{seeds} seeds x {prompts} values"
        yield f"            mean of {size}; interval: Student's t"
        yield f"            of seeds (sd {sd.seeds:.3g}), prompts (sd {sd.prompts:.3g})"
    else:
        yield f"            mean of {prompts} values of one run"
    baseline = results.systems[0]
    contrast = results.contrasts(metric).get(system)
    if contrast:
        yield f"  verdict   {wording.verdict(results, metric, system, contrast)}"
        yield f"            Hedges' g of paired seeds {contrast.effect:.2f}, tested at"
        yield f"            level {contrast.level:.4g} (Holm)"
    yield f"  recipe    {results.spec['base']}"
    for name, value in (results.spec["common"] | results.spec["components"]).items():
        yield f"              {name} = {value!r}"
    for name, run in results.tools.items():
        yield f"  {name:<9} {run}"
    yield from _runs(results, metric, system)
    if contrast:
        yield f"  against   {baseline}"
        yield from _runs(results, metric, baseline)
    protocol = results.protocols[metric]
    yield f"  protocol  {protocol.hash}, split {results.spec['split']}"
    constants = protocol.to_dict()
    width = max(map(len, constants)) + 2
    for name, value in constants.items():
        if value not in ("", 0, {}, []):
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"    {name:<{width}}{text}"
    yield f"  again     {command(results, metric, system)}"


def _runs(results: Results, metric: str, system: str) -> Iterator[str]:
    """The runs of a system, one a seed."""
    for record in results.runs:
        if record["system"] != system:
            continue
        yield f"  seed {record['seed']:<5}{np.mean(record['values'][metric]):.6g}"
        yield f"    run       {record['task']}-{record['run']}, heard-{record['heard']}"
        dirty = record["uncommitted_changes"]
        yield f"    commit    {record['commit']}{f' + {dirty}' if dirty else ''}"
        yield f"    device    {record['device']}"
        yield f"    config    {record['config_hash']}"
        for name, value in record["overrides"].items():
            yield f"              {name} = {value!r}"
        for name, part in record["parts"].items():
            yield f"    {name:<9} {part}"
        yield f"    sampling  {json.dumps(record['sampling'])}"
        if "train" in record["seconds"]:
            yield f"    cost      {record['seconds']['train']:.0f} s of training"


def command(results: Results, metric: str, system: str) -> str:
    """What makes a number again, and the baseline's that it is compared with."""
    return results.again or (
        f"diffusion-audio experiment explain experiments/{results.name} "
        f"--metric={metric} --system={shlex.quote(system)} --again"
    )


def again(
    results: Results, plan: Plan, runs: Path, metrics: list[str], systems: list[str]
) -> str:
    """Measures systems, and the baseline that they are compared with, once more.

    Raises:
        UserError: the code is not that of the results, a run is not there, or a value
            or its protocol differs.
    """
    measured_again = {results.systems[0], *systems}
    cells = [cell for cell in plan.cells if cell.system in measured_again]
    for cell in cells:
        results.record(cell)
        for training in cell.parts.values():
            _require_run(results, training, runs)
    clips = len(cells) * plan.clips
    with closing(ProgressView(f"{results.name}: clips", clips)) as view:
        errors = [
            _error(results, plan, runs, metrics, cell, view.advance) for cell in cells
        ]
    return f"made again: equal to the results within {max(*errors, TOLERANCE):.1g}"


def _require_run(results: Results, training: Training, runs: Path) -> None:
    """Refuses a run that is not there, or that today's code would not make."""
    place = check(training, runs)
    if place.state == "done":
        return
    if place.changed:
        commit = results.runs[0]["commit"].split(", ")[-1]
        raise UserError(
            f"{training.name}: {place.changed}; take the code of then by `git checkout "
            f"{commit} -- diffusion_audio configs`"
        )
    raise UserError(
        f"the run {place.directory} is not there; make it with "
        f"`diffusion-audio experiment run experiments/{results.name}`"
    )


def _error(
    results: Results,
    plan: Plan,
    runs: Path,
    metrics: list[str],
    cell: Cell,
    advance: Callable[[int], None],
) -> float:
    """The largest relative difference of a cell measured again to what is on record."""
    found, stored = measure_cell(plan, cell, runs, advance), results.record(cell)
    worst = 0.0
    for metric in metrics:
        results.protocols[metric].require_same(found.protocols[metric])
        old, new = np.array(stored["values"][metric]), found.values[metric]
        error = np.abs(new - old) / np.maximum(np.abs(old), 1e-12)
        worst = max(worst, float(np.where(new == old, 0.0, error).max()))
        if worst > TOLERANCE:
            raise UserError(
                f"{metric} of {cell.name} came out as {new.mean():.7g}, the results "
                f"say {old.mean():.7g} (relative {worst:.2g}): not the same code, "
                "versions or device as in the results"
            )
    return worst
