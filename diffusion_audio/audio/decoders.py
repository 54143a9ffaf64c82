"""Decoding in worker processes, so that a bad file costs a clip and never the run.

libsndfile and the codecs under it are C code that reads files of others. Where one of
them crashes, hangs or wants all memory, the process dies that it runs in: a worker of
its own, which is started again. The samples are those of decoding here, to the bit.
"""

import contextlib
import inspect
import io
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import numpy as np

import diffusion_audio
from diffusion_audio.audio.decode_worker import DTYPE, TASKS, Answer
from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.errors import UserError

MEMORY = 2 << 30  # bytes that decoding may take in each worker
SECONDS = 60.0  # that one file may take, and one more for each of its megabytes
GRACE = 5.0  # seconds more, for a worker that the kernel does not let die
STOPPED = "decoding was stopped"
WORKER = ("-P", "-m", "diffusion_audio.audio.decode_worker")

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Decode(Protocol):
    """Calls one of `decode_worker.TASKS`, here or elsewhere; from any thread."""

    def __call__(
        self, task: Callable[_P, _T], /, *args: _P.args, **options: _P.kwargs
    ) -> _T:
        """What the task returns."""
        ...


def here(task: Callable[_P, _T], /, *args: _P.args, **options: _P.kwargs) -> _T:
    """Decodes in this process."""
    return task(*args, **options)


@contextlib.contextmanager
def decoding(workers: int | None = None) -> Iterator[Decode]:
    """Decodes in other processes, which start when they are needed.

    Args:
        workers: how many there may be, 0 for `here`; one for each core if None.
    """
    count = (os.cpu_count() or 1) if workers is None else workers
    if not count:
        yield here
        return
    with contextlib.closing(Decoders(count)) as decoders:
        yield decoders


class Decoders:
    """Worker processes, of which each call takes one.

    Args:
        workers: how many there may be.
    """

    def __init__(self, workers: int) -> None:
        self._free = workers
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._fatal: dict[str, tuple[tuple[int, int], AudioFileError]] = {}
        self._closed = False
        self._change = threading.Condition()

    def __call__(
        self, task: Callable[_P, _T], /, *args: _P.args, **options: _P.kwargs
    ) -> _T:
        """What a task returns for a file; what it yields, as it is needed.

        Args:
            task: one of `decode_worker.TASKS`.
            *args: its arguments, of which the first is the path.
            **options: more of them.

        Raises:
            AudioFileError: as the task; also ``"crashed"``, ``"too-slow"`` or
                ``"too-large"``.
            UserError: as the task, or no worker can be started.
        """
        path = os.fspath(cast(str, args[0]))
        results = self._results(path, task.__name__, args, options)
        if inspect.isgeneratorfunction(task):
            return results  # type: ignore[return-value]  # _T is an iterator here
        (result,) = results
        return cast(_T, result)

    def _results(self, path: str, task: str, *inputs: Any) -> Iterator[Any]:
        """What comes of a task for a file."""
        stamp = _stamp(path)
        if path in self._fatal and self._fatal[path][0] == stamp:
            raise self._fatal[path][1].with_traceback(None)  # or it grows each time
        seconds = SECONDS + stamp[0] / 1e6
        request = json.dumps([seconds, task, *inputs], default=os.fspath).encode()
        try:
            for head, body in self._ask(request, seconds):
                yield _result(task, head, body)
        except _Ended as ended:
            error = ended.error(path, seconds)
            if isinstance(error, AudioFileError):
                self._fatal[path] = stamp, error
            raise error from None

    def close(self) -> None:
        """Ends the workers; calls under way fail."""
        with self._change:
            self._closed = True
            for worker in self._all:
                worker.kill()
            for worker in self._idle:  # who waits for another ends it
                worker.end()
            self._change.notify_all()

    def _ask(self, request: bytes, seconds: float) -> Iterator[Answer]:
        """Answers of a worker; raises `_Ended`, or UserError once it is closed."""
        had = 0
        for attempt in (1, 2):
            worker = self._take()
            try:
                for answer in islice(worker.ask(request, seconds), had, None):
                    had += 1
                    yield answer
                return
            except GeneratorExit:
                if "more" in answer[0]:  # which is not wanted
                    worker.kill()
                raise
            except _Ended as ended:
                if self._closed:
                    raise UserError(STOPPED) from None
                # Else it may have been killed for want of memory by others: once more.
                if ended.by_limit or attempt == 2:
                    raise
            finally:
                self._give(worker)

    def _take(self) -> "_Worker":
        with self._change:
            self._change.wait_for(lambda: self._closed or self._idle or self._free)
            if self._closed:
                raise UserError(STOPPED)
            while self._idle:
                worker = self._idle.pop()
                if worker.is_running():
                    return worker
                worker.end()
                self._all.discard(worker)
                self._free += 1
            worker = _Worker()
            self._free -= 1
            self._all.add(worker)
            return worker

    def _give(self, worker: "_Worker") -> None:
        with self._change:
            kept = worker.alive and not self._closed
            if kept:
                self._idle.append(worker)
            else:
                self._all.discard(worker)
                self._free += 1
            self._change.notify()
        if not kept:  # its last answer may have come just before it was killed
            worker.kill()
            worker.end()


