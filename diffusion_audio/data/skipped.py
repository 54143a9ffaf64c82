"""Bad clips: how many of a set may be skipped, and which were."""

import logging
import threading
from collections import Counter
from collections.abc import Mapping

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


class Skipped:
    """Bad clips met so far: each counted once, reported once, within a budget."""

    def __init__(self, name: str, clips: int, budget: float):
        self._name = name
        self._clips = clips
        self._allowed = allowed(clips, budget)
        self._kinds: dict[int, str] = {}
        self._lock = threading.Lock()

    @property
    def counts(self) -> dict[str, int]:
        """How many clips were skipped, by kind of damage."""
        return dict(Counter(self._kinds.values()))

    def get_state(self) -> dict[str, str]:
        """The kind of damage of each, by number, as JSON has it."""
        with self._lock:
            return {str(index): kind for index, kind in self._kinds.items()}

    def set_state(self, state: Mapping[str, str]) -> None:
        """Knows those of ``get_state`` too."""
        with self._lock:
            self._kinds |= {int(index): kind for index, kind in state.items()}

    def remove(self, index: int) -> None:
        """A clip is good: it always was, or has been mended since."""
        with self._lock:
            self._kinds.pop(index, None)

    def add(self, index: int, error: AudioFileError) -> None:
        """Count a bad clip.

        Raises:
            UserError: if there are more than the budget allows, or no good one.
        """
        with self._lock:
            if index in self._kinds:
                return
            self._kinds[index] = error.kind
            _log.warning("skipping a bad clip of %s: %s", self._name, error)
            if len(self._kinds) == self._clips:
                raise UserError(f"every clip of {self._name} is bad; the last: {error}")
            if len(self._kinds) > self._allowed:
                raise UserError(
                    f"{len(self._kinds)} of the {self._clips} clips of {self._name} "
                    f"are bad ({self.counts}), more than the {self._allowed} allowed; "
                    f"the last: {error}; `data check` names them all"
                )
