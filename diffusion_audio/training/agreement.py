"""How processes of one run agree on where they stop, and learn of each other's end.

Stopping is agreed on by counting. The main threads of all processes pass the same
*points*, at each of which they may stop: before a step, before a batch of an
evaluation. Once a signal has reached any of them, each says the first point that it can
still stop at, and all stop at the last of these.

A thread of each process looks at the store that they share (`systems.processes`) a few
times a second. So a step costs no word between them, and a process whose main thread
waits for the devices of one that is gone is ended all the same.
"""

import contextlib
import json
import os
import threading
import time
from typing import Any

import jax

from diffusion_audio.training.interruption import Stop, say

# Exit codes of a process that is ended because of another one.
FAILED = 1
MISTAKE = 2  # in what all were given, which one of them has met

BEAT = 0.25  # seconds between two looks
SILENCE = 30.0  # seconds without a beat until a process counts as gone
SUSPICION = 5.0  # the same, once a computation with it has failed
GRACE = 3.0  # seconds for a process to say itself what ends it


class Together:
    """What this process and the others have to tell each other while a run goes on.

    Args:
        store: a key-value store of all processes.
        index: of this process.
        count: of all.

    Attributes:
        stopped: the signal that all have stopped for; None until then.
    """

    def __init__(self, store: Any, index: int, count: int) -> None:
        self.stopped: int | None = None
        self._store, self._index, self._count = store, index, count
        self._asked: int | None = None  # by a signal to this process
        self._number: int | None = None  # of the signal that all know of
        self._points = 0  # passed by the main thread
        self._last: int | None = None  # the point that all stop at
        self._changed = threading.Condition()
        # The first listens to all others, and these to the first.
        others = range(1, count) if index == 0 else (0,)
        self._own, self._theirs = "beats/", "first/"
        if index == 0:
            self._own, self._theirs = self._theirs, self._own
        self._heard = {i: ("", time.monotonic()) for i in others}
        self._silence = SILENCE
        self._ending: tuple[float, dict[str, Any]] | None = None
        self._beats = 0
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def ask(self, number: int) -> None:
        """A signal asks this process to stop, and so all of them; from any thread."""
        self._asked = self._asked or number

    def reached(self) -> int | None:
        """Counts a point; the signal to stop for where all do at this one."""
        with self._changed:
            self._points += 1
            while self._number is not None and self._last is None:
                self._changed.wait(BEAT)
            if self._last is not None and self._points >= self._last:
                self.stopped = self._number
            return self.stopped

    def leave(self, why: str, code: int) -> None:
        """Tells the others that this process ends, so that they do too."""
        why = " ".join(why.split())[:500]
        record = {"process": self._index, "why": why, "code": code, "grace": GRACE}
        teller = threading.Thread(target=self._tell, args=(record,), daemon=True)
        teller.start()  # the store may be gone
        teller.join(GRACE)

    def suspect(self) -> None:
        """Waits a while for the one whose end made a computation fail."""
        self._silence = SUSPICION
        time.sleep(2 * SUSPICION)

    def close(self) -> None:
        """Looks no more; the others are as far."""
        self._closed.set()
        self._watcher.join()

    def _tell(self, record: dict[str, Any]) -> None:
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            self._set("end/first", json.dumps(record))

    def _watch(self) -> None:
        """Looks and tells, until it is closed or the process ends."""
        reached = time.monotonic()
        while not self._closed.wait(BEAT):
            try:
                self._beat()
                reached = time.monotonic()
            except jax.errors.JaxRuntimeError:
                if time.monotonic() - reached > min(self._silence, SUSPICION):
                    self._end("the machine of the first process is gone", FAILED)
            if self._ending is not None and time.monotonic() > self._ending[0]:
                record = self._ending[1]
                why = f"process {record['process']} has ended: {record['why']}"
                self._end(why, record["code"])

    def _beat(self) -> None:
        self._beats += 1
        self._store.key_value_set(
            f"{self._own}{self._index}", str(self._beats), allow_overwrite=True
        )
        if self._asked is not None and self._number is None:
            self._set("stop/signal", str(self._asked))
        stop = self._entries("stop/")
        if "signal" in stop and self._number is None:
            with self._changed:  # what the main thread has passed, it has passed
                self._set(f"points/{self._index}", str(self._points + 1))
                self._number = int(stop["signal"])
        if "point" in stop and self._last is None:
            with self._changed:
                self._last = int(stop["point"])
                self._changed.notify_all()
        if self._ending is None and (end := self._entries("end/")):
            record = json.loads(end["first"])
            if record["process"] != self._index:
                self._ending = (time.monotonic() + record["grace"], record)
        if self._index == 0 and self._number is not None and self._last is None:
            points = self._entries("points/")
            if len(points) == self._count:
                self._set("stop/point", str(max(map(int, points.values()))))
        self._listen()

    def _listen(self) -> None:
        """Says of a process that is not heard any more that it has ended."""
        now = time.monotonic()
        for name, beat in self._entries(self._theirs).items():
            if self._heard[int(name)][0] != beat:
                self._heard[int(name)] = (beat, now)
        gone = [i for i, (_, at) in self._heard.items() if now - at > self._silence]
        if gone:
            why = f"nothing was heard of it for {self._silence:.0f} s"
            record = {"process": gone[0], "why": why, "code": FAILED, "grace": 0}
            self._set("end/first", json.dumps(record))

    def _entries(self, directory: str) -> dict[str, str]:
        found = self._store.key_value_dir_get(directory)
        return {name.rpartition("/")[2]: value for name, value in found}

    def _set(self, name: str, value: str) -> None:
        """Sets a key once; who comes later changes nothing."""
        try:
            self._store.key_value_set(name, value)
        except jax.errors.JaxRuntimeError as error:
            if "ALREADY_EXISTS" not in str(error):
                raise

    def _end(self, why: str, code: int) -> None:
        say(f"{why}; what is saved is kept, and the same commands go on from there")
        os._exit(code)


class AgreedStop(Stop):
    """A stop that all processes of a run make at the same point.

    Args:
        together: by which they agree.
    """

    def __init__(self, together: Together) -> None:
        super().__init__()
        self._together = together

    def ask(self, number: int) -> None:
        """A signal came to this process."""
        self._together.ask(number)

    def leave(self, number: int) -> None:
        """A second signal ends this process at once, and so the others."""
        self._together.leave("stopped at once by a second signal", 128 + number)

    def __bool__(self) -> bool:
        """Whether all stop here; each time that it is asked counts as a point."""
        if self.number is None:
            self.number = self._together.reached()
        return self.number is not None
