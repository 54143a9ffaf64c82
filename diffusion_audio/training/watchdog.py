"""A run that hangs ends, and says where it hung.

A thread looks at when the loop last got on. Where that is too long ago it writes the
stacks of all threads to stderr and to a file, and ends the process: a job system starts
it again, and it goes on from its last checkpoint. Code in C that keeps Python's lock
keeps that thread waiting too, so a timer of `faulthandler`, which needs no lock, has
the last word.
"""

import faulthandler
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from diffusion_audio.training.interruption import say

FILE = "hung.txt"  # in a work directory
# Compiling and evaluating say nothing of how far they are, and take long.
PATIENCE = 10
# Seconds more that the timer waits. It cannot tell a process that hangs from one that
# was suspended for so long.
GRACE = 3 * 3600
STDERR = 2
FAILED = 1  # exit code, as of any failure; that of faulthandler too

Alive = Callable[..., None]
"""``alive(doing, patient=False)``: the loop got on, and goes on with ``doing``."""


@contextmanager
def watchdog(seconds: float, workdir: Path) -> Iterator[Alive]:
    """Ends the process where the loop does not get on for too long.

    Args:
        seconds: how long, ten times that where ``alive`` was told to be patient; 0 for
            ever.
        workdir: where the file with the stacks goes.

    Yields:
        What the loop calls each time it gets on.
    """
    if not seconds:
        yield lambda doing, patient=False: None
        return
    watched = _Watched(seconds, workdir)
    thread = threading.Thread(target=watched.watch, daemon=True, name="watchdog")
    thread.start()
    try:
        yield watched.alive
    finally:
        watched.ended.set()
        thread.join()
        faulthandler.cancel_dump_traceback_later()


class _Watched:
    """What the loop does, since when, and how long it may take."""

    def __init__(self, seconds: float, workdir: Path) -> None:
        self.ended = threading.Event()
        self._seconds, self._path = seconds, workdir / FILE
        self._suspended = 0.0  # seconds that the process stood still
        self.alive("the start", patient=True)

    def alive(self, doing: str, patient: bool = False) -> None:
        limit = self._seconds * (PATIENCE if patient else 1)
        # At once: another thread reads it.
        self._now = (doing, time.monotonic() - self._suspended, limit)

    def watch(self) -> None:
        pause = min(1.0, self._seconds / 4)
        last = time.monotonic()
        while True:
            # A look that comes late says that the whole process stood still, as one
            # that is suspended does, or that a call kept Python's lock.
            now = time.monotonic()
            if (late := now - last - 2 * pause) > 0:
                self._suspended += late
            last = now
            doing, since, limit = self._now
            if now - self._suspended - since > limit:
                self._end(doing, limit)
            # Set back as long as this thread runs.
            faulthandler.dump_traceback_later(limit + GRACE, file=STDERR, exit=True)
            if self.ended.wait(pause):
                return

    def _end(self, doing: str, limit: float) -> None:
        where = self._path
        try:
            with where.open("w", encoding="utf-8") as file:
                file.write(f"in {doing}, for more than {limit:g} s\n")
                file.flush()
                faulthandler.dump_traceback(file)
            kept = f"stacks in {where}"
        except OSError as error:
            kept = f"{where} cannot be written ({error.strerror or error})"
        faulthandler.dump_traceback(STDERR)
        say(
            f"{doing} does not get on for {limit:g} s, so the process is ended "
            f"({kept}); the same command goes on from the last checkpoint; "
            "config.train.watchdog says how long is too long, 0 for ever"
        )
        os._exit(FAILED)
