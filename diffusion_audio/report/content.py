"""What a page shows: a report, its sections, and the values that they hold."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from markupsafe import Markup


class Attribute(NamedTuple):
    """An attribute of a clip: as its caption has it, and as a classifier does."""

    name: str
    requested: str
    predicted: str

    @property
    def right(self) -> bool:
        """Whether the clip has what was requested."""
        return self.requested == self.predicted


class Clip(NamedTuple):
    """A sound.

    Attributes:
        name: what it is, such as ``"Generated"``; the same in every example.
        audio: float [N], full scale 1.
        attributes: as predicted; may be empty.
        note: a few words on it; may be empty.
    """

    name: str
    audio: np.ndarray
    attributes: tuple[Attribute, ...] = ()
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
        origin: where it comes from, lines of text that a click shows.
    """

    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    origin: str = ""

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


class Published(NamedTuple):
    """A number that others reported.

    Attributes:
        system: what was measured, in a few words.
        metric: its name there.
        value: the number.
        source: paper and table, or address.
    """

    system: str
    metric: str
    value: float
    source: str


class Curves(NamedTuple):
    """The training curves of a run, or of the runs of one system.

    Attributes:
        name: what was trained.
        note: a few words, such as steps, parameters and time.
        curves: (title, figure) each; those without a figure are left out.
    """

    name: str
    note: str
    curves: Sequence[tuple[str, Markup | None]]


# The sections of a page; the macro of its name in templates/macros.html shows each.


class Listen(NamedTuple):
    """Captions with their clips, spectrograms on one colour scale.

    Attributes:
        examples: what there is to listen to.
        sample_rate: of every clip, in Hz.
        note: what to know before.
        title: its heading.
    """

    examples: tuple[Example, ...]
    sample_rate: int
    note: str = ""
    title: str = "Listen"

    @property
    def has_attributes(self) -> bool:
        """Whether clips come with predicted attributes."""
        return any(clip.attributes for e in self.examples for clip in e.clips)


class Measured(NamedTuple):
    """Numbers.

    Attributes:
        tables: with their intervals.
        figures: (title, figure) of differences to a baseline.
        baseline: its name.
        published: numbers of others.
    """

    tables: tuple[Table, ...]
    figures: tuple[tuple[str, Markup], ...] = ()
    baseline: str = ""
    published: tuple[Published, ...] = ()
    title: str = "Results"

    @property
    def has_origins(self) -> bool:
        """Whether a click on a number shows where it comes from."""
        cells = (c for table in self.tables for row in table.rows for c in row.cells)
        return any(cell.origin for cell in cells if cell)


class Blind(NamedTuple):
    """A test by ear between the systems of the page's examples, with its name."""

    name: str
    title: str = "Blind test"


class Training(NamedTuple):
    """Training curves."""

    runs: tuple[Curves, ...]
    title: str = "Training"


class Settings(NamedTuple):
    """What was set, by name."""

    values: Mapping[str, str]
    title: str = "Settings"


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
    title: str = "Provenance"


Section = Listen | Measured | Blind | Training | Settings | Provenance


@dataclasses.dataclass(frozen=True)
class Report:
    """What a page shows.

    Attributes:
        title: its heading.
        sections: in order.
        summary: one paragraph in plain words.
        verdicts: sentences in their place.
        headlines: the few numbers that matter, as (number, what it is).
    """

    title: str
    sections: tuple[Section, ...]
    summary: str = ""
    verdicts: tuple[str, ...] = ()
    headlines: tuple[tuple[str, str], ...] = ()

    def placed(self) -> list[tuple[str, str, Section]]:
        """Each section with its kind and its address on the page."""
        counts: Counter[str] = Counter()
        found = []
        for section in self.sections:
            kind = type(section).__name__.lower()
            counts[kind] += 1
            number = counts[kind] if counts[kind] > 1 else ""
            found.append((kind, f"{kind}{number}", section))
        return found


def headings(section: Section) -> list[str]:
    """Headings within a section, for the table of contents."""
    if isinstance(section, Measured):
        return [table.title for table in section.tables]
    if isinstance(section, Training):
        return [run.name for run in section.runs]
    return []
