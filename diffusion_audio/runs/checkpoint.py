"""Checkpoints that are whole, verified and in one piece.

One orbax composite a step holds an item for each key of the state, and the position in
the data, so that a reader reads what it wants alone. Orbax does not notice flipped
bits, so a manifest of SHA-256 sums lies beside it. A step is saved in ``saving/``, gets
its manifest, and only then its place in ``steps/``. So what is cut off lies in
``saving/`` and was never a checkpoint, and a step in ``steps/`` whose manifest is gone
or does not fit is damaged: it is passed over, in words, for the newest one that is
good, and kept in ``aside/``. Nothing here starts from scratch by itself.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax
from absl import logging

from diffusion_audio.aliases import State
from diffusion_audio.errors import UserError
from diffusion_audio.runs import composite, manifest, values
from diffusion_audio.runs.retention import Retention
from diffusion_audio.runs.saved import Saved
from diffusion_audio.runs.values import Damage
from diffusion_audio.systems import processes

_Found = TypeVar("_Found")

NEWEST = Retention()
_DROPPED = ".dropped"  # a step that is being removed


class Checkpoints:
    """The checkpoints of one run, in ``directory``.

    Args:
        directory: where they are; made by `prepare` or the first save.
        retention: which steps stay.
        sealed: called with each step that is saved, once it is on the disk.

    Attributes:
        problem: why the last save failed; empty where it did not.
        full: whether that was for want of space.
    """

    def __init__(
        self,
        directory: str | Path,
        retention: Retention = NEWEST,
        sealed: Callable[[int], None] = lambda step: None,
    ) -> None:
        self.directory = Path(directory).absolute()
        self.problem, self.full = "", False
        self._steps = self.directory / "steps"
        self._manifests = self.directory / "manifests"
        self._saving = self.directory / "saving"
        self._retention, self._sealed = retention, sealed
        self._checkpointer = composite.checkpointer()
        self._unfinished: int | None = None
        self._last_sealed = 0

    @property
    def latest(self) -> int:
        """The newest step saved by this process, done or under way; 0 for none."""
        return self._last_sealed if self._unfinished is None else self._unfinished

    def exist(self) -> bool:
        """Whether a run has prepared the directory."""
        return self._steps.is_dir()

    def prepare(self) -> None:
        """Makes the directory ready for saves, and ends what a killed process began.

        Only for the process that trains: others may read meanwhile.
        """
        processes.from_first(self._tidy)

    def save(self, step: int, state: State, data: dict[str, Any]) -> bool:
        """Starts to save a step in the background.

        Args:
            step: number of updates done.
            state: the state, none of whose keys is ``data``; copied before this
                returns, so it may be donated.
            data: position in the data, JSON values.

        Returns:
            False where that failed, as on a full disk, which is said; the earlier
            checkpoints are kept. So does a save that fails later, in `finish`.
        """
        self.finish()
        if not (problem := processes.from_first(partial(self._no_room, state))):
            saved = partial(
                self._checkpointer.save,
                self._saving / str(step),
                args=composite.save_args(state, data),
                force=True,
            )
            problem = _tried_by_all(saved)
        if problem:
            self._failed(step, problem)
            return False
        self._unfinished = step
        return True

    def finish(self, wait: bool = True) -> None:
        """Gives a save that is done its manifest and its place; says if it failed.

        Args:
            wait: wait for a save under way; else leave it to a later call.
        """
        if self._unfinished is None:
            return
        step = self._unfinished
        problem = ""
        if not wait:
            # Orbax says an error once, and to the process that has it.
            problem = _tried_by_all(self._checkpointer.check_for_errors)
            saved = self._saving / str(step)
            if not problem and not processes.from_first(saved.exists):
                return
        problem = problem or _tried_by_all(self._checkpointer.wait_until_finished)
        self._unfinished = None
        if problem := problem or (
            processes.from_first(lambda: _tried(partial(self._seal, step)))
        ):
            self._failed(step, problem)
            return
        self.problem, self.full, self._last_sealed = "", False, step
        self._sealed(step)
        if processes.is_first():
            with contextlib.suppress(OSError):  # a thing of tidiness; comes again
                self._prune()

    def known(self) -> list[int]:
        """Steps that have files or a manifest, oldest first."""
        names = {path.name for path in self._steps.glob("*")}
        names |= {path.stem for path in self._manifests.glob("*.json")}
        return sorted(int(name) for name in names if name.isdecimal())

    def newest_good(self) -> int | None:
        """The newest step of which all fits its manifest; None where none was saved.

        Raises:
            UserError: there are steps but all of them are damaged.
        """

        def whole(step: int) -> int:
            if damage := manifest.damage(self._folder(step), self._manifest(step)):
                raise Damage(damage)
            return step

        return self._newest(whole)

    def good_before(self, step: int) -> int | None:
        """The newest good step before one; None where there is none."""
        for known in reversed(self.known()):
            if known < step and not manifest.damage(
                self._folder(known), self._manifest(known)
            ):
                return known
        return None

    def read(
        self, wanted: Callable[[Saved], State], step: int | None = None
    ) -> tuple[int, State] | None:
        """Some arrays, of the newest step in which these are good, and no others.

        What is not asked for is neither read nor missed. Each byte is read once: it is
        checked, and then decoded.

        Args:
            wanted: given what a step holds (`Saved`), the shapes, dtypes and shardings
                of what to read: of some keys of the state, or of parts of their trees.
            step: the only one to read; no other takes its place.

        Returns:
            The step and the arrays; None where none was saved.

        Raises:
            UserError: that is missing or of other shapes, and lists it; or there are
                steps but what is asked for is damaged in all of them, or in ``step``.
        """

        def part(step: int) -> tuple[int, State]:
            saved = self.saved(step)
            return step, saved.read(wanted(saved))

        if step is None:
            return self._newest(part)
        with self._readable(step):
            return part(step)

    def saved(self, step: int) -> Saved:
        """Keys, shapes and dtypes of a step; raises `Damage`."""
        return Saved(self._folder(step), self._manifest(step))

    def restore(self, step: int, like: State) -> tuple[State, dict[str, Any]]:
        """The whole state and the data position saved at a step.

        Args:
            step: a finished step, that `newest_good` has found: it is not verified.
            like: arrays or shapes with the shardings that the result shall have.

        Raises:
            UserError: the saved tree has other leaves or shapes, and lists them; or
                it cannot be read.
        """
        with self._readable(step):
            self.saved(step).require(like, whole=True)
            found = self._checkpointer.restore(
                self._folder(step), args=composite.restore_args(like)
            )
            return composite.restored(found, like)

    def set_aside(self, after: int) -> None:
        """Moves what lies beyond a step, which is damaged, out of the way."""
        if not processes.is_first():
            return
        for step in self.known():
            if step > after:
                self._move_aside(step)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        # With several processes, a save waits for one that may have failed.
        if kind is None or processes.alone():
            self.close()

    def close(self) -> None:
        """Waits for the last save and lets go of the directory."""
        self.finish()
        self._checkpointer.close()

    def _make(self) -> None:
        for folder in (self._steps, self._manifests, self._saving):
            folder.mkdir(parents=True, exist_ok=True)

    def _tidy(self) -> None:
        self._make()
        for left in sorted(self._saving.iterdir()):
            if not left.is_dir():  # of no save
                continue
            if (
                left.name.isdecimal()
                and not (self._steps / left.name).exists()
                and not manifest.damage(left, self._manifest(int(left.name)))
            ):
                left.rename(self._steps / left.name)
                continue
            shutil.rmtree(left, ignore_errors=True)
            if left.name.endswith(_DROPPED):  # an old one that was being removed
                continue
            step = left.name.partition(".")[0]
            logging.warning("the save of step %s was cut off, and is dropped", step)
            if step.isdecimal() and not (self._steps / step).exists():
                self._manifest(int(step)).unlink(missing_ok=True)

    def _newest(self, look: Callable[[int], _Found]) -> _Found | None:
        """What is found at the newest step where `look` raises no `Damage`."""
        steps = self.known()
        for step in reversed(steps):
            if (self._folder(step) / "state").is_dir():
                raise UserError(
                    f"{self.directory} is of an earlier version of this program, whose "
                    "checkpoints this one cannot read; train in a new work directory, "
                    "or begin again here with --allow_fresh, which keeps them aside"
                )
            try:
                return look(step)
            except Damage as damage:
                logging.warning("checkpoint of step %d passed over: %s", step, damage)
        if steps:
            raise UserError(
                f"every checkpoint in {self.directory} is damaged (steps "
                f"{', '.join(map(str, steps))}); restore them from a copy, train in a "
                "new work directory, or begin again here with --allow_fresh, which "
                "keeps what is there aside"
            )
        return None

    def _folder(self, step: int) -> Path:
        return self._steps / str(step)

    def _manifest(self, step: int) -> Path:
        return self._manifests / f"{step}.json"

    def _seal(self, step: int) -> None:
        saved, place = self._saving / str(step), self._steps / str(step)
        if step in self.known():
            self._move_aside(step)
        manifest.write(saved, self._manifest(step))
        saved.rename(place)
        manifest.sync(self._steps)

    def _prune(self) -> None:
        """Removes those that need not stay, each at once or not at all."""
        for step in self._retention.dropped(self.known()):
            dropped = self._saving / f"{step}{_DROPPED}"
            with contextlib.suppress(FileNotFoundError):
                (self._steps / str(step)).rename(dropped)
            self._manifest(step).unlink(missing_ok=True)
            shutil.rmtree(dropped, ignore_errors=True)

    def _move_aside(self, step: int) -> None:
        count, place = 1, self.directory / "aside" / str(step)
        while place.exists():
            count += 1
            place = place.with_name(f"{step}.{count}")
        place.mkdir(parents=True)
        for path in (self._steps / str(step), self._manifest(step)):
            if path.exists():
                path.rename(place / path.name)
        logging.warning("what is left of step %d is kept in %s", step, place)

    def _no_room(self, state: State) -> str:
        """Why a state cannot be saved; empty where it can."""
        needed = 1.2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        try:
            self._make()
            free = shutil.disk_usage(self.directory).free
        except OSError as error:
            return _said(error)
        if free < needed:
            return (
                f"no space: it needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are "
                "free"
            )
        return ""

    def _failed(self, step: int, problem: str) -> None:
        signs = ("space", "quota")  # TensorStore says it as text only, after long paths
        self.full = any(sign in problem for sign in signs)
        self.problem = problem[:300]
        if self.full and len(problem) > 300:
            self.problem = "no space left on device"
        logging.warning(
            "step %d could not be saved in %s (%s); training goes on and tries again "
            "at the next checkpoint, earlier ones are kept",
            step,
            self.directory,
            self.problem,
        )
        self._checkpointer = (
            composite.checkpointer()
        )  # the old one may raise it once more
        if processes.is_first():
            for left in self._saving.glob(f"{step}*"):
                shutil.rmtree(left, ignore_errors=True)
            if not (self._steps / str(step)).exists():
                self._manifest(step).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _readable(self, step: int) -> Iterator[None]:
        """Says in one line what cannot be read."""
        try:
            with values.readable("it"):
                yield
        except Damage as damage:
            raise UserError(
                f"step {step} in {self.directory} is damaged: {damage}; restore it "
                f"from a copy, or move steps/{step} away to use another"
            ) from damage


def _said(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())


def _tried(do: Callable[[], None]) -> str:
    """What went wrong; empty where nothing did."""
    try:
        do()
    except Exception as error:  # of orbax and TensorStore, of any kind
        return _said(error)
    return ""


def _tried_by_all(do: Callable[[], None]) -> str:
    """The same of all processes, which learn of it together."""
    return next(filter(None, processes.of_all(_tried(do))), "")
