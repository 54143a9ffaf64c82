"""The store of a run's processes, kept in a process of its own.

jax keeps it in the first of them, and where that one is killed it ends all others by
SIGABRT before they can say why. So here it outlives it, until the others have gone.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from jax._src.lib import _jax

from diffusion_audio.errors import UserError
from diffusion_audio.training.interruption import SIGNALS

LONGEST = 60.0  # seconds that the store outlives the first process
READY, DONE = "ready\n", "done\n"
ESTABLISHED = "01"  # of a connection, in /proc/net/tcp


class Store:
    """The store's process, as the first process of a run holds it.

    Args:
        address: that it listens at.
        count: of the run's processes.
        options: of jax's own service.

    Raises:
        UserError: the port cannot be opened.
    """

    def __init__(self, address: str, count: int, **options: float | bool) -> None:
        _wait_for_port(address)
        words = [f"{name}={value}" for name, value in options.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, address, str(count), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            # The processes say themselves what becomes of them.
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != READY:
            raise UserError(f"the first process cannot listen at {address}")

    def shutdown(self) -> None:
        """Ends it: all have parted."""
        self._process.communicate(DONE)


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Makes `jax.distributed` keep its store in a process of its own."""
    usual = _jax.get_distributed_runtime_service
    _jax.get_distributed_runtime_service = Store
    try:
        yield
    finally:
        _jax.get_distributed_runtime_service = usual


def _wait_for_port(address: str) -> None:
    """Waits for the store of an earlier run to end: two can listen at one port."""
    port, deadline = int(address.rpartition(":")[2]), time.monotonic() + LONGEST
    while True:
        try:
            with socket.create_server(("", port)):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"port {port} of this machine cannot be opened ({error.strerror}); "
                    "end what uses it, or take another one"
                ) from error
            time.sleep(0.5)


def main(address: str, count: str, *options: str) -> None:
    """Keeps the store until the first process is done with it, or all have gone."""
    # To the terminal or the job: those of the run answer.
    for number in (*SIGNALS, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    given = dict(option.split("=") for option in options)
    service = _jax.get_distributed_runtime_service(
        address,
        int(count),
        heartbeat_timeout=int(given["heartbeat_timeout"]),
        shutdown_timeout=int(given["shutdown_timeout"]),
    )
    sys.stdout.write(READY)
    sys.stdout.flush()
    if sys.stdin.readline() != DONE:
        deadline = time.monotonic() + LONGEST
        while time.monotonic() < deadline and _connections(address):
            time.sleep(0.5)
        return
    service.shutdown()


def _connections(address: str) -> int:
    """How many are connected to the port here; 1 where that cannot be known."""
    port, found = f":{int(address.rpartition(':')[2]):04X}", 0
    try:
        for table in ("tcp", "tcp6"):
            lines = Path("/proc/net", table).read_text(encoding="utf-8").splitlines()
            rows = (line.split() for line in lines[1:])
            found += sum(
                row[1].endswith(port) and row[3] == ESTABLISHED for row in rows
            )
    except OSError:
        return 1
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
