"""The page: what is published, what is ours, what is missing and how to get it."""

import re
import textwrap
from collections.abc import Iterable, Mapping

from experiments.reproduction.ledger import (
    WAYS,
    Checked,
    Contradiction,
    Family,
    Ledger,
    Results,
    System,
)

MARKS = {"first": "", "second": " †", "unverified": " ‡"}
HEAD = """\
# Published results, and ours

What AudioLDM, AudioLDM 2, Auffusion, HiFi-GAN and the systems they are compared with
reported, where it was read, and what this program has of it. The page is written from
the tables in `ledger/` by

```sh
python -m experiments.reproduction           # computes what can be, some minutes
python -m experiments.reproduction --page    # after a change of words alone
```

{count}

* **Ours**: *{weights}* and *{trained}*. Where there is no
  number the cell says *not run*, and leads to what it needs and the commands that fill
  it; **–** is a system of others, or one whose weights or recipe are not here.
* **Computed here** needs neither weights nor data: sizes from shapes, operations from
  the compiled program, constants from recipes, and numbers of this repository's own
  tables. *Agrees* is to the last published digit.
* A number is to be read beside its own table only. A **protocol** is one of
  `diffusion-audio score`: the test set, the networks and the constants behind a
  number. Without the same one, numbers do not compare.
* † was read in what others wrote of the source, ‡ is remembered and not found again.
"""


def page(ledger: Ledger, numbers: Mapping[str, float]) -> str:
    """The page as Markdown.

    Args:
        ledger: all tables.
        numbers: computed here, by `key`.
    """
    parts = [
        HEAD.format(count=_count(ledger, numbers), **WAYS),
        _contents(ledger, numbers),
    ]
    for family in ledger.families:
        parts.append(f"## {family.title}\n\n{family.about.strip()}")
        parts += [_results(ledger, family, table) for table in family.results]
        parts += [_checked(family, table, numbers) for table in family.checked]
        parts.append(_sources(family))
    parts += [_several(ledger), _contradictions(ledger.contradictions)]
    parts.append(_to_fill(ledger))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def key(family: Family, what: str) -> str:
    """What a computed number is called where it is kept."""
    return f"{family.name}: {what}"


def _count(ledger: Ledger, numbers: Mapping[str, float]) -> str:
    values = [v for _, t in ledger.results() for row in t.rows for v in row[1:]]
    systems = {row[0] for _, table in ledger.results() for row in table.rows}
    sources = [s for family in ledger.families for s in family.sources.values()]
    first = sum(source.hand == "first" for source in sources)
    given = [(f, row) for f, row in ledger.checks() if row.published]
    agree = sum(row.agrees(numbers[key(f, row.what)]) for f, row in given)
    own = sum(1 for _ in ledger.checks()) - len(given)
    reported = len([value for value in values if value != ""])
    ours = sum(len(table.ours) for _, table in ledger.results())
    return textwrap.fill(
        f"{reported} numbers of {len(systems)} systems from {len(sources)} sources, "
        f"{first} of them read at first hand. Of {len(given)} others that can be "
        f"computed here, {agree} agree and {len(given) - agree} differ for a reason "
        f"that is given; {own} more are computed or measured that nobody published. "
        f"{ours} rows of results are filled by us; the others need weights, test sets "
        "or listeners that were not at hand. What was trained here is small and of "
        "other sounds, so it has tables of its own, beside Griffin-Lim.",
        88,
    )


def _contents(ledger: Ledger, numbers: Mapping[str, float]) -> str:
    rows = []
    for family in ledger.families:
        named = {row[0] for table in family.results for row in table.rows}
        values = [v for t in family.results for row in t.rows for v in row[1:]]
        checks = [row for table in family.checked for row in table.rows]
        known = [row for row in checks if row.published]
        agree = sum(row.agrees(numbers[key(family, row.what)]) for row in known)
        rows.append(
            [
                f"[{family.title}](#{_anchor(family.title)})",
                str(sum(value != "" for value in values)),
                f"{len(named)}, {len(named & set(ledger.systems))}",
                f"{agree}, {len(known) - agree}",
                str(len(checks) - len(known)),
            ]
        )
    heads = ["", "numbers reported", "of systems, that run here"]
    heads += ["computed here: agree, differ", "computed here, unpublished"]
    titles = ["One system, several numbers", "Contradictions", "To fill a row"]
    more = ", ".join(f"[{title}](#{_anchor(title)})" for title in titles)
    return f"{_table(heads, rows)}\n\nThen: {more}."


