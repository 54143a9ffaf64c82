"""What the verbs share of flag parsing: absl flags, own to one verb, with a help."""

import os
import textwrap
from collections.abc import Sequence

from absl import flags

from diffusion_audio.errors import UserError

PATHS = (
    "model",
    "out",
    "workdir",
    "vocoder",
    "classifier",
    "runs",
    "prompts",
    "transcripts",
    "reference",
    "captions",
    "cache",
    "dump",
)
"""Flags that are paths: ``~`` in them is the home, which a shell leaves after ``=``."""


def parse(
    values: flags.FlagValues,
    argv: Sequence[str],
    *,
    usage: str,
    about: str,
    required: Sequence[str] = (),
    positional: str | None = None,
    instead: str | None = None,
) -> list[str]:
    """Parses the words after a verb; flags and other words in any order.

    Args:
        values: the verb's flags, defined and not parsed.
        argv: the words after the verb.
        usage: the form of the command, as ``--help`` shows it.
        about: what the verb does, its module's docstring.
        required: flags that must be given.
        positional: what words without dashes are, in brackets where they may be left
            out; None where there are none.
        instead: a flag that may be given in place of such words.

    Returns:
        The words that are no flags.

    Raises:
        UserError: a flag is missing or a word is one too many.
        flags.Error: a flag is unknown or has a wrong value.
        SystemExit: the help was asked for, and printed.
    """
    options = argv[: argv.index("--")] if "--" in argv else argv
    if "--help" in options or "-h" in options:
        print(_help(values, usage, about))
        raise SystemExit(0)
    values.set_gnu_getopt()
    try:
        _, *words = values(["diffusion-audio", *argv])
    except flags.UnrecognizedFlagError as error:
        if positional is None:
            raise
        said = str(error).removesuffix(" ?")  # absl ends a guess so
        raise UserError(
            f"{said}; a word that is no flag but begins with a dash stands last, after "
            'a "--" of its own'
        ) from error
    for name in PATHS:
        # Of evaluate's a name here, --captions, is a number.
        if name in values and isinstance(path := values[name].value, str):
            values[name].value = os.path.expanduser(path)
    missing = [name for name in required if values[name].value in (None, "")]
    if missing:
        flag_names = ", ".join(f"--{name}" for name in missing)
        raise UserError(f"{flag_names} must be given; usage: {usage}")
    if words and positional is None:
        raise UserError(f"unexpected word {words[0]!r}; usage: {usage}")
    needed = positional is not None and not positional.startswith("[")
    if needed and not words and not (instead and values[instead].value):
        raise UserError(f"no {positional} given; usage: {usage}")
    return words


def text(word: str) -> str:
    """A word that is text: typed as UTF-8, it is the same whatever the locale says."""
    try:
        return os.fsencode(word).decode("utf-8")
    except UnicodeError:
        return word  # typed in the locale's own encoding


def overwrite(values: flags.FlagValues) -> None:
    """Defines the flag of the verbs that write files."""
    flags.DEFINE_bool(
        "overwrite",
        False,
        "replace files that this program did not make, or that were changed since",
        flag_values=values,
    )


def sounds(values: flags.FlagValues) -> None:
    """Defines the flags of the verbs that make sounds of captions."""
    flags.DEFINE_integer(
        "seed",
        0,
        "of all randomness",
        lower_bound=0,
        upper_bound=2**32 - 1,
        flag_values=values,
    )
    flags.DEFINE_string(
        "vocoder",
        None,
        "directory of a vocoder's run or of converted weights; None is the model's own",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "batch_size",
        16,
        "sounds made at a time; memory grows with it, the sounds are the same",
        lower_bound=1,
        flag_values=values,
    )


def _help(values: flags.FlagValues, usage: str, about: str) -> str:
    lines = [f"usage: {usage}", "", about.strip(), ""]
    for name in sorted(values):
        flag = values[name]
        default = "" if flag.default is None else f" (default {flag.default})"
        text = textwrap.fill(f"{flag.help}{default}", 58).splitlines()
        lines.append(f"  --{name:<17} {text[0]}")
        lines.extend(" " * 22 + more for more in text[1:])
    return "\n".join(lines)
