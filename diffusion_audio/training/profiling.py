"""A trace of a few steps of a run, whenever one asks for it: ``kill -USR1 PID``."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import jax
from absl import logging

FOLDER = "profile"  # in a work directory: a folder for each trace, by its first step
STEPS = 3  # of a trace
SIGNAL = signal.SIGUSR1


class Profiler:
    """Traces the steps after it was asked to.

    Args:
        workdir: of the run.
    """

    def __init__(self, workdir: Path) -> None:
        self._workdir = workdir
        self._asked = False
        self._left = 0

    @property
    def tracing(self) -> bool:
        """Whether a trace is under way."""
        return self._left > 0

    def ask(self) -> None:
        """Begins a trace with the next step, unless one is under way."""
        self._asked = True

    def before(self, step: int) -> None:
        """To be called before each step is given to the device."""
        if not self._asked or self.tracing:
            return
        self._asked, self._left = False, STEPS
        place = self._workdir / FOLDER / str(step)
        logging.info("tracing steps %d to %d into %s", step, step + STEPS - 1, place)
        try:
            jax.profiler.start_trace(str(place))
        except Exception as error:  # of the profiler, of any kind
            self._left = 0
            _log_failure(error)

    def after(self, computed: Any) -> None:
        """To be called after each step, with what it gave; waits for a traced one."""
        if not self.tracing:
            return
        jax.block_until_ready(computed)
        self._left -= 1
        if not self.tracing:
            self.close()

    def close(self) -> None:
        """Ends a trace."""
        self._left = 0
        try:
            jax.profiler.stop_trace()
        except Exception as error:  # as a full disk, which is no reason to stop
            _log_failure(error)
            return
        logging.info("the trace is written; TensorBoard, XProf and Perfetto show it")


def _log_failure(error: Exception) -> None:
    logging.warning("no trace is written (%s); training goes on", error)


@contextmanager
def profiled(workdir: Path) -> Iterator[Profiler]:
    """A profiler that answers ``SIGUSR1``, where signals can be taken."""
    profiler = Profiler(workdir)

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        profiler.ask()

    main = threading.current_thread() is threading.main_thread()
    old = signal.signal(SIGNAL, handle) if main else None
    try:
        yield profiler
    finally:
        if profiler.tracing:
            profiler.close()
        if main:
            signal.signal(SIGNAL, old if old is not None else signal.SIG_DFL)
