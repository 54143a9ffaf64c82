"""A page to read and listen to: one HTML file that needs nothing else.

It shows a `Report`; nothing here computes a result. Text is escaped, and the page's
content-security policy allows no address outside the file, and no script but that of a
blind test, so a caption can neither run nor load anything.
"""

import base64
import csv
import hashlib
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import soundfile
from markupsafe import Markup

from diffusion_audio.report import plots
from diffusion_audio.report.content import (
    Blind,
    Clip,
    Column,
    Example,
    Listen,
    Report,
    Row,
    Table,
    headings,
)
from diffusion_audio.storage import write_whole

POLICY = (
    "default-src 'none'; media-src data:; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
SCRIPT = (
    "blind.js"  # the one script that a page may run: its policy lets these bytes by
)


def render(report: Report, path: str | Path) -> Path:
    """Writes a report as one self-contained HTML file.

    Args:
        report: what to show.
        path: the file; replaced whole, or left as it was if writing fails.

    Returns:
        The path, absolute.
    """
    path = Path(path).absolute()
    environment, policy, script = _environment(), POLICY, Markup()
    if any(isinstance(section, Blind) for section in report.sections):
        script = Markup(_source(environment, SCRIPT))
        digest = hashlib.sha256(script.encode()).digest()
        policy += f"; script-src 'sha256-{base64.b64encode(digest).decode()}'"
    template = environment.get_template("page.html")
    write_whole(path, template.render(report=report, policy=policy, script=script))
    return path


def with_spectrograms(
    listen: Listen,
) -> list[tuple[Example, list[tuple[Clip, plots.Spectrogram]]]]:
    """Each example with its clips and their spectrograms."""
    waves = [clip.audio for example in listen.examples for clip in example.clips]
    spectrograms = iter(plots.spectrograms(waves, listen.sample_rate))
    return [
        (example, [(clip, next(spectrograms)) for clip in example.clips])
        for example in listen.examples
    ]


def as_csv(table: Table) -> str:
    """A table as the address of a CSV file: one line a number, not rounded."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("measure", "better", "column", "value", "low", "high", "note"))
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell is not None:
                name = ", ".join(filter(None, (column.name, column.note)))
                lines.writerow((row.name, row.better, name, *cell[:4]))
    return plots.data_uri("text/csv;charset=utf-8", text.getvalue().encode())


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None  # as it is made below
    return environment.loader.get_source(environment, name)[0]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("diffusion_audio.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "flac": flac,
        "headings": headings,
        "with_spectrograms": with_spectrograms,
        "as_csv": as_csv,
        "number": number,
        "duration": duration,
        "best": best,
        "scale": scale,
        "slug": lambda text: (
            re.sub(r"\W+", "-", text).strip("-").lower()[:60] or "table"
        ),
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
