"""A dry run of an experiment: what it would do, at what cost, to find what effect."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from diffusion_audio.errors import UserError
from diffusion_audio.report.page import duration
from diffusion_audio.runs import session
from diffusion_audio.runs.workdir import read_json
from diffusion_audio.study import results, wording
from diffusion_audio.study.identity import FINISHED, NUMBERS, Place, locate
from diffusion_audio.study.plan import Plan
from diffusion_audio.study.statistics import POWER, VERDICT_LEVEL, Spread, detectable

UNFINISHED = ("missing", "begun")  # states of what is going to be made


def describe(plan: Plan, directory: Path, runs: Path) -> str:
    """The plan of an experiment, its cost and minimum detectable effect."""
    return "\n".join(_lines(plan, directory, runs))


def _lines(plan: Plan, directory: Path, runs: Path) -> Iterator[str]:
    experiment = plan.experiment
    yield experiment.question
    trained = {t.id: locate(t, runs) for t in plan.trainings()}
    measured = {cell.id: locate(cell, runs) for cell in plan.cells}
    width = max(map(len, experiment.systems)) + 2
    for system, changes in experiment.systems.items():
        cells = [cell for cell in plan.cells if cell.system == system]
        ready = sum(trained[cell.training.id].state == "done" for cell in cells)
        done = sum(measured[cell.id].state == "done" for cell in cells)
        state = f"{ready} of {len(cells)} trained, {done} measured"
        words = ", ".join(f"{key}={value!r}" for key, value in changes.items())
        yield f"  {system:<{width}}{state}; {words or experiment.base}"
    doubtful = sum(place.state == "unchecked" for place in trained.values())
    waiting = sum(place.state in UNFINISHED for place in trained.values())
    total, unknown = _expected_seconds(plan, trained, measured)
    unmeasured = sum(place.state in UNFINISHED for place in measured.values())
    cost = f"{waiting - len(unknown)} runs to train and {unmeasured} to measure, "
    cost += f"about {duration(total)}"
    yield cost + (f"; before them, once: {', '.join(unknown)}" if unknown else "")
    again = sum(place.state == "unchecked" for place in measured.values())
    if doubtful or again:
        yield (
            f"{doubtful} runs and the numbers of {again} are of other code: `run` "
            "finds out whether today's computes the same, and makes anew what it does "
            "not"
        )
    yield _detectable(plan, directory)


def _expected_seconds(
    plan: Plan, trained: Mapping[str, Place], measured: Mapping[str, Place]
) -> tuple[float, list[str]]:
    """Seconds that are left, and the components whose cost nobody knows.

    A run costs what finished runs of its task cost a step, else what the spec says;
    measuring one what it cost where it is done, and nothing before.
    """
    rates: dict[str, list[float]] = {}
    for training in plan.trainings():
        path = trained[training.id].directory / FINISHED
        if path.is_file():
            taken = session.seconds(read_json(path)["sessions"])
            rates.setdefault(training.task, []).append(taken / training.steps)
    total, unknown = 0.0, []
    compared = {cell.training.id for cell in plan.cells}
    for training in plan.trainings():
        if trained[training.id].state not in UNFINISHED:
            continue
        if known := rates.get(training.task):
            total += training.steps * sum(known) / len(known)
        elif training.id in compared:
            total += 60 * plan.experiment.minutes
        else:
            unknown.append(training.name)
    done = [p.directory / NUMBERS for p in measured.values() if p.state == "done"]
    if done:
        costs = [read_json(path)["seconds"]["listen"] for path in done]
        left = sum(place.state in UNFINISHED for place in measured.values())
        total += left * sum(costs) / len(costs)
    return total, unknown


def _detectable(plan: Plan, directory: Path) -> str:
    experiment = plan.experiment
    seeds, variants = len(experiment.seeds), len(experiment.variants)
    metric = next(iter(experiment.metrics))
    level = VERDICT_LEVEL / variants
    shape = seeds, experiment.prompts
    unit = detectable(Spread(1.0, 0.0, shape), level)
    text = (
        f"minimum detectable effect on {metric}: {seeds} paired seeds, power "
        f"{100 * POWER:.0f} %, level {VERDICT_LEVEL:g} over {variants} variants: "
        f"{unit:.1f} standard deviations of a difference between two seeds"
    )
    try:
        before = results.read(directory)
    except UserError:  # none yet, or no good ones: to run mends both
        return text
    if metric not in before.metrics:
        return text
    spreads = [c.spread for c in before.contrasts(metric).values()]
    worst = max(detectable(s._replace(shape=shape), level) for s in spreads)
    return f"{text}; by the last results, {wording.number(metric, worst)}"
