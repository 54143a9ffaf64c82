"""The command ``diffusion-audio``: finds the verb, and says mistakes in one line.

Results go to stdout, progress and messages to stderr. Exit codes: 0 done, 1 failed,
2 a mistake in the command, 130 stopped by SIGINT (Ctrl-C), 143 by SIGTERM, 129 by
SIGHUP. A signal is answered from the first moment on, so nothing heavy is imported
here, nor before the verb knows that its flags are good.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Sequence

from diffusion_audio.cli import streams
from diffusion_audio.cli.compiled import keep_compiled
from diffusion_audio.training import interruption

PROGRAM = "diffusion-audio"
VERBS = {
    "train": "train one network from a config",
    "replay": "compute a past step of a run again, and show what it was made of",
    "generate": "make audio files from prompts",
    "page": "a page to listen to of what generate wrote",
    "vocode": "audio to mels and back through a vocoder",
    "evaluate": "measure a trained run and write its page",
    "score": "score folders of audio by a named protocol",
    "convert": "bring a published model here, or take one of ours there",
    "experiment": "compare variants of a config, with intervals and a page",
    "data": "check or prepare a data set",
    "models": "list the published models that run here",
    "doctor": "check that this machine can do all of it",
}
FAILED, MISTAKE = 1, 2
NEEDS_LESS = (
    "make batches smaller (train: config.data.batch_size, or the same in more parts by "
    "config.train.accumulate; other verbs: --batch_size) or examples shorter "
    "(config.data.seconds), or compute in bfloat16 (config.denoiser.dtype and its like)"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the words after the program's name; those of the process if None.

    Returns:
        The exit code.
    """
    try:
        with interruption.raised_signals():
            code = _answer(list(sys.argv[1:] if argv is None else argv))
    except interruption.Interrupted as stop:
        code = _say(str(stop), 128 + stop.number)
        if argv is None:  # threads of libraries do not end well in the midst of work
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    except KeyboardInterrupt:
        code = _say("interrupted by SIGINT", 130)
    if argv is None:
        interruption.end_silently()
        if interruption.ends_abruptly:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return code


def _answer(words: list[str]) -> int:
    """Runs one command; its exit code, whatever becomes of it but a signal."""
    words, parts, debug = _common(words)
    streams.print_anything()
    _log_to_stderr(debug)
    try:
        _read_parts(parts)
        code = _run(words)
        sys.stdout.flush()  # a reader that has gone is noticed here, not at exit
        return code
    except SystemExit as stop:  # --help, once shown
        return stop.code if isinstance(stop.code, int) else 0
    except BrokenPipeError:  # the reader of our stdout has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if debug:
            import traceback

            traceback.print_exc()
        return _explain(error, kept=debug)


def _common(words: list[str]) -> tuple[list[str], list[str], bool]:
    """What any verb takes: other words, files of parts, whether to show tracebacks."""
    end = words.index("--") if "--" in words else len(words)
    options, rest = words[:end], words[end:]
    while "--parts" in options[:-1]:  # its value may stand apart, as of any flag
        at = options.index("--parts")
        options[at : at + 2] = [f"--parts={options[at + 1]}"]
    parts = [word for word in options if word.startswith("--parts=")]
    left = [word for word in options if word not in (*parts, "--debug")]
    return [*left, *rest], parts, "--debug" in options


def _read_parts(flags: list[str]) -> None:
    """Makes parts of one's own known: of the environment, then of the flags."""
    files = os.environ.get("DIFFUSION_AUDIO_PARTS", "").split(os.pathsep)
    for flag in flags:
        files += flag.removeprefix("--parts=").split(",")
    if files := list(filter(None, files)):
        from diffusion_audio.systems import outside

        for file in files:
            outside.read(file)


def _run(words: list[str]) -> int:
    if not words or words[0] in ("--help", "-h", "help"):
        # Results go to stdout; without a verb this is the answer to a mistake.
        print(_overview(), file=sys.stdout if words else sys.stderr)
        return 0 if words else MISTAKE
    if words[0] not in VERBS:
        from diffusion_audio.errors import unknown

        raise unknown("verb", words[0], VERBS)
    keep_compiled()
    verb = importlib.import_module(f"diffusion_audio.cli.{words[0]}")
    return verb.main(words[1:])


def _overview() -> str:
    lines = [f"  {verb:<12}{about}" for verb, about in VERBS.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} VERB ...",
            "",
            *lines,
            "",
            f"{PROGRAM} VERB --help   says what a verb takes",
            "--parts=FILE.py,...           with any verb: parts of your own",
            "--debug                       with any verb: show tracebacks",
        ]
    )


def _log_to_stderr(debug: bool = False) -> None:
    """Lets the library's messages through, and only warnings of other packages."""
    import logging

    from absl import logging as absl_logging

    package = os.path.dirname(os.path.dirname(__file__))

    def wanted(record: logging.LogRecord) -> bool:
        ours = record.pathname.startswith(package)
        if not ours and not debug:  # orbax shows tracebacks of what it raises too
            record.exc_info = None
        return ours or record.levelno >= logging.WARNING

    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(wanted)
    logging.basicConfig(format="%(message)s", handlers=[handler])
    absl_logging.set_verbosity(absl_logging.INFO)


def _say(text: str, code: int) -> int:
    print(f"{PROGRAM}: {' '.join(text.split())}", file=sys.stderr)
    return code


def _explain(error: Exception, *, kept: bool) -> int:
    """One line for an error, and its exit code.

    Args:
        error: what went wrong.
        kept: whether the traceback has been shown already.
    """
    from absl import flags

    from diffusion_audio.errors import UserError

    if any(map(_disk_is_full, _chain(error))):
        return _say(f"the disk is full: {_first_line(error)}", FAILED)
    if isinstance(error, (UserError, flags.Error)):
        return _say(str(error), MISTAKE)
    if isinstance(error, OSError) and error.filename is not None:
        return _say(f"{error.filename}: {error.strerror}", MISTAKE)
    if any(map(_memory_is_short, _chain(error))):
        return _say(f"out of memory: {_first_line(error)}; {NEEDS_LESS}", FAILED)
    what = f"failed with {type(error).__name__}: {_first_line(error)}"
    if type(error).__name__ in ("XlaRuntimeError", "JaxRuntimeError"):
        what += f"; `{PROGRAM} doctor` says whether this machine computes as it should"
    where = "" if kept else _keep_traceback(error)
    return _say(what + where, FAILED)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0][:500]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # one may lead to itself
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _disk_is_full(error: BaseException) -> bool:
    import errno

    # TensorStore, under orbax, reports it as text only.
    return (
        isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    ) or "No space left on device" in str(error)


def _memory_is_short(error: BaseException) -> bool:
    # The compiler says both of a device, and "Out of memory" of what it plans too.
    signs = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
    )


def _keep_traceback(error: Exception) -> str:
    """Writes the traceback to a file: a long run need not fail again to be read."""
    import tempfile
    import traceback

    try:
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            errors="backslashreplace",
            prefix=f"{PROGRAM}-",
            suffix=".txt",
            delete=False,
        ) as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return " (--debug shows the traceback)"
    return f" (traceback in {file.name})"
