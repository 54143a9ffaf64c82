"""Where a number of an experiment comes from, and making it again."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from diffusion_audio.errors import UserError, unknown
from diffusion_audio.study import wording
from diffusion_audio.study.execute import listen
from diffusion_audio.study.plan import Cell, Plan
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
    ends = wording.interval(metric, mean.low, mean.high)
    yield f"{wording.MEASURES[metric].title}, {system}: "
    yield f"  value     {wording.number(metric, mean.value)} {ends}"
    sd_seeds, sd_prompts, _ = spread_of(table)
    yield f"            mean of {seeds} seeds x {prompts} values; interval: Student's t"
    yield f"            of seeds (sd {sd_seeds:.3g}) and prompts (sd {sd_prompts:.3g})"
    contrast = results.contrasts(metric).get(system)
    if contrast:
        yield f"  verdict   {wording.verdict(results, metric, system, contrast)}"
        yield f"            Hedges' g of paired seeds {contrast.effect:.2f}, tested at"
        yield f"            level {contrast.level:.4g} (Holm)"
        baseline = results.systems[0]
        for seed, value in zip(
            results.seeds, results.values(metric, baseline).mean(1), strict=True
        ):
            yield f"  against   {baseline}, seed {seed}: {value:.6g}"
    for record in results.runs:
        if record["system"] == system:
            values = np.array(record["values"][metric])
            yield f"  seed {record['seed']:<5}{values.mean():.6g}"
            run = f"{record['task']}-{record['run']}"
            yield f"    run       {run}, heard-{record['heard']}"
            dirty = record["uncommitted_changes"]
            yield f"    commit    {record['commit']}{f' + {dirty}' if dirty else ''}"
            yield f"    device    {record['device']}"
            yield f"    config    {record['config_hash']}"
            for name, value in record["overrides"].items():
                yield f"              {name} = {value!r}"
            for name, part in record["parts"].items():
                yield f"    {name:<9} {part}"
            yield f"    sampling  {json.dumps(record['sampling'])}"
            yield f"    cost      {record['seconds']['train']:.0f} s of training"
    protocol = results.protocols[metric]
    yield f"  protocol  {protocol.hash}"
    for name, value in protocol.to_dict().items():
        if value not in ("", 0, {}, []):
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"    {name:<18}{text}"
    yield f"  again     {command(results, metric, system)}"


def command(results: Results, metric: str, system: str) -> str:
    """What makes a number again."""
    return (
        f"diffusion-audio experiment explain experiments/{results.name} "
        f"--metric={metric} --system={json.dumps(system)} --again"
    )


def again(results: Results, plan: Plan, runs: Path, metric: str, system: str) -> str:
    """Hears the runs of a cell once more and compares.

    Raises:
        UserError: the code is not that of the results, a run is not there, or a value
            or its protocol differs.
    """
    worst = 0.0
    for cell in plan.cells:
        if cell.system != system:
            continue
        stored = _record(results, cell)
        way = f"`diffusion-audio experiment run experiments/{results.name}`"
        if (stored["run"], stored["heard"]) != (cell.training.id, cell.id):
            commit = stored["commit"].split(", ")[-1]
            raise UserError(
                f"{cell.name} of the results was made by other code or versions: `git "
                f"checkout {commit}` and explain it there, or make new results by {way}"
            )
        if not cell.training.finished(runs):
            raise UserError(
                f"the run {cell.training.directory(runs)} is not there; make it with "
                f"{way}"
            )
        heard = listen(plan, cell, runs)
        results.protocols[metric].require_same(heard.protocols[metric])
        old, new = np.array(stored["values"][metric]), heard.values[metric]
        error = np.abs(new - old) / np.maximum(np.abs(old), 1e-12)
        error = np.where(new == old, 0.0, error)
        worst = max(worst, float(error.max()))
        if worst > TOLERANCE:
            raise UserError(
                f"{metric} of {cell.name} came out as {new.mean():.7g}, the results "
                f"say {old.mean():.7g} (relative {worst:.2g}): not the same code, "
                "versions or device as in the results"
            )
    return f"made again: equal to the results within {max(worst, TOLERANCE):.1g}"


def _record(results: Results, cell: Cell) -> dict:
    for record in results.runs:
        if (record["system"], record["seed"]) == (cell.system, cell.seed):
            return record
    raise UserError(f"the results have no {cell.name}; run the experiment again")
