"""What `doctor --config` checks: that a config can be trained on this machine."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from diffusion_audio.aliases import State
from diffusion_audio.cli.finding import GIB, Check, Finding
from diffusion_audio.nn.functional import count
from diffusion_audio.training import program, trial
from diffusion_audio.training.plan import held

TIGHT = 0.9  # of the memory: what else runs may want some of the rest
CGROUPS = Path("/sys/fs/cgroup")
# Of both versions of control groups: where they are, and the file with the limit.
LIMITS = {"": ("", "memory.max"), "memory": ("memory", "memory.limit_in_bytes")}


def checks(
    config: ConfigDict | Mapping[str, Any], workdir: Path
) -> Iterator[tuple[str, Check]]:
    """The checks by name, each standing on those before it.

    The next is to be asked for only where the last found nothing broken.

    Args:
        config: not resolved yet.
        workdir: where the run would be.
    """
    run = _Run(workdir)
    yield "config", lambda: run.begin(config)
    yield "data", run.open
    yield "memory", run.memory
    yield "disk", run.disk
    yield "two steps", run.steps


class _Run:
    """A trial as far as it has come."""

    def __init__(self, workdir: Path) -> None:
        self._workdir = workdir

    def begin(self, config: ConfigDict | Mapping[str, Any]) -> Finding:
        self._trial = trial.begin(config)
        mesh, data = self._trial.mesh, self._trial.data
        device = mesh.devices.flat[0].device_kind
        return Finding(
            "ok",
            f"task {self._trial.config['task']}; a batch of {data.batch_size} on "
            f"{mesh.size} x {device}, {data.batch_size // mesh.size} each",
        )

    def open(self) -> Finding:
        self._opened = opened = trial.open_data(self._trial, self._workdir)
        return Finding(
            "ok",
            f"{len(opened.train)} clips to learn from, {len(opened.held)} to evaluate "
            f"on; the first batch was read in {opened.seconds:.2f} s",
        )

    def memory(self) -> Finding:
        self._state, self._step, seconds = trial.plan(self._trial, self._opened)
        needed, parts = program.read(self._step), self._state
        devices = self._trial.mesh.local_devices
        there, whole = _memory(devices[0]), needed.memory
        if devices[0].platform == "cpu":
            whole *= len(devices)  # which share it
        text = (
            f"{whole / GIB:.2f} GiB of {there / GIB:.1f}: parameters "
            f"{held(parts['params']) / GIB:.2f} ({count(parts['params']) / 1e6:.2f} M "
            f"numbers), moments {held(parts['opt']) / GIB:.2f}, averages "
            f"{held(parts['ema']) / GIB:.2f}, what is not trained "
            f"{held(parts['frozen']) / GIB:.2f}, gradients and activations "
            f"{needed.temporaries / GIB:.2f} a device; compiled in {seconds:.1f} s"
        )
        if whole > there:
            return Finding(
                "broken",
                f"{text}; make config.data.batch_size smaller, config.train.accumulate "
                "or config.parallel.fsdp larger",
            )
        return Finding("note" if whole > TIGHT * there else "ok", text)

    def disk(self) -> Finding:
        """One more checkpoint than is kept: the newest is written beside the others."""
        place = next(p for p in (self._workdir, *self._workdir.parents) if p.exists())
        free = shutil.disk_usage(place).free
        one = state_bytes(self._state)
        kept = self._trial.train.keep + 1
        text = (
            f"{kept} checkpoints of {one / GIB:.2f} GiB, before compression; "
            f"{free / GIB:.1f} GiB free in {place}"
        )
        if free < one:
            return Finding("broken", f"{text}: not one fits")
        return Finding("note" if free < kept * one else "ok", text)

    def steps(self) -> Finding:
        done = trial.run_steps(self._trial, self._opened, self._state, self._step)
        broken = [k for k, value in done.metrics.items() if not np.isfinite(value)]
        if broken:
            return Finding("broken", f"not finite: {', '.join(broken)}")
        train = self._trial.train
        loss = f"loss {done.metrics['loss']:.4g}; " if "loss" in done.metrics else ""
        return Finding(
            "ok",
            f"{loss}{done.seconds:.3f} s a step, {train.steps} of which take "
            f"{_duration(done.seconds * train.steps)}, with no evaluations",
        )


def state_bytes(state: State) -> int:
    """Bytes of a whole state, as a checkpoint has it."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def _memory(device: jax.Device) -> int:
    """Bytes that a program may have on a device: its own, or what the host has left."""
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"]
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    (left,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return min(int(left) * 2**10, *_limits(Path("/proc/self/cgroup"), CGROUPS))


def _limits(own: Path, root: Path) -> Iterator[int]:
    """Bytes that control groups allow this process, as jobs and containers have them.

    Args:
        own: says which groups it is in.
        root: where these are.
    """
    groups = own.read_text(encoding="utf-8").splitlines() if own.exists() else []
    for _, kind, path in (line.split(":", 2) for line in groups):
        if kind in LIMITS:
            folder, name = LIMITS[kind]
            place = root / folder / path.lstrip("/")
            for each in (place, *place.parents):
                with contextlib.suppress(OSError, ValueError):  # "max" is no number
                    yield int((each / name).read_text(encoding="utf-8"))


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} seconds"
