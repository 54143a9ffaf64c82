"""What came of an experiment: small, committed, and enough for every number's story."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.measures import MEASURES
from diffusion_audio.evaluation.protocol import Protocol
from diffusion_audio.study import spec as specs
from diffusion_audio.study import statistics
from diffusion_audio.study.plan import FINISHED, NUMBERS, Plan
from diffusion_audio.study.spec import Better, Experiment
from diffusion_audio.training import session
from diffusion_audio.training.workdir import differences, read_json, write_json

RESULTS = "results.json"
DIGITS = 7  # of a stored value
ORIGIN = ("commit", "uncommitted_changes", "device")  # of a run, all of each


class Results(NamedTuple):
    """An experiment's numbers.

    Attributes:
        name: of the experiment.
        spec: what was asked; see `spec.describe`.
        protocols: of each metric.
        runs: one record a system and seed: ``system``, ``seed``, ``task``, ``run``,
            ``heard``, ``overrides``, ``config_hash``, ``commit``,
            ``uncommitted_changes``, ``device``, ``seconds`` and ``values`` by metric.
    """

    name: str
    spec: dict[str, Any]
    protocols: dict[str, Protocol]
    runs: list[dict[str, Any]]

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
        if MEASURES[metric].percent:
            return {
                s: m._replace(low=max(m.low, 0.0), high=min(m.high, 1.0))
                for s, m in found.items()
            }
        return found

    def contrasts(self, metric: str) -> dict[str, statistics.Contrast]:
        """Every variant against the baseline."""
        baseline, *variants = self.systems
        return statistics.compare(
            self.values(metric, baseline),
            {name: self.values(metric, name) for name in variants},
            self.metrics[metric],
        )


def collect(plan: Plan, directory: Path, runs: Path) -> Results:
    """Puts the numbers of all cells together and writes ``results.json``.

    Raises:
        UserError: a cell is missing, or two were measured in different ways.
    """
    require_runs(plan, runs)
    experiment = plan.experiment
    records: list[dict[str, Any]] = []
    protocols: dict[str, Protocol] = {}
    for cell in plan.cells:
        heard = read_json(cell.directory(runs) / NUMBERS)
        trained = read_json(cell.training.directory(runs) / FINISHED)
        made_with = session.origin([*trained["sessions"], heard])
        for metric in experiment.metrics:
            protocol = Protocol.from_dict(heard["protocols"][metric])
            protocols.setdefault(metric, protocol).require_same(protocol)
        records.append(
            {
                "system": cell.system,
                "seed": cell.seed,
                "task": cell.training.task,
                "run": cell.training.id,
                "heard": cell.id,
                "overrides": dict(experiment.systems[cell.system]),
                "parts": {k: part.id for k, part in cell.training.parts.items()},
                "sampling": cell.sampling,
                "config_hash": trained["config_hash"],
                **{name: made_with[name] for name in ORIGIN},
                "seconds": {
                    "train": round(session.seconds(trained["sessions"]), 1),
                    "listen": round(heard["seconds"]["listen"], 1),
                },
                "values": {
                    metric: [float(f"{x:.{DIGITS}g}") for x in heard["values"][metric]]
                    for metric in experiment.metrics
                },
            }
        )
    results = Results(directory.name, specs.describe(experiment), protocols, records)
    write_json(
        directory / RESULTS,
        {
            "name": results.name,
            "spec": results.spec,
            "metrics": list(results.metrics),
            "protocols": {name: p.to_dict() for name, p in protocols.items()},
            "tools": {tool.task: tool.id for tool in plan.tools()},
            "runs": records,
        },
    )
    return results


def require_runs(plan: Plan, runs: Path) -> None:
    """Refuses to go on without every cell.

    Raises:
        UserError: naming those that are missing.
    """
    missing = [cell.name for cell in plan.cells if not cell.measured(runs)]
    if missing:
        shown = "; ".join(missing[:4]) + ("; ..." if len(missing) > 4 else "")
        raise UserError(
            f"{len(missing)} of {len(plan.cells)} runs are missing in {runs} "
            f"({shown}): run `diffusion-audio experiment run`, or its other shards, "
            "first"
        )


def read(directory: str | Path, experiment: Experiment | None = None) -> Results:
    """The committed results of an experiment.

    Args:
        directory: of the experiment.
        experiment: its spec, which must be the one that was answered.

    Raises:
        UserError: there are none, or the spec has changed since.
    """
    path = Path(directory) / RESULTS
    if not path.is_file():
        raise UserError(
            f"{directory} has no {RESULTS} yet: run `diffusion-audio experiment run "
            f"{directory}`"
        )
    raw = read_json(path)
    # JSON written with sorted keys keeps no order, and the first metric decides.
    asked = raw["spec"]
    spec = asked | {"metrics": {m: asked["metrics"][m] for m in raw["metrics"]}}
    if experiment is not None:
        _require_unchanged(Path(directory), asked, specs.describe(experiment))
    protocols = {m: Protocol.from_dict(p) for m, p in raw["protocols"].items()}
    return Results(raw["name"], spec, protocols, raw["runs"])


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


def title(metric: str) -> str:
    """What a metric is called in tables."""
    return MEASURES[metric].title
