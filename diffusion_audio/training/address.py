"""Which of how many processes this one is, and where the first of them is found.

The first of these that says so:

1. the flags ``--coordinator``, ``--num_processes`` and ``--process_id``;
2. ``MASTER_ADDR``, ``MASTER_PORT``, ``WORLD_SIZE`` and ``RANK``, as torchrun sets them;
3. Slurm, in a step of more than one task (``srun``);
4. a TPU's own metadata, where there are TPUs.

Without any there is one process.
"""

import dataclasses
import glob
from collections.abc import Mapping

from diffusion_audio.errors import UserError

TORCHRUN = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK")
SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID")


@dataclasses.dataclass(frozen=True)
class Address:
    """What `jax.distributed.initialize` is told.

    Attributes:
        coordinator: ``host:port`` of the first process; None where jax finds it out.
        num_processes: of the run; None where jax finds it out.
        process_id: of this one, from 0; None where jax finds it out.
        devices: which GPUs this process takes of those that it sees; empty for all.
        method: by which jax finds out what is None.
    """

    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    devices: tuple[int, ...] = ()
    method: str | None = "deactivate"

    def __post_init__(self) -> None:
        count, process = self.num_processes, self.process_id
        if count is not None and process is not None and not 0 <= process < count:
            raise UserError(
                f"of {count} process(es), one cannot be number {process}: numbers go "
                f"from 0 to one below their count"
            )
        if self.coordinator is not None:
            host, _, port = self.coordinator.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
                raise UserError(
                    f"the first process is found at HOST:PORT, not {self.coordinator!r}"
                )


def find(
    environment: Mapping[str, str],
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> Address | None:
    """The address by the flags or the environment; None for one process alone.

    Raises:
        UserError: a part of it is missing, or is no number.
    """
    flags = (coordinator, num_processes, process_id)
    if any(flag is not None for flag in flags):
        if None in flags:
            raise UserError(
                "--coordinator=HOST:PORT, --num_processes and --process_id together "
                "say where the processes are: give all three, or none"
            )
        found = Address(coordinator, num_processes, process_id)
        return None if num_processes == 1 else found
    if {"WORLD_SIZE", "RANK"} <= environment.keys():
        return _torchrun(environment)
    if set(SLURM) <= environment.keys() and _number(environment, "SLURM_NTASKS") > 1:
        return Address(
            num_processes=_number(environment, "SLURM_NTASKS"),
            process_id=_number(environment, "SLURM_PROCID"),
            devices=_devices(environment, "SLURM_LOCALID", _slurm_tasks(environment)),
            method="slurm",
        )
    # A TPU's driver shows its chips so; whether it is of a pod its metadata say.
    return Address(method=None) if glob.glob("/dev/accel*") else None


def _torchrun(environment: Mapping[str, str]) -> Address | None:
    count = _number(environment, "WORLD_SIZE")
    if count == 1:
        return None
    if missing := [name for name in TORCHRUN if name not in environment]:
        raise UserError(
            f"WORLD_SIZE says that there are {count} processes, but {missing[0]} is "
            f"not set; set {', '.join(TORCHRUN)}, or unset WORLD_SIZE"
        )
    here = environment.get("LOCAL_WORLD_SIZE", "1")
    return Address(
        f"{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}",
        count,
        _number(environment, "RANK"),
        _devices(environment, "LOCAL_RANK", int(here) if here.isdecimal() else 1),
    )


def _devices(environment: Mapping[str, str], local: str, tasks: int) -> tuple[int, ...]:
    """This process's share of the GPUs that it sees, among the tasks of its machine.

    Args:
        environment: of the process.
        local: the variable that numbers the tasks of a machine.
        tasks: how many there are on this one.
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    seen = len(visible.split(",")) if visible else tasks
    if (
        tasks == 1 or seen == 1 or local not in environment
    ):  # all that it sees is its own
        return ()
    share = max(1, seen // tasks)
    start = _number(environment, local) * share
    return tuple(range(start, start + share))


def _slurm_tasks(environment: Mapping[str, str]) -> int:
    """Tasks of this step on this node: ``2(x3),1`` is 2 on three nodes and 1 on one."""
    counts: list[int] = []
    for part in environment.get("SLURM_STEP_TASKS_PER_NODE", "1").split(","):
        tasks, _, times = part.rstrip(")").partition("(x")
        counts += [int(tasks)] * int(times or 1)
    return counts[min(int(environment.get("SLURM_NODEID", 0)), len(counts) - 1)]


def _number(environment: Mapping[str, str], name: str) -> int:
    if not environment[name].isdecimal():
        raise UserError(f"{name} is a number of processes, not {environment[name]!r}")
    return int(environment[name])
