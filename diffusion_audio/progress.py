"""Progress of long work on stderr: a live bar on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 10.0


class View(Protocol):
    """Where a piece of work says how far it is."""

    def update(self, done: float, values: Mapping[str, float] | None = None) -> None:
        """Shows that ``done`` steps are done, a part of one too, with a few numbers."""
        ...

    def close(self) -> None:
        """Ends the display."""
        ...


# Makes a view of the work's name, the steps in all and those done before.
MakeView = Callable[[str, int, int], View]


class NoView:
    """The view of a process whose work another one shows.

    Args:
        name: what is being done.
        total: number of steps in all.
        done: number of steps done before.
    """

    def __init__(self, name: str, total: int, done: int = 0) -> None:
        del name, total, done

    def update(self, done: float, values: Mapping[str, float] | None = None) -> None:
        """Shows nothing."""

    def close(self) -> None:
        """Ends nothing."""


class ProgressView:
    """How far a piece of work is, its speed, its numbers and the time left.

    Args:
        name: what is being done.
        total: number of steps in all.
        done: number of steps done before.
    """

    def __init__(self, name: str, total: int, done: int = 0) -> None:
        self._name, self._total = name, total
        self._done: float = done
        self._first, self._started = done, time.monotonic()
        self._last_line = self._started
        self._console = Console(file=sys.stderr)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(name, total=total, completed=done, note="")
        self._bar.start()

    def update(self, done: float, values: Mapping[str, float] | None = None) -> None:
        """Shows that ``done`` steps are done, a part of one too, with a few numbers."""
        self._done = done
        note = " ".join(f"{k} {v:.4g}" for k, v in (values or {}).items())
        elapsed = time.monotonic() - self._started
        rate = (done - self._first) / elapsed if elapsed > 0 else 0.0
        note = f"{note} {rate:.2f}/s".strip()
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, note=note)
            return
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES or done >= self._total:
            self._last_line = now
            left = (self._total - done) / rate if rate > 0 else 0.0
            self._console.print(
                f"{self._name} {int(done)}/{self._total} {note} ETA {left:.0f}s",
                highlight=False,
                soft_wrap=True,
            )

    def advance(self, steps: int) -> None:
        """Shows that so many more steps are done."""
        self.update(self._done + steps)

    def close(self) -> None:
        """Ends the display."""
        self._bar.stop()


class Part:
    """The view of one piece of work, shown as a part of the whole.

    Args:
        view: of the whole.
        before: steps of the whole that come before.
    """

    def __init__(self, view: View, before: int) -> None:
        self._view, self._before = view, before

    def update(self, done: float, values: Mapping[str, float] | None = None) -> None:
        """Shows that ``done`` steps of this piece are done."""
        self._view.update(self._before + done, values)

    def close(self) -> None:
        """The whole goes on."""
