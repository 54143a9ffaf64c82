"""A page to read and listen to: one HTML file that needs nothing else.

The values below hold what a page shows; nothing here computes a result. Text is
escaped, and the page's content-security policy allows no script and no address
outside the file, so a caption can neither run nor load anything.
"""

import base64
import dataclasses
import hashlib
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jinja2
import numpy as np
import soundfile
from markupsafe import Markup

from diffusion_audio.storage import write_whole
from diffusion_audio.study import plots

POLICY = (
    "default-src 'none'; media-src data:; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


class Judgement(NamedTuple):
    """One attribute of a clip: what the caption asked for and what was heard."""

    attribute: str
    asked: str
    heard: str

    @property
    def right(self) -> bool:
        """Whether the clip has what was asked for."""
        return self.asked == self.heard


class Clip(NamedTuple):
    """A sound.

    Attributes:
        name: what it is, such as ``"Generated"``; the same in every example.
        audio: float [N], full scale 1.
        judged: its attributes; may be empty.
        note: a few words on it; may be empty.
    """

    name: str
    audio: np.ndarray
    judged: tuple[Judgement, ...] = ()
    note: str = ""

    @property
    def playable(self) -> bool:
        """Whether every sample is a number."""
        return bool(np.isfinite(self.audio).all())


class Example(NamedTuple):
    """A caption and the clips to compare for it."""

    caption: str
    clips: tuple[Clip, ...]


class Estimate(NamedTuple):
    """A number and the interval it lies in, where there is one.

    Attributes:
        value: the number.
        low: lower end.
        high: upper end.
        note: a word on it, such as a verdict.
        story: where it comes from, lines of text that a click shows.
    """

    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    story: str = ""

    @property
    def numbers(self) -> list[float]:
        """The value and the ends there are."""
        return [x for x in (self.value, self.low, self.high) if x is not None]


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: its heading.
        note: a few words below it, such as ``"ceiling, n = 600"``.
        bound: it is a bound to compare with (ceiling, floor, chance), not a result.
    """

    name: str
    note: str = ""
    bound: bool = False


class Row(NamedTuple):
    """A row of a table: one cell a column, ``None`` where there is no number.

    ``better`` says which direction is better, and marks the best result.
    """

    name: str
    cells: tuple[Estimate | None, ...]
    better: Literal["", "lower", "higher"] = ""


class Table(NamedTuple):
    """Numbers with their intervals.

    Attributes:
        title: its heading.
        columns: what is compared.
        rows: what is measured.
        note: how the numbers were made.
        percent: the numbers are fractions, shown in percent.
        mark: the best result of a row is marked.
        signed: the numbers are differences: with their sign, and without bars.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""
    percent: bool = False
    mark: bool = True
    signed: bool = False


class Run(NamedTuple):
    """The training curves of a run.

    Attributes:
        name: what was trained.
        rows: of its ``metrics.jsonl``.
        metrics: the names to draw, in this order.
        note: a few words, such as steps, parameters and time.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    metrics: tuple[str, ...]
    note: str = ""


class Provenance(NamedTuple):
    """Where the numbers come from.

    Attributes:
        command: what was typed.
        commit: of the code.
        dirty: hash of uncommitted changes; empty where there are none.
        device: in words.
        configs: config hash by run.
        versions: version by package.
        seconds: wall time by stage, in order.
        other: anything else worth knowing, by name.
    """

    command: str
    commit: str
    dirty: str
    device: str
    configs: Mapping[str, str]
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    other: Mapping[str, str] = {}


@dataclasses.dataclass(frozen=True)
class Report:
    """What the page of a demo or of one system shows.

    Attributes:
        title: its heading.
        summary: one paragraph in plain words.
        provenance: where the numbers come from.
        sample_rate: of every clip, in Hz.
        headlines: the few numbers that matter, as (number, what it is).
        examples: captions with their clips.
        tables: results.
        runs: training curves.
    """

    title: str
    summary: str
    provenance: Provenance
    sample_rate: int
    headlines: tuple[tuple[str, str], ...] = ()
    examples: tuple[Example, ...] = ()
    tables: tuple[Table, ...] = ()
    runs: tuple[Run, ...] = ()


def render(report: Report, path: str | Path) -> Path:
    """Writes a report as one self-contained HTML file.

    Args:
        report: what to show.
        path: the file; replaced whole, or left as it was if writing fails.

    Returns:
        The path, absolute.
    """
    waves = [clip.audio for e in report.examples for clip in e.clips]
    pictures = plots.spectrograms(waves, report.sample_rate)
    curves = [
        [(metric, plots.curve(run.rows, metric)) for metric in run.metrics]
        for run in report.runs
    ]
    return write_page(
        "report.html",
        path,
        report=report,
        examples=paired(report.examples, iter(pictures)),
        judged=any(clip.judged for e in report.examples for clip in e.clips),
        curves=curves,
    )


def write_page(
    template: str, path: str | Path, *, script: str = "", **values: Any
) -> Path:
    """Fills a template and writes it, whole or not at all.

    Args:
        template: its name.
        path: the file to write.
        script: name of the one script that the page may run; its policy lets exactly
            these bytes pass.
        values: for the template.
    """
    path = Path(path).absolute()
    environment, policy = _environment(), POLICY
    if script:
        values["script"] = Markup(_source(environment, script))
        digest = hashlib.sha256(values["script"].encode()).digest()
        policy += f"; script-src 'sha256-{base64.b64encode(digest).decode()}'"
    text = environment.get_template(template).render(policy=policy, **values)
    write_whole(path, text)
    return path


def paired(
    examples: Sequence[Example], pictures: Iterator[plots.Picture]
) -> list[tuple[Example, list[tuple[Clip, plots.Picture]]]]:
    """Each example with its clips and their pictures."""
    return [
        (example, [(clip, next(pictures)) for clip in example.clips])
        for example in examples
    ]


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None  # as it is made below
    return environment.loader.get_source(environment, name)[0]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("diffusion_audio.study"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "flac": flac,
        "number": number,
        "duration": duration,
        "best": best,
        "scale": scale,
        "digest": lambda text: hashlib.sha256(text.encode()).hexdigest()[:12],
    }
    return environment


def _clean(value: Any) -> Any:
    """Text that a page can hold: no control characters, no half surrogates."""
    if type(value) is not str:
        return value
    value = value.encode("utf-8", "replace").decode()
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", value)


def flac(wave: np.ndarray, sample_rate: int) -> str:
    """A waveform as a 16-bit FLAC ``data:`` address; clipped, never wrapped."""
    samples = np.round(np.clip(wave, -1.0, 1.0) * 32767).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return plots.data_uri("audio/flac", buffer.getvalue())


def number(
    value: float, percent: bool = False, digits: int = 1, signed: bool = False
) -> str:
    """A number as people read it: percent, or three significant digits."""
    if not math.isfinite(value):
        return "not finite"
    if signed and value > 0:
        return f"+{number(value, percent, digits)}"
    if percent:
        return f"{100 * value:.{digits}f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def best(row: Row, columns: Sequence[Column]) -> int | None:
    """Which cell of a row is the best result, if its interval meets no other."""
    results = {
        i: cell
        for i, (cell, column) in enumerate(zip(row.cells, columns, strict=True))
        if cell is not None and not column.bound and math.isfinite(cell.value)
    }
    if not row.better or len(results) < 2:
        return None
    sign = 1 if row.better == "lower" else -1
    first, second = sorted(results, key=lambda i: sign * results[i].value)[:2]
    ends = [
        (
            cell.value if cell.low is None else cell.low,
            cell.value if cell.high is None else cell.high,
        )
        for cell in (results[first], results[second])
    ]
    apart = ends[0][1] < ends[1][0] or ends[1][1] < ends[0][0]
    return first if apart else None


def scale(row: Row, percent: bool) -> float:
    """The number at the right end of a row's bars."""
    if percent:
        return 1.0
    ends = [x for cell in row.cells if cell for x in cell.numbers]
    return max([abs(x) for x in ends if math.isfinite(x)], default=0.0) or 1.0
