"""What came of an experiment: small, committed, and enough to explain every number."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.measures import about
from diffusion_audio.evaluation.protocol import Protocol
from diffusion_audio.runs import session
from diffusion_audio.runs.same_run import content_hash
from diffusion_audio.runs.workdir import differences, read_json, write_json
from diffusion_audio.study import identity, statistics
from diffusion_audio.study import spec as specs
from diffusion_audio.study.identity import FINISHED, NUMBERS
from diffusion_audio.study.plan import Cell, Plan, Training
from diffusion_audio.study.spec import Better, Experiment

RESULTS = "results.json"
DIGITS = 7  # of a stored value
ORIGIN = ("commit", "uncommitted_changes", "device")  # of a run, all of each
# What is kept of a system and seed. Names are those of results that were committed:
# "heard" is the id of the numbers of a cell, "listen" the seconds that they took.
RECORD = (
    *("system", "seed", "task", "run", "heard", "overrides", "parts", "sampling"),
    *("config_hash", *ORIGIN, "seconds", "values"),
)


class Results(NamedTuple):
    """An experiment's numbers.

    Attributes:
        name: of the experiment.
        spec: of the experiment; see `spec.describe`.
        protocols: of each metric.
        tools: task -> name of the run that all were measured with, as its directory has
            it: hash of its config, and a mark where another was there before.
        runs: one record a system and seed, with what ``RECORD`` lists; ``values`` are
            by metric.
        again: the command that makes the numbers again, where that is no experiment's.
    """

    name: str
    spec: dict[str, Any]
    protocols: dict[str, Protocol]
    tools: dict[str, str]
    runs: list[dict[str, Any]]
    again: str = ""

    @property
    def systems(self) -> list[str]:
        """Names, the baseline first."""
        return list(dict.fromkeys(record["system"] for record in self.runs))

    @property
    def metrics(self) -> dict[str, Better]:
        """Metric -> better; the first decides."""
        return self.spec["metrics"]

    @property
    def seeds(self) -> list[int]:
        """Training seeds, the same of every system."""
        return list(dict.fromkeys(record["seed"] for record in self.runs))

    def values(self, metric: str, system: str) -> np.ndarray:
        """Values [S, P] of a system, seeds in the order of the spec."""
        rows = [r["values"][metric] for r in self.runs if r["system"] == system]
        return np.array(rows, np.float64)

    def summaries(self, metric: str) -> dict[str, statistics.Summary]:
        """Mean and interval of every system; that of a share ends at 0 and 1."""
        found = {s: statistics.summary(self.values(metric, s)) for s in self.systems}
        if about(metric).percent:
            return {
                s: m._replace(low=max(m.low, 0.0), high=min(m.high, 1.0))
                for s, m in found.items()
            }
        return found

    def contrasts(self, metric: str) -> dict[str, statistics.Contrast]:
        """Every variant against the baseline; one seed cannot tell."""
        if len(self.seeds) == 1:
            return {}
        baseline, *variants = self.systems
        return statistics.compare(
            self.values(metric, baseline),
            {name: self.values(metric, name) for name in variants},
            self.metrics[metric],
        )

    def record(self, cell: Cell) -> dict[str, Any]:
        """What is known of a cell.

        Raises:
            UserError: the cell is not among them, or was made of other recipes.
        """
        found = []
        for record in self.runs:
            if (record["system"], record["seed"]) != (cell.system, cell.seed):
                continue
            ids = [record[name].partition("-")[0] for name in ("run", "heard")]
            if ids == [cell.training.id, cell.id]:
                return record
            found.append(record["commit"].split(", ")[-1])
        again = f"`diffusion-audio experiment run experiments/{self.name}`"
        if not found:
            raise UserError(f"{RESULTS} has no {cell.name}; make it anew by {again}")
        raise UserError(
            f"{cell.name} of {RESULTS} was made of other recipes: take those "
            f"of then by `git checkout {found[0]} -- diffusion_audio configs` "
            "(that of now by `git checkout HEAD -- diffusion_audio configs`), or make "
            f"new results by {again}"
        )


def new_record(
    config: Mapping[str, Any],
    made: Sequence[Mapping[str, Any]],
    values: Mapping[str, list[float]],
    **known: Any,
) -> dict[str, Any]:
    """A record with what ``RECORD`` lists.

    Args:
        config: of the run.
        made: sessions and the like that it was made in; see `session.origin`.
        values: by metric.
        known: all else, by name.
    """
    made_with = session.origin(made)
    return known | {
        "config_hash": content_hash(config),
        **{name: made_with[name] for name in ORIGIN},
        "values": {metric: rounded(each) for metric, each in values.items()},
    }


def collect(plan: Plan, directory: Path, runs: Path) -> Results:
    """Puts the numbers of all cells together and writes ``results.json``.

    Raises:
        UserError: a cell is missing, or two were measured in different ways.
    """
    places = [(cell, identity.locate(cell, runs)) for cell in plan.cells]
    require_none([c.name for c, p in places if p.state != "done"], plan, runs)
    experiment = plan.experiment
    records: list[dict[str, Any]] = []
    protocols: dict[str, Protocol] = {}
    for cell, place in places:
        measured = read_json(place.directory / NUMBERS)
        run = identity.locate(cell.training, runs).directory
        trained = read_json(run / FINISHED)
        for metric in experiment.metrics:
            protocol = Protocol.from_dict(measured["protocols"][metric])
            protocols.setdefault(metric, protocol).require_same(protocol)
        parts = cell.training.parts
        records.append(
            new_record(
                cell.training.config,
                [*trained["sessions"], measured],
                {metric: measured["values"][metric] for metric in experiment.metrics},
                system=cell.system,
                seed=cell.seed,
                task=cell.training.task,
                run=_name(cell.training, runs),
                heard=place.directory.name.removeprefix("heard-"),
                overrides=dict(experiment.systems[cell.system]),
                parts={name: _name(part, runs) for name, part in parts.items()},
                sampling=cell.sampling,
                seconds={
                    "train": round(session.seconds(trained["sessions"]), 1),
                    "listen": round(measured["seconds"]["listen"], 1),
                },
            )
        )
    tools = {tool.task: _name(tool, runs) for tool in plan.trainings([])}
    spec = specs.describe(experiment)
    results = Results(directory.name, spec, protocols, tools, records)
    write(results, directory / RESULTS)
    return results


def write(results: Results, path: Path) -> None:
    """Writes results as ``results.json``."""
    protocols = {name: p.to_dict() for name, p in results.protocols.items()}
    fields = ("name", "spec", "tools", "runs")
    content = {name: getattr(results, name) for name in fields}
    # JSON written with sorted keys keeps no order, and the first metric decides.
    order = {"metrics": list(results.metrics), "protocols": protocols}
    write_json(path, content | order)


def require_none(missing: list[str], plan: Plan, runs: Path) -> None:
    """Refuses missing cells.

    Raises:
        UserError: naming them.
    """
    if missing:
        shown = "; ".join(missing[:4]) + ("; ..." if len(missing) > 4 else "")
        raise UserError(
            f"{len(missing)} of {len(plan.cells)} runs are missing in {runs} "
            f"({shown}): run `diffusion-audio experiment run`, or its other shards, "
            "first"
        )


def rounded(values: list[float]) -> list[float]:
    """Values as they are stored."""
    return [float(f"{value:.{DIGITS}g}") for value in values]


def _name(training: Training, runs: Path) -> str:
    """The name of a run's directory, but for its task."""
    directory = identity.locate(training, runs).directory
    return directory.name.removeprefix(f"{training.task}-")