def _results(ledger: Ledger, family: Family, table: Results) -> str:
    systems = ledger.systems
    runnable = [
        way for way in WAYS if any(_can(systems, r[0], way) for r in table.rows)
    ]
    rows = []
    for system, *values in table.rows:
        cells = [system, *map(str, values)]
        for way in runnable:
            made = table.made(system, way)
            if made:
                cells.append(", ".join(map(str, made[:-1])) + f" ({made[-1]})")
            elif _can(systems, system, way):
                cells.append(f"[not run](#{_anchor(f'To fill: {system}')})")
            else:
                cells.append("–")
        rows.append(cells)
    heads = ["", *table.metrics, *(WAYS[way] for way in runnable)]
    of = f", of the clips of `{table.clips}`" if table.clips else ""
    named = f"Protocol: `{table.protocol}`{of}."
    how = named if table.protocol else f"Needs {table.needs}."
    said = [f"{table.data}: {table.test}.", how, f"({_short(family, table.source)})"]
    parts = [f"### {table.title}", " ".join(said), _table(heads, rows)]
    return "\n\n".join([*parts, *_note(table.note)])


def _checked(family: Family, table: Checked, numbers: Mapping[str, float]) -> str:
    known = any(row.published for row in table.rows)
    rows = []
    for row in table.rows:
        value = numbers[key(family, row.what)]
        unit = f" {row.unit}" if row.unit else ""
        digits = _digits(value / row.scale, len(row.published))
        cells = [row.what, digits + unit]
        if known and row.published:
            verdict = "agrees" if row.agrees(value) else f"differs: {row.note}"
            cells[1:1] = [row.published + unit]
            cells += [verdict, _short(family, row.source)]
        elif known:
            cells[1:1] = [""]
            cells += ["", ""]
        rows.append(cells)
    heads = ["", "published", "computed here", "", "source"] if known else ["", "here"]
    parts = [f"### {table.title}", *_note(table.note), _table(heads, rows)]
    return "\n\n".join(parts)


def _several(ledger: Ledger) -> str:
    """Systems whose numbers of one metric differ from source to source."""
    found: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for family, table in ledger.results():
        for system, *values in table.rows:
            for metric, value in zip(table.metrics, values, strict=True):
                if value == "" or not {"↑", "↓"} & set(metric):
                    continue
                reported = found.setdefault((system, table.data, metric), {})
                reported.setdefault(str(value), []).append(_short(family, table.source))
    rows = [
        [
            *of,
            "; ".join(f"**{v}** ({' and '.join(w)})" for v, w in reported.items()),
        ]
        for of, reported in sorted(found.items())
        if len(reported) > 1
    ]
    about = textwrap.fill(
        "Values of one metric on one data set that differ from source to source, for "
        "lack of a common protocol. Collected by the command from the tables above.",
        88,
    )
    parts = [
        "## One system, several numbers",
        about,
        _table(["", "on", "metric", "reported"], rows),
    ]
    return "\n\n".join(parts)


def _contradictions(told: Iterable[Contradiction]) -> str:
    rows = [[c.about, "<br>".join(c.claims), c.here] for c in told]
    about = "What sources do not agree about, beyond numbers, and what is done here."
    table = _table(["", "who says what", "here"], rows)
    return "\n\n".join(["## Contradictions", about, table])


def _to_fill(ledger: Ledger) -> str:
    parts = [
        "## To fill a row",
        "Names in capitals or of folders that are not in this repository stand for "
        "yours: `audiocaps/PROTOCOL.csv` has the captions of a protocol's test set, "
        "`audiocaps/PROTOCOL` its clips. A result is entered under `ours` of its table "
        "in `ledger/`, with the commit and device that made it.",
    ]
    for system in ledger.systems.values():
        parts.append(f"### To fill: {system.name}")
        parts += _note(system.note)
        for name, way in system.ways.items():
            commands = way.all_commands(ledger.protocols(system.name))
            script = "\n".join(commands)
            heading = f"*{WAYS[name]}*. Needs {way.needs}."
            parts += [heading[0] + heading[1].upper() + heading[2:]]
            parts += [f"```sh\n{script}\n```"]
    return "\n\n".join(parts)


def _can(systems: Mapping[str, System], name: str, way: str) -> bool:
    return name in systems and way in systems[name].ways


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    # Bars within a cell would end it.
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _note(note: str) -> list[str]:
    return [note.strip()] if note else []


def _sources(family: Family) -> str:
    lines = [
        f"* {source.cite}" + (f"; by {source.seen}" if source.seen else "") + mark
        for source in family.sources.values()
        for mark in [MARKS[source.hand]]
    ]
    return "\n".join(["### Sources", "", *lines])


def _short(family: Family, name: str) -> str:
    """What a source is called in a table: authors and year, or the page."""
    source = family.sources[name]
    return re.split(r"[(,;]", source.cite)[0].strip() + MARKS[source.hand]


def _anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _digits(value: float, published: int) -> str:
    """Four significant digits or as many as were published, and one more.

    Without an exponent where that is readable.
    """
    text = f"{value:.{max(4, published)}g}"
    if "e" in text and 1e-4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return text
