"""Checkpoints that are whole, verified and in one piece.

One orbax composite a step holds the state and the position in the data. Orbax
makes it appear at once or not at all, but does not notice flipped bits. So a
manifest of SHA-256 sums is written last: a step without one was never finished,
and a step whose files do not match it is passed over, in words, for the newest
one that is good. Nothing here ever starts from scratch by itself.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging

from diffusion_audio.errors import UserError
from diffusion_audio.training.task import State


class Checkpoints:
    """The checkpoints of one run, in ``directory``.

    Args:
        directory: where they are; made if it does not exist.
        keep: how many of the newest stay.
    """

    def __init__(self, directory: str | Path, keep: int = 2) -> None:
        self.directory = Path(directory).absolute()
        self._manifests = self.directory / "manifests"
        self._manager = ocp.CheckpointManager(
            self.directory / "steps",
            options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
            # Named here and not at the first save: a resumed run reads first.
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "data": ocp.JsonCheckpointHandler(),
            },
        )
        self._unfinished: int | None = None

    def save(self, step: int, state: State, data: dict[str, Any]) -> bool:
        """Starts to save a step in the background, if the disk has room for it.

        Args:
            step: number of updates done.
            state: the state; copied before this returns, so it may be donated.
            data: position in the data, JSON values.

        Returns:
            False where the disk is too full; the earlier checkpoints are kept.
        """
        self.finish()
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        free = shutil.disk_usage(self.directory).free
        if free < 1.2 * needed:
            logging.warning(
                "no room for the checkpoint of step %d: it needs %.1f MB, %.1f MB are "
                "free in %s; training goes on and tries again, earlier checkpoints "
                "are kept",
                step,
                needed / 1e6,
                free / 1e6,
                self.directory,
            )
            return False
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), data=ocp.args.JsonSave(data)
            ),
            force=True,
        )
        self._unfinished = step
        return True

    def finish(self, wait: bool = True) -> None:
        """Seals a save that is done with its manifest; raises if the save failed.

        Args:
            wait: wait for a save under way; else leave it to a later call.
        """
        if self._unfinished is None:
            return
        if not wait and self._manager.is_saving_in_progress():
            return
        self._manager.wait_until_finished()
        step, self._unfinished = self._unfinished, None
        if jax.process_index() == 0:
            self._seal(step)

    def steps(self) -> list[int]:
        """The finished steps, oldest first."""
        return sorted(
            step for step in self._all_steps() if self._manifest(step).exists()
        )

    def newest_good(self) -> int | None:
        """The newest step whose files match their manifest; None where none was saved.

        Raises:
            UserError: there are finished steps but all of them are damaged.
        """
        steps = self.steps()
        for step in reversed(steps):
            damage = self._damage(step)
            if not damage:
                return step
            logging.warning("checkpoint of step %d passed over: %s", step, damage)
        if steps:
            raise UserError(
                f"every checkpoint in {self.directory} is damaged (steps "
                f"{', '.join(map(str, steps))}); restore them from a copy, or train "
                "in a new work directory"
            )
        return None

    def restore(self, step: int, like: State) -> tuple[State, dict[str, Any]]:
        """The state and the data position saved at a step.

        Args:
            step: a finished step.
            like: arrays or shapes with the shardings that the result shall have.

        Raises:
            UserError: the saved tree has other leaves or shapes; lists them.
        """
        saved = self._manager.item_metadata(step)["state"]
        mismatches = list(_differences(_shapes(saved), _shapes(like)))
        if mismatches:
            more = f" and {len(mismatches) - 3} more" if len(mismatches) > 3 else ""
            raise UserError(
                f"the checkpoint in {self.directory} is of another model: "
                f"{'; '.join(mismatches[:3])}{more}; use the config it was trained "
                "with, or a new work directory"
            )
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(like), data=ocp.args.JsonRestore()
            ),
        )
        return restored["state"], restored["data"]

    def drop_after(self, step: int) -> None:
        """Removes what lies beyond a step: damaged or never finished saves."""
        for other in self._all_steps():
            if other > step:
                self._manager.delete(other)
                self._manifest(other).unlink(missing_ok=True)

    def close(self) -> None:
        """Waits for the last save and lets go of the directory."""
        self.finish()
        self._manager.close()

    def _all_steps(self) -> list[int]:
        self._manager.reload()
        return list(self._manager.all_steps())

    def _manifest(self, step: int) -> Path:
        return self._manifests / f"{step}.json"

    def _files(self, step: int) -> Iterator[Path]:
        folder = self.directory / "steps" / str(step)
        return (path for path in sorted(folder.rglob("*")) if path.is_file())

    def _seal(self, step: int) -> None:
        folder = self.directory / "steps"
        sums = {str(p.relative_to(folder)): _sha256(p) for p in self._files(step)}
        self._manifests.mkdir(exist_ok=True)
        temporary = self._manifest(step).with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(sums, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._manifest(step))
        kept = {str(kept) for kept in self._all_steps()}
        for manifest in self._manifests.glob("*.json"):
            if manifest.stem not in kept:
                manifest.unlink()

    def _damage(self, step: int) -> str:
        """What is wrong with a finished step; empty where nothing is."""
        try:
            sums = json.loads(self._manifest(step).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            return f"its manifest cannot be read ({error})"
        for name, expected in sums.items():
            path = self.directory / "steps" / name
            if not path.is_file():
                return f"{name} is missing"
            if _sha256(path) != expected:
                return f"{name} is not what was saved (SHA-256 differs)"
        return ""


def content_hash(directory: Path) -> str:
    """Short hash of the newest finished checkpoint there; empty without any."""
    manifests = (directory / "manifests").glob("*.json")
    steps = sorted(int(path.stem) for path in manifests if path.stem.isdigit())
    if not steps:
        return ""
    return _sha256(directory / "manifests" / f"{steps[-1]}.json")[:12]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        "/".join(jax.tree_util.keystr((key,), simple=True) for key in path): tuple(
            leaf.shape
        )
        for path, leaf in leaves
    }


def _differences(
    saved: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]
) -> Iterator[str]:
    for name in sorted(saved.keys() | expected.keys()):
        if name not in saved:
            yield f"{name} is missing in it"
        elif name not in expected:
            yield f"{name} is not in this model"
        elif saved[name] != expected[name]:
            yield f"{name} has shape {saved[name]}, this model's {expected[name]}"
