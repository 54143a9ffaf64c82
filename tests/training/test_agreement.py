"""What processes of a run tell each other: where they stop, and that one has ended."""

import signal
import subprocess
import sys
import threading
import time

import jax
import pytest

from diffusion_audio.systems import processes
from diffusion_audio.training import agreement, resume
from diffusion_audio.training.agreement import AgreedStop, Together
from tests.training.test_together import free_port


class Store:
    """A key-value store as jax has it."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.lock = threading.Lock()

    def key_value_set(self, name, value, allow_overwrite=False):
        with self.lock:
            if name in self.values and not allow_overwrite:
                raise jax.errors.JaxRuntimeError("ALREADY_EXISTS")
            self.values[name] = value

    def key_value_dir_get(self, name):
        with self.lock:
            return [item for item in self.values.items() if item[0].startswith(name)]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(agreement, "BEAT", 0.005)


def test_all_stop_at_the_same_point_wherever_they_are(quick):
    store = Store()
    group = [Together(store, i, 3) for i in range(3)]
    stops, points = [AgreedStop(one) for one in group], [0, 0, 0]

    def work(i: int) -> None:
        while not stops[i]:
            points[i] += 1
            time.sleep(0.001 * (1 + i))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    stops[1].ask(signal.SIGTERM)
    stops[2].ask(signal.SIGINT)
    for thread in threads:
        thread.join()
    assert len(set(points)) == 1
    assert len({stop.number for stop in stops}) == 1
    assert all(stops)  # once reached it stays
    for one in group:
        one.close()


def test_without_a_signal_nobody_stops(quick):
    alone = Together(Store(), 0, 1)
    stop = AgreedStop(alone)
    assert not any(bool(stop) for _ in range(100))
    alone.close()


@pytest.fixture
def ended(quick, monkeypatch):
    """Two processes, and how either is ended because of the other."""
    said: list[tuple[int, str, int]] = []

    def end(self, why: str, code: int) -> None:
        said.append((self._index, why, code))
        self._closed.set()

    monkeypatch.setattr(Together, "_end", end)
    monkeypatch.setattr(agreement, "SILENCE", 0.5)
    monkeypatch.setattr(agreement, "GRACE", 0.05)
    store = Store()
    group = [Together(store, i, 2) for i in range(2)]
    yield group, said
    for one in group:
        one.close()


@pytest.mark.parametrize("silent", [0, 1])
def test_who_is_not_heard_any_more_ends_the_others(ended, silent):
    group, said = ended
    group[silent].close()
    group[1 - silent]._closed.wait(10)
    why = f"process {silent} has ended: nothing was heard of it for 0 s"
    assert said == [(1 - silent, why, agreement.FAILED)]


def test_who_leaves_says_why_and_with_which_code(ended):
    group, said = ended
    group[1].leave("the disk\nis full", 143)
    group[0]._closed.wait(10)
    assert said == [(0, "process 1 has ended: the disk is full", 143)]


BOARD = """
import sys, jax
jax.distributed.initialize(f"localhost:{sys.argv[1]}", 1, 0)
from diffusion_audio.systems.processes import Board
one, other, another = Board("clips"), Board("clips"), Board("others")
one["3"], one["14"], another["3"] = "empty", "empty", "missing"
other["3"] = "unreadable"
assert one.copy() == other.copy() == {"3": "unreadable", "14": "empty"}
one.pop("14"), one.pop("15")
assert other.copy() == {"3": "unreadable"}
assert another.copy() == {"3": "missing"}
"""


def test_what_one_process_notes_all_can_read():
    words = [sys.executable, "-c", BOARD, str(free_port())]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_a_saved_position_has_the_bad_clips_of_all(monkeypatch):
    said = [{"1": "empty"}, {"2": "missing"}, {}]
    monkeypatch.setattr(processes, "alone", lambda: False)
    monkeypatch.setattr(processes, "of_all", lambda own: [own, *said])
    position = {"place": {"next_index": 8}, "skipped": {"0": "empty"}}
    assert resume.of_all_processes(position) == {
        "place": {"next_index": 8},
        "skipped": {"0": "empty", "1": "empty", "2": "missing"},
    }
