"""A lock that one process holds at a time, and that ends with it however it ends."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from diffusion_audio.errors import UserError
from diffusion_audio.systems import processes


@contextlib.contextmanager
def alone(workdir: Path) -> Iterator[None]:
    """Holds the work directory of a run, made if need be, until the run ends.

    Raises:
        UserError: another process trains there.
    """
    if not processes.is_first():  # that one holds it for all of a run
        yield
        return
    workdir.mkdir(parents=True, exist_ok=True)
    with locked(workdir / ".lock", str(workdir), wait=False):
        yield


@contextlib.contextmanager
def locked(path: Path, what: str, *, wait: bool) -> Iterator[None]:
    """Holds the lock file ``path``, which says who has it and stays when it is let go.

    A file system that has no locks is used without, with a warning.

    Args:
        path: of the lock file; its directory exists.
        what: is locked, as messages call it.
        wait: for another process to let go; else refuse.

    Raises:
        UserError: another process holds it, and ``wait`` is false.
    """
    # Not emptied before it is held: what stands there says who has it.
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(path)
            if not wait:
                raise UserError(
                    f"{what} is in use by {holder}; wait for it to end or stop it, or "
                    "take another directory"
                ) from None
            logging.info("waiting for %s, which has %s", holder, what)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            logging.warning(
                "%s cannot be locked (%s): start no second process on it",
                what,
                error.strerror,
            )
        record = json.dumps({"process": os.getpid(), "host": socket.gethostname()})
        with contextlib.suppress(OSError):  # a full disk; it is held all the same
            os.ftruncate(file.fileno(), 0)
            os.pwrite(file.fileno(), f"{record}\n".encode(), 0)
        yield


def _holder(path: Path) -> str:
    """Who wrote a lock file."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return f"process {record['process']} on {record['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
