"""The ledger: published numbers as data, and what of them can be had here.

``ledger/FAMILY.toml`` holds one family of systems each: where its numbers were read,
tables of results, and numbers that are computed here. ``ledger/systems.toml`` says how
a system is run with this program, by its published weights or by training, and
``ledger/contradictions.toml`` where sources do not agree.
"""

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

from diffusion_audio.errors import UserError, unknown

HERE = Path(__file__).parent
FOLDER = HERE / "ledger"
# In the order of the page.
FAMILIES = (
    "diffusion",
    "hifigan",
    "vocoders",
    "audioldm",
    "audioldm2",
    "auffusion",
    "metrics",
    "frontier",
)
HANDS = ("first", "second", "unverified")
# How the clips of a folder that `generate` wrote are scored: by the protocol that their
# list is of, or by another.
NAMED = """\
python -m experiments.reproduction.named generated/{name}_{clips} \\
    audiocaps/{clips}.csv named/{name}_{clips}"""
SCORE = """\
diffusion-audio score named/{name}_{clips} --protocol={protocol} \\
    --reference=audiocaps/{clips} --captions=audiocaps/{clips}.csv \\
    --out=scores/{name}_{protocol}"""
OWN = " \\\n    --own_clips"
WAYS = {"weights": "published weights, our code", "trained": "trained by us"}


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a number was read.

    Attributes:
        cite: paper and table, or page.
        hand: ``"first"``, read there; ``"second"``, in what others wrote of it; or
            ``"unverified"``, remembered and not found again.
        seen: where, if not there.
    """

    cite: str
    hand: str = "first"
    seen: str = ""

    def __post_init__(self) -> None:
        if self.hand not in HANDS:
            raise unknown("hand", self.hand, HANDS)
        if (self.hand == "first") != (not self.seen):
            raise UserError(
                f"source {self.cite!r}: `seen` says where it was read if its hand is "
                "not 'first', and only then"
            )


@dataclasses.dataclass(frozen=True)
class Results:
    """A table of published results.

    Attributes:
        title: what was measured.
        source: a key of the family's sources.
        metrics: names of the columns, each with an arrow that says what is better.
        rows: system and its values, in the order of the metrics; "" for none.
        data: what it was measured on; values of one system and metric on the same
            data should be alike.
        test: how much of it, with which settings.
        protocol: of `diffusion-audio score`, by which the numbers can be compared;
            "" where none is.
        clips: the protocol whose list of clips it was, where that is another.
        needs: what else it takes, where there is no protocol.
        ours: system, a key of ``WAYS``, values, and what made them.
        note: what to know before comparing.
    """

    title: str
    source: str
    metrics: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    data: str
    test: str
    protocol: str = ""
    clips: str = ""
    needs: str = ""
    ours: tuple[tuple[Any, ...], ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        columns = len(self.metrics)
        for row in self.rows:
            if len(row) != 1 + columns:
                raise UserError(f"{self.title}: {row} has not {1 + columns} cells")
        for row in self.ours:
            if len(row) != 3 + columns or row[1] not in WAYS:
                raise UserError(
                    f"{self.title}: {row} is not system, one of {', '.join(WAYS)}, "
                    f"{columns} values and what made them"
                )
        if bool(self.protocol) == bool(self.needs):
            raise UserError(
                f"{self.title}: expected a protocol, or needs where there is none"
            )

    def made(self, system: str, way: str) -> tuple[Any, ...] | None:
        """Our values of a system by one of the ways, and what made them."""
        for name, how, *cells in self.ours:
            if (name, how) == (system, way):
                return tuple(cells)
        return None


@dataclasses.dataclass(frozen=True)
class Check:
    """A number that is computed here.

    Attributes:
        what: it is, unique in its family.
        compute: ``how``, a key of `measured.MEASURES`, and its arguments.
        published: as its source writes it; "" where nobody gave one.
        source: a key of the family's sources.
        scale: what one of the published unit is.
        unit: of the published number.
        note: why they differ, if they do.
    """

    what: str
    compute: Mapping[str, Any]
    published: str = ""
    source: str = ""
    scale: float = 1.0
    unit: str = ""
    note: str = ""

    def agrees(self, computed: float) -> bool:
        """Whether the published digits are those of the computed number.

        Rounded or cut off, for both are done.
        """
        published = Decimal(self.published)
        last = Decimal((0, (1,), int(published.as_tuple().exponent)))
        value = Decimal(computed / self.scale)
        ways = (ROUND_HALF_EVEN, ROUND_DOWN)
        return published in {value.quantize(last, way) for way in ways}


@dataclasses.dataclass(frozen=True)
class Checked:
    """A table of numbers that are computed here."""

    title: str
    rows: tuple[Check, ...]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Family:
    """The systems that a file is about."""

    name: str
    title: str
    about: str
    sources: Mapping[str, Source]
    results: tuple[Results, ...]
    checked: tuple[Checked, ...]


@dataclasses.dataclass(frozen=True)
class Way:
    """How a number of ours comes to be.

    Attributes:
        needs: what is not here.
        commands: from the repository's root, one after the other. ``{clips}`` stands
            for a list of clips, that of the protocol of its name: such commands are
            for each that the system is in.
        scored: name of the folder of clips that they make for the captions of a list,
            which is then scored; "" where there is none.
    """

    needs: str
    commands: tuple[str, ...]
    scored: str = ""

    def all_commands(self, protocols: Iterable[tuple[str, str]]) -> list[str]:
        """What to run, for each of some protocols where it depends on one.

        Args:
            protocols: each with the name of the list of clips that it is of.
        """
        by_list: dict[str, list[str]] = {}
        for protocol, clips in protocols:
            by_list.setdefault(clips, []).append(protocol)
        made = [command for command in self.commands if "{clips}" not in command]
        each = [command for command in self.commands if "{clips}" in command]
        for clips, names in by_list.items():
            every = [*each, NAMED] if self.scored else each
            if self.scored:
                scored = [SCORE + OWN * (name != clips) for name in names]
                every += [
                    command.replace("{protocol}", name)
                    for command, name in zip(scored, names, strict=True)
                ]
            made += [
                command.replace("{name}", self.scored).replace("{clips}", clips)
                for command in every
            ]
        return made


@dataclasses.dataclass(frozen=True)
class System:
    """A system that runs here.

    Attributes:
        name: as all tables have it.
        ways: by key of ``WAYS``.
        note: what stands in the way of a comparison.
    """

    name: str
    ways: Mapping[str, Way]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Contradiction:
    """What sources do not agree about.

    Attributes:
        about: in a few words.
        claims: what each says, and who.
        here: what this program does.
    """

    about: str
    claims: tuple[str, ...]
    here: str


@dataclasses.dataclass(frozen=True)
class Ledger:
    """All of it."""

    families: tuple[Family, ...]
    systems: Mapping[str, System]
    contradictions: tuple[Contradiction, ...]

    def results(self) -> Iterable[tuple[Family, Results]]:
        """Every table of results."""
        return ((f, table) for f in self.families for table in f.results)

    def checks(self) -> Iterable[tuple[Family, Check]]:
        """Every number that is computed here."""
        return ((f, c) for f in self.families for t in f.checked for c in t.rows)

    def protocols(self, system: str) -> list[tuple[str, str]]:
        """Protocols by which others reported numbers of a system, and of which clips.

        Both are names of protocols; most are of their own list.
        """
        named = [
            (table.protocol, table.clips or table.protocol)
            for _, table in self.results()
            if table.protocol and any(row[0] == system for row in table.rows)
        ]
        return list(dict.fromkeys(named))


def read(folder: Path = FOLDER) -> Ledger:
    """The ledger.

    Raises:
        UserError: a table has a key too many or too few, or names what is not there.
    """
    families = tuple(_family(folder, name) for name in FAMILIES)
    systems = {}
    for name, fields in _read(folder / "systems.toml").items():
        note = fields.pop("note", "")
        for way in fields:
            if way not in WAYS:
                raise unknown(f"way of {name}", way, WAYS)
        ways = {way: _of(Way, of, name) for way, of in fields.items()}
        systems[name] = System(name, ways, note)
    told = _read(folder / "contradictions.toml")["contradictions"]
    contradictions = tuple(_of(Contradiction, c, "contradictions") for c in told)
    ledger = Ledger(families, systems, contradictions)
    named = {row[0] for _, table in ledger.results() for row in table.rows}
    for name in systems:
        if name not in named:
            raise unknown("system in systems.toml", name, named)
    return ledger


def _family(folder: Path, name: str) -> Family:
    path = folder / f"{name}.toml"
    found = _read(path)
    sources = {key: _of(Source, of, key) for key, of in found["sources"].items()}
    results = tuple(_of(Results, table, name) for table in found.get("results", []))
    checked = tuple(
        Checked(
            table["title"],
            tuple(_of(Check, _floats(row), table["title"]) for row in table["rows"]),
            table.get("note", ""),
        )
        for table in found.get("checked", [])
    )
    named = [t.source for t in results]
    named += [row.source for t in checked for row in t.rows if row.published]
    for source in named:
        if source not in sources:
            raise unknown(f"source in {path.name}", source, sources)
    return Family(name, found["title"], found["about"], sources, results, checked)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text, parse_float=Decimal)  # 4.10 keeps its last digit
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: {error}") from error


def _of(cls: type, fields: Mapping[str, Any], where: str) -> Any:
    """A dataclass of a table: lists are tuples, and every key is known."""
    known = {field.name: field for field in dataclasses.fields(cls)}
    for name in fields:
        if name not in known:
            raise unknown(f"key of {where}", name, known)
    for name, field in known.items():
        if field.default is dataclasses.MISSING and name not in fields:
            raise UserError(f"{where}: no {name} is given, in {dict(fields)}")
    return cls(**{name: _tuples(value) for name, value in fields.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _floats(value: Any) -> Any:
    """What is computed with, and not shown as it was written."""
    if isinstance(value, dict):
        return {name: _floats(of) for name, of in value.items()}
    return float(value) if isinstance(value, Decimal) else value
