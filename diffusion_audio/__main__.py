"""``python -m diffusion_audio VERB ...``, the same as ``diffusion-audio VERB ...``."""

import os
import signal
import sys


def _end(number: int, _: object) -> None:
    """Answers a signal until the command itself does, some milliseconds later."""
    os.write(2, f"diffusion-audio: interrupted by signal {number}\n".encode())
    os._exit(128 + number)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)

    from diffusion_audio.cli.main import main

    sys.exit(main())
