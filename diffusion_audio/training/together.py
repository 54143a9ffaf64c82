"""Several processes as one run: how they join, and how they part."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

import jax
from absl import logging

from diffusion_audio.errors import UserError
from diffusion_audio.systems import processes
from diffusion_audio.training import coordination, interruption
from diffusion_audio.training.address import Address
from diffusion_audio.training.agreement import FAILED, MISTAKE, AgreedStop, Together
from diffusion_audio.training.interruption import Interrupted, Stop, say

JOINING = 300  # seconds that processes wait for each other at the start


@contextlib.contextmanager
def joined(address: Address | None) -> Iterator[Stop]:
    """Joins the processes of a run, and parts from them in the end.

    Args:
        address: of `address.find`; None for one process alone.

    Yields:
        What asks all of them to stop; to be given to the loop.

    Raises:
        UserError: they could not be joined.
    """
    if address is None or not _initialized(address):
        yield Stop()
        return
    if not processes.is_first():
        logging.set_verbosity(logging.ERROR)  # the first one says it
    together = Together(processes.store(), jax.process_index(), jax.process_count())
    try:
        with _stdout_is_stderr():
            yield AgreedStop(together)
    except Interrupted as stop:
        if together.stopped is None:  # this process alone
            together.leave(str(stop), 128 + stop.number)
            raise
        _part(together)
        raise
    except BaseException as error:
        if isinstance(error, jax.errors.JaxRuntimeError):
            together.suspect()  # ends this process where another one is the cause
        code = MISTAKE if isinstance(error, UserError) else FAILED
        together.leave(str(error).strip() or type(error).__name__, code)
        interruption.ends_abruptly = True
        raise
    _part(together)


def _initialized(address: Address) -> bool:
    """Starts `jax.distributed`; false where it finds one process alone."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would take SIGTERM for itself, and knows of no other signal.
    jax.config.update("jax_enable_preemption_service", False)
    # Before jax's own end of patience, at which it aborts the process.
    timer = threading.Timer(JOINING, _end_alone, [address])
    timer.daemon = True
    timer.start()
    try:
        with coordination.apart():
            jax.distributed.initialize(
                address.coordinator,
                address.num_processes,
                address.process_id,
                address.devices,
                address.method,
                initialization_timeout=2 * JOINING,
            )
    except ValueError as error:
        if address.method is None and not isinstance(error, UserError):
            return False  # TPUs of no pod
        raise
    finally:
        timer.cancel()
    return jax.process_count() > 1


def _end_alone(address: Address) -> None:
    where = address.coordinator or "the address that its cluster says"
    say(
        f"the processes of this run have not come together within {JOINING} s at "
        f"{where}: start all of them, and see that they can reach it"
    )
    os._exit(FAILED)


@contextlib.contextmanager
def _stdout_is_stderr() -> Iterator[None]:
    """For Gloo, which says on stdout whom it is connected to."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _part(together: Together) -> None:
    """Waits for the others, and leaves in order."""
    processes.of_all(None)
    together.close()
    jax.distributed.shutdown()
