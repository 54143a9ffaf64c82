"""Bad clips: how many of a set may be skipped, and which were."""

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.errors import UserError

_log = logging.getLogger(__name__)

FEW = 20  # clips that any set of 200 or more may lack


def allowed(clips: int, budget: float) -> int:
    """How many bad clips a set may have.

    A share of a large set. Of a small one, a share as small would be less than a clip,
    and two bad files no reason to stop: a tenth of it, or ``FEW`` clips where that is
    less. One clip always.
    """
    return max(1, min(clips // 10, FEW), int(budget * clips))


class Notes(Protocol):
    """Texts by name: a dict, or what all processes of a run write and read."""

    def __setitem__(self, name: str, text: str) -> None:
        """Writes one."""
        ...

    def pop(self, name: str, default: None) -> str | None:
        """Takes one away, if it is there."""
        ...

    def copy(self) -> dict[str, str]:
        """All of them."""
        ...


class Skipped:
    """Bad clips met so far: each counted once, reported once, within a budget.

    Args:
        name: of the set.
        clips: how many it has.
        budget: share of them that may be bad; see `allowed`.
        notes: where bad clips are noted, by number. Looked at when one is met, so that
            processes which share it share the budget, and no batch waits for it.
    """

    def __init__(
        self, name: str, clips: int, budget: float, notes: Notes | None = None
    ):
        self._name = name
        self._clips = clips
        self._allowed = allowed(clips, budget)
        self._notes: Notes = dict[str, str]() if notes is None else notes
        self._noted: dict[str, str] = {}  # when they were last looked at
        self._saved: dict[str, str] = {}  # known from before
        self._lock = threading.Lock()

    @property
    def counts(self) -> dict[str, int]:
        """How many clips were skipped, by kind of damage."""
        return dict(Counter(self.get_state().values()))

    def get_state(self) -> dict[str, str]:
        """The kind of damage of each, by number, as JSON has it."""
        with self._lock:
            return self._saved | self._noted

    def set_state(self, state: Mapping[str, str]) -> None:
        """Knows those of ``get_state`` too."""
        with self._lock:
            self._saved |= state

    def remove(self, index: int) -> None:
        """A clip is good: it always was, or has been mended since."""
        name = str(index)
        with self._lock:
            self._saved.pop(name, None)
            if self._noted.pop(name, None):
                self._notes.pop(name, None)

    def add(self, index: int, error: AudioFileError) -> None:
        """Count a bad clip.

        Raises:
            UserError: if there are more than the budget allows, or no good one.
        """
        name = str(index)
        with self._lock:
            if name in self._saved or name in self._noted:
                return
            self._notes[name] = error.kind
            self._noted = self._notes.copy()
            _log.warning("skipping a bad clip of %s: %s", self._name, error)
            kinds = self._saved | self._noted
        if len(kinds) == self._clips:
            raise UserError(f"every clip of {self._name} is bad; the last: {error}")
        if len(kinds) > self._allowed:
            raise UserError(
                f"{len(kinds)} of the {self._clips} clips of {self._name} are bad "
                f"({dict(Counter(kinds.values()))}), more than the {self._allowed} "
                f"allowed; the last: {error}; `data check` names them all, and "
                "config.data.skip_budget is the share of a set that may be bad"
            )
