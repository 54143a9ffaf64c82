"""Results said in words and in Markdown; every word follows from an interval."""

from collections.abc import Iterable
from pathlib import Path

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.measures import about
from diffusion_audio.runs import session
from diffusion_audio.storage import write_whole
from diffusion_audio.study.results import Results
from diffusion_audio.study.statistics import (
    MOST_SEEDS,
    POWER,
    VERDICT_LEVEL,
    Contrast,
    detectable,
    seeds_needed,
)

BEGIN = "<!-- results: begin, written by `diffusion-audio experiment run` -->"
END = "<!-- results: end -->"
README = "README.md"


def number(metric: str, value: float, signed: bool = False) -> str:
    """A value as people read it, in percent where it is a share."""
    sign = "+" if signed else ""
    if about(metric).percent:
        return f"{100 * value:{sign}.1f} %"
    return f"{value:{sign}.3g}"


def interval(metric: str, low: float, high: float, signed: bool = False) -> str:
    """An interval as people read it; a value that never varied has none."""
    if low == high:
        return "(always)"
    ends = (number(metric, end, signed).removesuffix(" %") for end in (low, high))
    return f"[{', '.join(ends)}]"


def estimate(
    metric: str, value: float, low: float, high: float, signed: bool = False
) -> str:
    """A value and its interval."""
    return f"{number(metric, value, signed)} {interval(metric, low, high, signed)}"


def verdict(results: Results, metric: str, variant: str, contrast: Contrast) -> str:
    """One sentence that says what is known of a variant."""
    baseline = results.systems[0]
    what = f"{about(metric).title}: {_evidence(metric, contrast)}"
    if contrast.verdict != "not distinguishable":
        return f"{variant} is {contrast.verdict} than {baseline} ({what})."
    spread = contrast.spread
    if not (contrast.difference or spread.seeds or spread.prompts or spread.rest):
        return f"{variant} and {baseline} are equal in every run ({what})."
    seeds = len(results.seeds)
    smallest = number(metric, detectable(spread, contrast.level))
    return (
        f"{variant} is not distinguishable from {baseline} ({what}); the smallest "
        f"difference that {seeds} seeds find with {100 * POWER:.0f} % power is "
        f"{smallest}, and {_needed(contrast)}."
    )


def _evidence(metric: str, contrast: Contrast) -> str:
    """A difference, its interval and p."""
    return f"{estimate(metric, *contrast[:3], signed=True)}, p = {contrast.p:.2g}"


def _needed(contrast: Contrast) -> str:
    """How many seeds it would take."""
    needed = seeds_needed(contrast.difference, contrast.spread, contrast.level)
    if needed:
        return f"a true difference of the size seen would take {needed} seeds"
    return (
        f"no number of seeds up to {MOST_SEEDS} would tell a true difference of the "
        "size seen, at these prompts"
    )


def verdicts(results: Results) -> list[str]:
    """The verdict on every variant, by the metric that decides."""
    metric = next(iter(results.metrics))
    return [
        verdict(results, metric, variant, contrast)
        for variant, contrast in results.contrasts(metric).items()
    ]


def summary(results: Results) -> list[str]:
    """The verdicts by the metric that decides, variants of one verdict together."""
    metric = next(iter(results.metrics))
    baseline = results.systems[0]
    groups: dict[str, list[tuple[str, Contrast]]] = {}
    for variant, contrast in results.contrasts(metric).items():
        groups.setdefault(contrast.verdict, []).append((variant, contrast))
    lines = [
        f"By the metric that decides, {about(metric).title.lower()}:",
        "",
    ]
    for found in ("better", "worse", "not distinguishable"):
        if found not in groups:
            continue
        members = sorted(groups[found], key=lambda item: -item[1].difference)
        listed = "; ".join(f"{name} ({_evidence(metric, c)})" for name, c in members)
        word = "from" if found.startswith("not") else "than"
        line = f"* **{found}** {word} {baseline}: {listed}."
        if found == "not distinguishable":
            widest = max(detectable(c.spread, c.level) for _, c in members)
            line += (
                f" The smallest differences that {len(results.seeds)} seeds find with "
                f"{100 * POWER:.0f} % power are up to {number(metric, widest)}."
            )
        lines.append(line)
    return lines


