"""Checks that this machine can do all of it; with --config, that it can train that.

Alone: versions, devices, compiling, a collective over two devices, audio files,
resampling, data sets, free disk, and the configs of ./configs. With a config: whether
its data is there, what memory and disk training takes beside what there is, and two
steps of it, with their time; nothing is written. A broken part exits with 1.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from absl import flags

from diffusion_audio.cli import config, doctor_machine, options
from diffusion_audio.cli.finding import Check, Finding, examine

USAGE = "diffusion-audio doctor [--config=FILE.py[:PRESETS] [--workdir=DIR]]"


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "workdir",
        ".",
        "where the run would be, whose disk is looked at; made by training alone",
        flag_values=values,
    )
    rest = config.define(values, argv)
    options.parse(values, rest, usage=USAGE, about=__doc__)
    if values.config is None:
        return _shown("diffusion-audio doctor", map(_found, doctor_machine.checks()))

    from diffusion_audio.cli import doctor_run

    checks = doctor_run.checks(values.config, Path(values.workdir))
    return _shown("can this be trained here?", _until_broken(checks))


def _found(named: tuple[str, Check]) -> tuple[str, Finding]:
    name, check = named
    return name, examine(check)


def _until_broken(
    checks: Iterable[tuple[str, Check]],
) -> Iterator[tuple[str, Finding]]:
    """What checks find that stand on one another, and the verdict."""
    noted = False
    for name, finding in map(_found, checks):
        yield name, finding
        if finding.state == "broken":
            yield "verdict", Finding("broken", f"it cannot be trained here: see {name}")
            return
        noted |= finding.state == "note"
    yield (
        "verdict",
        Finding("note", "it can be trained here; mind the notes")
        if noted
        else Finding("ok", "it can be trained here"),
    )


def _shown(title: str, findings: Iterable[tuple[str, Finding]]) -> int:
    """Prints what was found; the exit code."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "what", "found", title=title)
    signs = {"ok": "[green]ok", "note": "[yellow]note", "broken": "[red]broken"}
    states = set()
    for name, finding in findings:
        states.add(finding.state)
        table.add_row(signs[finding.state], name, escape(finding.text))
    Console().print(table)
    return int("broken" in states)
