"""The worker that decodes, with the faults of a decoder: the name of a file has it."""

import os
import signal
import sys
import time
from collections.abc import Iterator

from diffusion_audio.audio import decode_worker


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def stall() -> None:
    time.sleep(1000)


def hang() -> None:
    """Stalls, for a time that is up at once."""
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    stall()


def bomb() -> None:
    bytearray(1 << 40)


def mistake() -> None:
    raise KeyError("no such column")


FAULTS = {fault.__name__: fault for fault in (crash, stall, hang, bomb, mistake)}


def after_a_block(blocks):
    """Stops short of the second answer."""
    yield next(blocks)
    crash()


def faulty(task):
    def call(path, *args, **options):
        result = with_fault(path, args, options)
        late = "late" in os.path.basename(path) and isinstance(result, Iterator)
        return after_a_block(result) if late else result

    def with_fault(path, args, options):
        for name, fault in FAULTS.items():
            if name in os.path.basename(path):
                fault()
        return task(path, *args, **options)

    return call


if __name__ == "__main__":
    decode_worker.TASKS = {
        name: (faulty(task), made) for name, (task, made) in decode_worker.TASKS.items()
    }
    sys.exit(decode_worker.main(sys.argv[1:]))