def extended(
    directory: str | Path, experiment: Experiment, more: int = 0
) -> Experiment:
    """An experiment with the seeds that were added to it.

    They are those that its results have beyond the spec's, then ``more`` new ones.

    Args:
        directory: of the experiment.
        experiment: as its spec says.
        more: seeds to add.
    """
    seeds = experiment.seeds
    try:
        there = tuple(read_json(Path(directory) / RESULTS)["spec"]["seeds"])
        if there[: len(seeds)] == seeds:
            experiment = dataclasses.replace(experiment, seeds=there)
    except (OSError, UserError, LookupError, TypeError):
        pass  # no results, or no good ones: whoever needs them says so
    first = max(experiment.seeds) + 1
    seeds = (*experiment.seeds, *range(first, first + more))
    return dataclasses.replace(experiment, seeds=seeds)


def read(directory: str | Path, experiment: Experiment | None = None) -> Results:
    """The committed results of an experiment.

    Args:
        directory: of the experiment.
        experiment: its spec, which must be the one that was answered.

    Raises:
        UserError: there are none, the file is damaged, or the spec has changed since.
    """
    path = Path(directory) / RESULTS
    if not path.is_file():
        raise UserError(
            f"{directory} has no {RESULTS} yet: run `diffusion-audio experiment run "
            f"{directory}`"
        )
    again = f"take it back from git, or `diffusion-audio experiment run {directory}`"
    raw = read_json(path)
    try:
        found = _results(raw)
        _require_complete(found)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        text = error if isinstance(error, UserError) else repr(error)
        raise UserError(f"{path} is damaged ({text}): {again}") from error
    if experiment is not None:
        experiment = extended(directory, experiment)
        _require_unchanged(Path(directory), raw["spec"], specs.describe(experiment))
    return found


def _results(raw: Mapping[str, Any]) -> Results:
    # JSON written with sorted keys keeps no order, and the first metric decides.
    spec = raw["spec"]
    spec = spec | {"metrics": {m: spec["metrics"][m] for m in raw["metrics"]}}
    protocols = {m: Protocol.from_dict(raw["protocols"][m]) for m in raw["metrics"]}
    return Results(raw["name"], spec, protocols, raw["tools"], raw["runs"])


def _require_complete(found: Results) -> None:
    """Refuses records of systems, seeds or sizes other than the spec's."""
    systems = [found.spec["baseline"], *found.spec["variants"]]
    planned = Counter(itertools.product(systems, found.spec["seeds"]))
    there = Counter((record["system"], record["seed"]) for record in found.runs)
    if planned != there:
        (system, seed), *_ = (planned - there) + (there - planned)
        raise UserError(f"{system}, seed {seed}: {there[system, seed]} records of it")
    for record in found.runs:
        if missing := [name for name in RECORD if name not in record]:
            raise UserError(f"a record lacks {', '.join(missing)}")
    for metric in found.metrics:
        sizes = {len(record["values"][metric]) for record in found.runs}
        if len(sizes) > 1 or 0 in sizes:
            raise UserError(f"runs have {sorted(sizes)} values of {metric}")


def _require_unchanged(
    directory: Path, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    changed = list(_changes(old, new))
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"{directory / specs.SPEC} changed since its results (there {RESULTS}, "
            f"here spec.py: {'; '.join(changed[:3])}{more}); run `diffusion-audio "
            f"experiment run {directory}` again, or take the change back"
        )


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    was, now = old["variants"], new["variants"]
    yield from (f"variant {name!r} is new" for name in now if name not in was)
    yield from (f"variant {name!r} is gone" for name in was if name not in now)
    both = was.keys() & now.keys()
    yield from differences(
        {**old, "variants": {name: was[name] for name in both}},
        {**new, "variants": {name: now[name] for name in both}},
    )
