"""Sessions of a run: from a start or a resumption to the end, or to what stopped it.

``provenance.json`` of a work directory lists those that its newest state comes of.
"""

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from diffusion_audio.errors import UserError
from diffusion_audio.runs import numerics
from diffusion_audio.runs.workdir import provenance, read_json, write_json
from diffusion_audio.storage import sealed, unsealed
from diffusion_audio.systems import processes

PROVENANCE = "provenance.json"

# What time is spent on, in the order in which it is said: until the first step, latents
# that are cached, the first step, waiting for data, steps, steps that were computed
# before and lost, evaluations, checkpoints.
SPENT = (
    *("init", "encode", "compile", "data", "step", "redone", "evaluate", "checkpoint"),
)

# What each session has, and of which kind.
_FIELDS: dict[str, type] = {
    "first_step": int,
    "last_step": int,
    "seconds": dict,
    "commit": str,
    "uncommitted_changes": str,
    "packages": dict,
    "python": str,
    "devices": list,
    "processor": str,
}


def process_started() -> float:
    """When this process began, on the clock of `time.monotonic`.

    Now, where the system does not say it as Linux does.
    """
    now = time.monotonic()
    try:
        stat = Path("/proc/self/stat").read_text(encoding="utf-8")
        ticks = int(stat.rpartition(")")[2].split()[19])  # starttime; see proc(5)
        since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError, ValueError, IndexError):
        return now
    return min(now, now - since_boot + ticks / os.sysconf("SC_CLK_TCK"))


class Stopwatch:
    """Seconds by what they were spent on; they add up to the time since the start.

    Args:
        started: when that was, on the clock of `time.monotonic`; now if None.
    """

    def __init__(self, started: float | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic() if started is None else started

    def lap(self, name: str) -> None:
        """Counts the time since the last lap as spent on ``name``."""
        now = time.monotonic()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now


class Session:
    """What runs now, on record from its first saved step on: before, nothing is kept.

    Args:
        workdir: of the run.
        about: what else is on record of this session.
        started: since when its time counts; see `Stopwatch`.
    """

    def __init__(
        self, workdir: Path, about: Mapping[str, Any], started: float | None = None
    ) -> None:
        self.about = dict(about)
        self.clock = Stopwatch(started)
        self._path = workdir / PROVENANCE
        self._record = provenance()
        self._earlier = sessions(workdir) if self._path.exists() else []
        self._failed = False

    @property
    def last_step(self) -> int:
        """The last step that is on record as saved; 0 where none is."""
        if "last_step" in self._record:
            return self._record["last_step"]
        return max((session["last_step"] for session in self._earlier), default=0)

    def begin(self, step: int) -> None:
        """Goes on from a step; sessions of which nothing is left are dropped."""
        self._record["first_step"] = step + 1
        self._earlier = [s for s in self._earlier if s["first_step"] <= step]
        if self._earlier:
            self._earlier[-1] = self._earlier[-1] | {"last_step": step}
            if changed := numerics.changed(self._earlier[-1], self._record):
                logging.warning(
                    "from step %d on numbers may differ in their last bits from those "
                    "of one uninterrupted run: %s",
                    step + 1,
                    changed,
                )

    def saved(self, step: int) -> None:
        """A step of this session is on the disk."""
        self._record["last_step"] = step
        self.write()

    def write(self) -> None:
        """Puts on record how long it took until now."""
        if "last_step" in self._record and processes.is_first():
            now = self._record | self.about | {"seconds": self.clock.seconds}
            try:
                write_json(self._path, sealed({"sessions": [*self._earlier, now]}))
            except OSError as error:
                if not self._failed:
                    logging.warning(
                        "cannot write %s (%s); training goes on, and it is tried again",
                        self._path,
                        error.strerror or error,
                    )
                self._failed = True

    def end(self) -> None:
        """Puts on record what all its time was spent on, and says it in a line."""
        self.clock.lap("checkpoint")  # closing waits for what is being saved
        self.write()
        if "first_step" not in self._record:  # an error has stopped it before
            return
        spent = self.clock.seconds
        parts = (f"{name} {spent[name]:.1f}" for name in SPENT if name in spent)
        logging.info("%.1f s: %s", sum(spent.values()), ", ".join(parts))


def sessions(workdir: str | Path) -> list[dict[str, Any]]:
    """The sessions of a run, oldest first.

    Each has what `workdir.provenance` says and ``first_step``, ``last_step`` and
    ``seconds`` by what they were spent on.

    Raises:
        UserError: the file is damaged.
    """
    path = Path(workdir) / PROVENANCE
    try:
        record = read_json(path)
        # Those of earlier versions have no sum of themselves.
        found = (record if set(record) == {"sessions"} else unsealed(record))[
            "sessions"
        ]
    except (ValueError, KeyError):
        found = None
    if not isinstance(found, list) or not all(map(_whole, found)):
        raise UserError(
            f"{path} is damaged: expected the sessions of a run, each with "
            f"{', '.join(_FIELDS)}; restore it from a copy, or move it away: only "
            "where the run came from is lost with it"
        )
    return found


def _whole(session: Any) -> bool:
    """Whether a session has all that is asked of one."""
    if not isinstance(session, dict):
        return False
    data = session.get("data", {})  # of training runs
    return all(
        isinstance(session.get(name), kind) for name, kind in _FIELDS.items()
    ) and (isinstance(data, dict) and isinstance(data.get("fingerprint", {}), dict))


def seconds(made: Iterable[Mapping[str, Any]]) -> float:
    """Seconds of some sessions together."""
    return sum((sum(session["seconds"].values()) for session in made), 0.0)


def origin(made: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What sessions, or other records of `workdir.provenance`, were made with.

    Returns:
        ``commit``, ``uncommitted_changes`` and ``device`` as text and ``versions``
        by package; each names all that there were, with commas between.
    """
    records = list(made)
    packages = [r["packages"] | {"python": r["python"]} for r in records]
    return {
        "commit": named(r["commit"] for r in records),
        "uncommitted_changes": named(r["uncommitted_changes"] for r in records),
        "device": named(
            f"{len(r['devices'])} x {r['devices'][0]}, {r['processor']}"
            for r in records
        ),
        "versions": {
            name: named(versions[name] for versions in packages if name in versions)
            for name in dict.fromkeys(name for p in packages for name in p)
        },
    }


def named(values: Iterable[str]) -> str:
    """Different values in order, with commas between; empty ones are left out."""
    return ", ".join(dict.fromkeys(filter(None, values)))
