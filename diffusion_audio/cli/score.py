"""Scores a folder of generated audio by a named protocol, or compares two scorings.

GENERATED is a folder; real clips are in the folder --reference, and what was asked for
in the table --captions. Clips are paired by the stems of their files. Networks hear
them, several files at once; what was heard is kept, so that a second call needs only
what has changed. Writes scores.json and prints a table. Damaged files are named and
left out; then the exit code is 1.

With --compare, A and B are two such files, or the folders that have them; numbers that
were made differently are refused.
"""

import sys
from typing import TYPE_CHECKING

from absl import flags

from diffusion_audio.cli import options
from diffusion_audio.cli.compiled import user_cache
from diffusion_audio.errors import UserError, unknown

if TYPE_CHECKING:
    from rich.table import Table

    from diffusion_audio.evaluation.scoring.scores import Score, Scores

USAGE = "diffusion-audio score GENERATED --protocol=NAME --out=DIR, or --compare A B"
WIDTH = 132  # columns, where the output is no terminal


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    _define(values)
    words = options.parse(
        values, argv, usage=USAGE, about=__doc__, positional="folder GENERATED"
    )
    if values.compare:
        if len(words) != 2:
            raise UserError(f"--compare takes A and B, not {len(words)}: {USAGE}")
        return _compare(*words)
    missing = [name for name in ("protocol", "out") if not values[name].value]
    if missing or len(words) != 1:
        what = f"--{missing[0]} must be given" if missing else "expected one GENERATED"
        raise UserError(f"{what}; usage: {USAGE}")
    return _score(words[0], values)


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "protocol",
        None,
        "how numbers are made, by name: docs/metrics.md has what each is",
        flag_values=values,
    )
    flags.DEFINE_string("out", None, "directory of the result", flag_values=values)
    flags.DEFINE_string(
        "reference", None, "directory of real clips", flag_values=values
    )
    flags.DEFINE_string(
        "captions",
        None,
        "table with a caption of each clip: .csv, .tsv, .jsonl or .json",
        flag_values=values,
    )
    flags.DEFINE_string(
        "key",
        None,
        "column of the table that holds the clips' stems; None is the stem of the file "
        "that a row names",
        flag_values=values,
    )
    flags.DEFINE_list(
        "encoders",
        [],
        "networks whose metrics are wanted, with commas; all of the protocol if empty",
        flag_values=values,
    )
    flags.DEFINE_multi_string(
        "weights",
        [],
        "where a network's weights are, NAME=PATH",
        flag_values=values,
    )
    flags.DEFINE_string(
        "cache",
        None,
        "directory of what was heard before; None is the user's cache",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "batch_size",
        16,
        "windows heard at once; memory grows with it, numbers are the same",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_bool(
        "unpaired",
        False,
        "the folders are of other clips: leave out what compares pairs",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "paired_only",
        False,
        "leave out clips without a counterpart; the result names them",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "own_clips",
        False,
        "score other clips than those of the protocol's list, for comparisons among "
        "themselves",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "compare", False, "compare two results, A and B", flag_values=values
    )
    options.overwrite(values)


def _score(generated: str, values: flags.FlagValues) -> int:
    from diffusion_audio.evaluation.scoring.encoders import opener
    from diffusion_audio.evaluation.scoring.score import score
    from diffusion_audio.evaluation.scoring.selection import Inputs
    from diffusion_audio.systems.devices import local_mesh

    result = score(
        Inputs(
            generated=generated,
            reference=values.reference,
            captions=values.captions,
            key=values.key,
            unpaired=values.unpaired,
            paired_only=values.paired_only,
            own_clips=values.own_clips,
        ),
        values.out,
        protocol=values.protocol,
        open_encoder=opener(_weights(values.weights, values.protocol)),
        cache=values.cache or user_cache() / "heard",
        encoders=values.encoders,
        batch_size=values.batch_size,
        mesh=local_mesh(),
        overwrite=values.overwrite,
    )
    _print(_table(result))
    for name, each in result.scores.items():
        for note in each.notes:
            print(f"{name}: {note}")
    for fault in result.faults:
        print(f"known of this protocol: {fault}")
    damaged = result.clips["damaged"]
    for entry in damaged:
        print(f"diffusion-audio: left out {entry['why']}", file=sys.stderr)
    if damaged:
        print(f"diffusion-audio: {len(damaged)} left out in all", file=sys.stderr)
    return int(bool(damaged))


def _weights(words: list[str], protocol: str) -> dict[str, str]:
    """Paths by network of a protocol, of the words ``NAME=PATH``."""
    from diffusion_audio.evaluation.protocols import TABLE

    found: dict[str, str] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (name and equals and path):
            raise UserError(f"--weights: expected NAME=PATH, got {word!r}")
        if name not in TABLE[protocol].encoders:
            known = TABLE[protocol].encoders
            raise unknown(f"network of protocol {protocol!r} in --weights", name, known)
        if name in found:
            raise UserError(f"--weights: {name} is given twice, as {found[name]!r} too")
        found[name] = path
    return found


def _table(scores: "Scores") -> "Table":
    from rich.table import Table

    table = Table(title=f"{scores.name}: {scores.source}")
    table.add_column("metric", no_wrap=True)
    table.add_column("what it is")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("95 %", no_wrap=True)
    table.add_column("without bias", no_wrap=True)
    table.add_column("clips", justify="right", no_wrap=True)
    table.add_column("network", no_wrap=True)
    for name, score in scores.scores.items():
        table.add_row(
            name,
            f"{score.title} ({score.better} is better)",
            f"{score.value:.4g}",
            _interval(score.low, score.high),
            _unbiased(score),
            _sizes(score),
            score.protocol.embedding,
        )
    return table


def _unbiased(score: "Score") -> str:
    if "extrapolated" not in score.more:
        return ""
    low, high = score.more["extrapolated_low"], score.more["extrapolated_high"]
    return f"{score.more['extrapolated']:.4g} {_interval(low, high)}"


def _sizes(score: "Score") -> str:
    real = score.protocol.reference_clips
    return f"{score.protocol.clips}" + (f" / {real}" if real else "")


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None else f"{low:.4g} .. {high:.4g}"


def _compare(first: str, second: str) -> int:
    from rich.table import Table

    from diffusion_audio.evaluation.scoring.scores import (
        read_scores,
        require_comparable,
    )

    a, b = read_scores(first), read_scores(second)
    shared = require_comparable(a, b)
    table = Table(title=f"{a.name}: A is {first}, B is {second}")
    for label in ("metric", "A", "B", "B - A", "better"):
        table.add_column(label, no_wrap=True, justify="right")
    for name in shared:
        left, right = a.scores[name], b.scores[name]
        table.add_row(
            name,
            f"{left.value:.4g} ({_interval(left.low, left.high)})",
            f"{right.value:.4g} ({_interval(right.low, right.high)})",
            f"{right.value - left.value:+.4g}",
            _better(left, right),
        )
    _print(table)
    networks = {a.scores[name].protocol.embedding for name in shared}
    if len(networks) == 1:
        print(
            f"all of it is by one network, {networks.pop()}, and a ranking "
            "is the network's: score with a second one too"
        )
    return 0


def _better(a: "Score", b: "Score") -> str:
    """Which is better, if their intervals are apart."""
    if a.low is None or b.low is None or a.high is None or b.high is None:
        return "no interval"
    if a.low <= b.high and b.low <= a.high:
        return "not told apart"
    lower = "A" if a.value < b.value else "B"
    higher = "B" if lower == "A" else "A"
    return lower if a.better == "lower" else higher


def _print(table: "Table") -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)