class _Ended(Exception):
    """A worker is gone: by a signal, or because it took too long."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.by_limit = code == -signal.SIGALRM

    def error(self, path: str, seconds: float) -> UserError:
        """The error for the file that was decoded."""
        if self.by_limit:
            problem = f"decoding took more than {seconds:.3g} s"
            return AudioFileError("too-slow", path, problem)
        if self.code < 0:
            name = signal.Signals(-self.code).name
            return AudioFileError("crashed", path, f"its decoder crashed ({name})")
        return UserError(
            f"the process that decodes audio ended with exit code {self.code}; "
            "training decodes without one by config.data.decode_workers=0"
        )


class _Worker:
    """A process that decodes.

    Attributes:
        alive: whether it can be asked.
    """

    def __init__(self) -> None:
        # The same code as here, wherever it lies; and no memory for threads of a
        # library that none of this uses.
        root = str(Path(diffusion_audio.__file__).parents[1])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}
        self.alive = True
        self._process = subprocess.Popen(
            [sys.executable, *WORKER, str(MEMORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | own,
        )
        assert self._process.stdin is not None
        assert isinstance(self._process.stdout, io.BufferedReader)
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._waiting = select.poll()
        self._waiting.register(self._answers, select.POLLIN)

    def is_running(self) -> bool:
        """Whether nothing has ended the process yet."""
        return self._process.poll() is None

    def ask(self, request: bytes, seconds: float) -> Iterator[Answer]:
        """The answers to a request; raises `_Ended` where one is missing."""
        head, body = self._answer(request, seconds)
        while "more" in head:
            yield head, body
            head, body = self._answer(b"", seconds)
        if "end" not in head:
            yield head, body

    def _answer(self, line: bytes, seconds: float) -> Answer:
        """What is answered to a line; raises `_Ended` where nothing is."""
        with contextlib.suppress(BrokenPipeError, json.JSONDecodeError):
            self._requests.write(line + b"\n")
            self._requests.flush()
            if not self._waiting.poll(1000 * (seconds + GRACE)):
                self.kill()
                self.end()
                raise _Ended(-signal.SIGALRM)
            if line := self._answers.readline():
                head = json.loads(line)
                size = DTYPE.itemsize * int(np.prod(head.get("shape", 0)))
                body = bytearray(size)  # unlike bytes, an array of it is written to
                if self._answers.readinto(body) == size:
                    return head, body
        raise _Ended(self.end())

    def kill(self) -> None:
        """Has the process end; who waits for it is told so."""
        self.alive = False
        self._process.kill()

    def end(self) -> int:
        """Ends the process, which has closed its output; the exit code."""
        self.alive = False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        self._process.kill()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        return self._process.wait()


def _result(task: str, head: dict[str, Any], body: bytes | bytearray) -> Any:
    """What a task has returned or yielded, of an answer; raises what it has raised."""
    if "bad" in head:
        raise AudioFileError(*head["bad"])
    if "refused" in head:
        raise UserError(head["refused"])
    if "failed" in head:
        raise RuntimeError(head["failed"])
    values = head["values"]
    if "shape" in head:
        values = [np.frombuffer(body, DTYPE).reshape(head["shape"]), *values]
    _, made = TASKS[task]
    return made(*values) if made else values[0]


def _stamp(path: str) -> tuple[int, int]:
    """Size and time of change of a file; zeros where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
