"""What an experiment will do before it does it: plan, cost, what it can tell."""

from collections.abc import Iterator
from pathlib import Path

from diffusion_audio.errors import UserError
from diffusion_audio.study import results, wording
from diffusion_audio.study.page import duration
from diffusion_audio.study.plan import Plan, expected_seconds
from diffusion_audio.study.statistics import POWER, VERDICT_LEVEL, Spread, detectable


def describe(plan: Plan, directory: Path, runs: Path) -> str:
    """The plan of an experiment, its cost and minimum detectable effect."""
    return "\n".join(_lines(plan, directory, runs))


def _lines(plan: Plan, directory: Path, runs: Path) -> Iterator[str]:
    experiment = plan.experiment
    yield experiment.question
    for system, changes in experiment.systems.items():
        cells = [cell for cell in plan.cells if cell.system == system]
        done = sum(cell.measured(runs) for cell in cells)
        trained = sum(cell.training.finished(runs) for cell in cells)
        state = f"{trained} of {len(cells)} trained, {done} heard"
        words = ", ".join(f"{key}={value!r}" for key, value in changes.items())
        yield f"  {system:<24}{state}; {words or experiment.base}"
    waiting = [t for t in plan.trainings() if not t.finished(runs)]
    total, unknown = expected_seconds(plan, runs)
    unheard = sum(not cell.measured(runs) for cell in plan.cells)
    cost = f"{len(waiting) - len(unknown)} runs to train and {unheard} to listen to, "
    cost += f"about {duration(total)}"
    yield cost + (f"; before them, once: {', '.join(unknown)}" if unknown else "")
    yield _detectable(plan, directory)


def _detectable(plan: Plan, directory: Path) -> str:
    experiment = plan.experiment
    seeds, variants = len(experiment.seeds), len(experiment.variants)
    metric = next(iter(experiment.metrics))
    level = VERDICT_LEVEL / variants
    unit = detectable(Spread(1.0, 0.0), seeds, experiment.prompts, level)
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
    worst = max(detectable(s, seeds, experiment.prompts, level) for s in spreads)
    return f"{text}; by the last results, {wording.number(metric, worst)}"
