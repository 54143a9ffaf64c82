"""A process that decodes audio files for another one, within limits; see `decoders`.

Requests come on its standard input, a line of JSON each; each answer is a line of JSON
on the standard output, with the bytes of an array after it where there is one. What a
task yields are as many answers, each but the first asked for by an empty line, and one
that they are all. So nothing that comes out of a decoder can be taken for code. It
imports what decoding needs and no more, and ends when its input does.
"""

import contextlib
import dataclasses
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from diffusion_audio.audio import files, hearing
from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.errors import UserError

Answer = tuple[dict[str, Any], bytes | bytearray]

# What may be asked for, by name, and what its values, an array the first of them, are
# to become again; None where there is only one.
TASKS: dict[str, tuple[Callable[..., Any], Callable[..., Any] | None]] = {
    "excerpt": (files.excerpt, None),
    "read": (files.read, None),
    "blocks": (files.blocks, None),
    "decode": (files.decode, files.Recording),
    "probe": (files.probe, files.AudioInfo),
    "hear_file": (hearing.hear_file, hearing.Heard),
}
DTYPE = np.dtype("<f4")


def main(words: list[str]) -> int:
    """Answers requests until there are none.

    Args:
        words: the bytes of memory that decoding may take.
    """
    memory = int(words[0])
    # Signals are for the process that asks; this one ends with it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # What a library prints is no answer.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        _limit(memory)
        for line in sys.stdin.buffer:
            seconds, *request = json.loads(line)
            for head, body in _in_time(_answers(request, memory), seconds):
                try:
                    answers.write(json.dumps(head).encode() + b"\n" + body)
                    answers.flush()
                except BrokenPipeError:
                    os._exit(0)  # who asked is gone
                if "more" in head:
                    sys.stdin.buffer.readline()
    return 0


def _in_time(answers: Iterator[Answer], seconds: float) -> Iterator[Answer]:
    """Answers that take so long in all; the time until one is asked for is free."""
    while True:
        # Nobody handles SIGALRM: it ends the process, whatever it is stuck in.
        signal.setitimer(signal.ITIMER_REAL, seconds)
        answer = next(answers, None)
        seconds, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        if answer is None:
            return
        yield answer


def _answers(request: list[Any], memory: int) -> Iterator[Answer]:
    """Lines that say what came, each with the bytes of an array."""
    name, args, options = request
    try:
        result = TASKS[name][0](*args, **options)
        if isinstance(result, Iterator):
            for part in result:
                head, body = _described(part)
                yield head | {"more": True}, body
            yield {"end": True}, b""
        else:
            yield _described(result)
    except AudioFileError as error:
        yield {"bad": (error.kind, os.fspath(error.path), error.problem)}, b""
    except MemoryError:
        problem = f"decoding takes more than the {memory >> 20} MB that it may"
        yield {"bad": ("too-large", args[0], problem)}, b""
    except UserError as error:
        yield {"refused": str(error)}, b""
    except Exception:
        yield {"failed": traceback.format_exc()}, b""


def _described(result: Any) -> Answer:
    """An array, or the fields of a dataclass or a named tuple, the first maybe one."""
    if isinstance(result, np.ndarray):
        values = [result]
    elif dataclasses.is_dataclass(result):
        values = [*vars(result).values()]
    else:
        values = [*result]
    if not isinstance(values[0], np.ndarray):
        return {"values": values}, b""
    array, *values = values
    body = array.astype(DTYPE, copy=False).tobytes()
    return {"shape": array.shape, "values": values}, body


def _limit(memory: int) -> None:
    """Bounds what this process may take from here on."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # of Linux only
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