def seeds_only(results: Results, metrics: Iterable[str]) -> str:
    """A sentence on the metrics that are one number a set; empty without any."""
    whole = [
        about(metric).title
        for metric in metrics
        if results.values(metric, results.systems[0]).shape[1] == 1
    ]
    return f" Intervals of {', '.join(whole)} know of seeds only." if whole else ""


def markdown(results: Results) -> str:
    """Verdicts and the table of every metric, for a README."""
    arrow = {"higher": "↑", "lower": "↓"}
    heads = [f"{about(m).title} {arrow[b]}" for m, b in results.metrics.items()]
    rows = []
    contrasts = {metric: results.contrasts(metric) for metric in results.metrics}
    for system in results.systems:
        cells = []
        for metric in results.metrics:
            cell = estimate(metric, *results.summaries(metric)[system])
            if found := contrasts[metric].get(system):
                cell += f"<br>{estimate(metric, *found[:3], signed=True)}"
                if found.verdict in ("better", "worse"):
                    cell += f" **{found.verdict}**"
            cells.append(cell)
        rows.append(f"| {system} | {' | '.join(cells)} |")
    commits = session.named(
        commit[:12] for r in results.runs for commit in r["commit"].split(", ")
    )
    dirty = sum(bool(record["uncommitted_changes"]) for record in results.runs)
    changed = f" ({dirty} of {len(results.runs)} with changes)" if dirty else ""
    trained = {record["run"]: record["seconds"]["train"] for record in results.runs}
    devices = session.named(record["device"] for record in results.runs)
    notes = (
        f"{len(results.seeds)} training seeds x {results.spec['prompts']} prompts x "
        f"{len(results.spec['sampling_seeds'])} sounds. First line: mean and 95 % "
        "interval. Second line: difference to the baseline, paired by seed and prompt, "
        f"with its interval at the level of Holm's correction over the variants "
        f"({VERDICT_LEVEL:g} in all); (always): the same in every run, so without one."
        f"{seeds_only(results, results.metrics)} Commit {commits}{changed}; {devices}; "
        f"{sum(trained.values()) / 60:.0f} min for {len(trained)} training runs. "
        "Where a number comes from: `diffusion-audio experiment explain "
        f"experiments/{results.name}`."
    )
    lines = [
        *summary(results),
        "",
        f"| | {' | '.join(heads)} |",
        f"|---|{'---|' * len(heads)}",
        *rows,
        "",
        notes,
    ]
    return "\n".join(lines)


def side_by_side(found: list[Results]) -> str:
    """The systems of several experiments in one table, metric by metric.

    Raises:
        UserError: no metric is in all, or one was made in different ways.
    """
    first, *others = found
    shared = [m for m in first.metrics if all(m in other.metrics for other in others)]
    if not shared:
        raise UserError(
            f"no metric is in all of {', '.join(r.name for r in found)}: nothing to "
            "compare"
        )
    for metric in shared:
        for other in others:
            first.protocols[metric].require_same(other.protocols[metric])
    lines = [
        f"| | {' | '.join(about(metric).title for metric in shared)} |",
        f"|---|{'---|' * len(shared)}",
    ]
    for results in found:
        for system in results.systems:
            cells = [estimate(m, *results.summaries(m)[system]) for m in shared]
            lines.append(f"| {results.name}: {system} | {' | '.join(cells)} |")
    return "\n".join(lines)


def require_readme(question: str, directory: Path) -> None:
    """Makes sure that the table has a place to go to; begins a README where none is.

    Raises:
        UserError: there is one without the markers.
    """
    path = directory / README
    if path.is_file():
        _around_table(path)
        return
    title = directory.name.replace("_", " ").capitalize()
    command = f"diffusion-audio experiment run {directory}"
    write_whole(
        path,
        f"# {title}\n\n{question}\n\n```sh\n{command}\n```\n\n{BEGIN}\n{END}\n\n"
        "## Conclusion\n\n## Limits\n",
    )


def write_readme(results: Results, directory: Path) -> None:
    """Puts the table between the markers of the experiment's README.

    Raises:
        UserError: it lacks the markers.
    """
    path = directory / README
    before, after = _around_table(path)
    write_whole(path, f"{before}{BEGIN}\n{markdown(results)}\n{END}{after}")


def _around_table(path: Path) -> tuple[str, str]:
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.find(END) < text.find(BEGIN):
        raise UserError(
            f"{path} needs the lines {BEGIN} and {END} once each, in this order, where "
            "the table goes"
        )
    before, _, rest = text.partition(BEGIN)
    return before, rest.partition(END)[2]
