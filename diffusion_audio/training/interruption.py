"""Signals that ask a process to stop: SIGINT (Ctrl-C), SIGTERM, SIGHUP (lost terminal).

Python runs the handler of a signal in the main thread, between two of its own
instructions: not while that thread is in a compiler. And what a handler raises is lost
where code in C calls back into Python, as imports do. So a second thread reads the
signals where the system itself writes them at once (`signal.set_wakeup_fd`); it
answers for a busy main thread, and has the last word.

Only what Python starts with is imported here: this serves before all else is there.
"""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 1.0  # seconds until the user is told that something is waited for
GRACE = 10.0  # seconds until a process that has nothing to save is ended
# `timeout` and some job systems send a signal twice: to a process and to its group.
ONE_SIGNAL = 0.2  # seconds


# Whether the process ends without what libraries do at exit: jax would wait there for
# other processes of the run.
ends_abruptly = False


class Interrupted(KeyboardInterrupt):
    """A signal ended the work.

    Args:
        text: what is saved and how to go on, one line.
        number: of the signal.
    """

    def __init__(self, text: str, number: int = signal.SIGINT) -> None:
        super().__init__(text)
        self.number = number


class Stop:
    """Whether a signal asked to stop; false until then.

    Attributes:
        number: of the first signal; None until it came.
        doing: what is done now and is waited for, as the user is told.
        at_once: whether a signal ends the process at once: there is nothing to save
            yet, and what is done takes long.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.doing = "this step"
        self.at_once = False

    def ask(self, number: int) -> None:
        """A signal came; may be called more than once for it, from any thread."""
        self.number = self.number or number

    def leave(self, number: int) -> None:
        """A second signal, which ends this process at once."""

    def __bool__(self) -> bool:
        return self.number is not None

    @property
    def name(self) -> str:
        """Of the signal."""
        return _name(self.number or 0)


@contextmanager
def stop_signals(stop: Stop | None = None) -> Iterator[Stop]:
    """Remembers a signal, so that what is computed can be saved first.

    A second one, of whatever kind, ends the process at once.

    Args:
        stop: what is told of it; a new one where None.
    """
    stop = Stop() if stop is None else stop
    handled, watched = _Seen(), _Seen()

    def handle(number: int, _: FrameType | None) -> None:
        if handled.before(number):
            stop.leave(number)
            _end_at_once(number)
        stop.ask(number)

    def watch(number: int | None) -> None:
        if number is None:
            return
        if watched.before(number):
            stop.leave(number)
            _end_at_once(number)
        if stop.at_once:
            _end(f"stopped by {_name(number)} in {stop.doing}: nothing is lost", number)
        stop.ask(number)
        say(
            f"{_name(number)}: stopping once {stop.doing} is done and saved; a second "
            "signal stops at once and saves nothing"
        )

    with _taken(handle, watch):
        yield stop


@contextmanager
def raised_signals() -> Iterator[None]:
    """Raises `Interrupted` in the main thread, so that what is open is closed.

    Where that cannot work, the process is ended: at once during an import, after
    ``GRACE`` where nothing has come of it, and by a second signal.
    """
    handled, watched = _Seen(), _Seen()

    def handle(number: int, frame: FrameType | None) -> None:
        if handled.before(number):
            _end_at_once(number)
        if _importing(frame):
            _end(f"interrupted by {_name(number)}", number)
        if not handled.repeated:
            raise Interrupted(f"interrupted by {_name(number)}", number)

    def watch(number: int | None) -> None:
        if number is not None:
            if watched.before(number):
                _end_at_once(number)
        elif watched.first is not None:  # some time has passed
            name, waited = _name(watched.first), time.monotonic() - watched.since
            if waited > GRACE:
                _end(f"interrupted by {name}", watched.first)
            if waited > PATIENCE and not watched.told:
                watched.told = True
                say(f"{name}: stopping; a second signal stops at once")

    usual = sys.unraisablehook

    def unraisable(lost: Any) -> None:
        if isinstance(lost.exc_value, Interrupted):
            _end(str(lost.exc_value), lost.exc_value.number)
        # A thread of a library may miss what was closed: TensorStore its event loop.
        if handled.first is None:
            usual(lost)

    sys.unraisablehook = unraisable
    try:
        with _taken(handle, watch):
            yield
    finally:
        sys.unraisablehook = usual


def end_silently() -> None:
    """From here on a signal ends the process at once: all work is done."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: os._exit(128 + number))


def say(text: str) -> None:
    """One line on stderr; takes no lock, since the main thread may hold it."""
    terminal = os.isatty(2)
    # A live bar hides the cursor, and stands where this line is to be.
    before, after = ("\r\x1b[K", "\x1b[?25h") if terminal else ("", "")
    try:
        os.write(2, f"{before}diffusion-audio: {text}\n{after}".encode())
    except OSError:  # nobody reads it any more
        return


class _Seen:
    """The signals that one reader of them has seen.

    Attributes:
        first: the first one; None until it came.
        since: when that was.
        repeated: whether there were more.
        told: whether the user knows that it is waited.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.since = 0.0
        self.repeated = self.told = False
        self._last = (0, 0.0)

    def before(self, number: int) -> bool:
        """Whether one had come before this one, and not the same sent twice."""
        now, last = time.monotonic(), self._last
        self._last = (number, now)
        if self.first is None:
            self.first, self.since = number, now
            return False
        self.repeated = True
        return last[0] != number or now - last[1] > ONE_SIGNAL


@contextmanager
def _taken(
    handle: Callable[[int, FrameType | None], None],
    watch: Callable[[int | None], None],
) -> Iterator[None]:
    """Gives signals to ``handle`` in the main thread, and at once to ``watch``.

    ``watch`` runs in a thread of its own, and twice a second with None. Elsewhere
    than in the main thread signals cannot be taken, and are left as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    thread = threading.Thread(target=_read, args=(read, watch), daemon=True)
    thread.start()
    outer = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    # Under nohup a lost terminal is to be survived.
    ignored = (
        {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else ()
    )
    old = {n: signal.signal(n, handle) for n in SIGNALS if n not in ignored}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(outer)
        os.write(write, b"\0")
        thread.join()
        os.close(read)
        os.close(write)


def _read(pipe: int, watch: Callable[[int | None], None]) -> None:
    while True:
        if not select.select([pipe], [], [], 0.5)[0]:
            watch(None)
            continue
        number = os.read(pipe, 1)[0]
        if not number:  # the end, no signal
            return
        if number in SIGNALS:
            watch(number)


def _importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported, where an exception may be swallowed."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _name(number: int) -> str:
    return signal.Signals(number).name


def _end_at_once(number: int) -> NoReturn:
    _end(f"stopped at once by a second signal, {_name(number)}", number)


def _end(text: str, number: int) -> NoReturn:
    say(text)
    os._exit(128 + number)
