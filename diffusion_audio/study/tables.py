"""Tables and figures of results: values of systems, and differences to the first."""

from collections.abc import Sequence

from markupsafe import Markup

from diffusion_audio.evaluation.measures import about
from diffusion_audio.report import plots
from diffusion_audio.report.content import Column, Estimate, Row, Table
from diffusion_audio.study import explain, wording
from diffusion_audio.study.results import Results


def tables(results: Results) -> list[Table]:
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


def _contrasts(results: Results, metric: str) -> Row:
    cells = []
    for system, contrast in results.contrasts(metric).items():
        sentence = wording.verdict(results, metric, system, contrast)
        origin = f"{sentence}\n\n{explain.explain(results, metric, system)}"
        ends = contrast.low, contrast.high
        cells.append(Estimate(contrast.difference, *ends, contrast.verdict, origin))
    return Row(about(metric).title, tuple(cells), results.metrics[metric])


def differences(results: Results) -> list[tuple[str, Markup]]:
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
