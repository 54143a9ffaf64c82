"""The recordings and saved mels of a folder, at any depth."""

import os
from collections.abc import Callable
from pathlib import Path

from absl import logging

from diffusion_audio.audio.files import SUFFIXES as SUFFIXES
from diffusion_audio.errors import UserError

MEL = ".npy"
COMPANION = "._"  # macOS keeps a file's other half beside it, by the same name


def listed(folder: Path, pass_over: Callable[[UserError], None]) -> list[Path]:
    """Every file with a suffix of audio or of a saved mel, sorted.

    Linked folders are followed, each folder once. Files of macOS beside the real ones
    are left out.

    Args:
        folder: where to look.
        pass_over: called with a folder that cannot be read.
    """
    found: list[Path] = []
    companions = 0
    seen: set[tuple[int, int]] = set()

    def unreadable(error: OSError) -> None:
        pass_over(UserError(f"{error.filename}: {error.strerror}"))

    for directory, below, names in os.walk(
        folder, onerror=unreadable, followlinks=True
    ):
        status = os.stat(directory)
        if (status.st_dev, status.st_ino) in seen:  # a link back
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in names:
            if Path(name).suffix.lower() not in (*SUFFIXES, MEL):
                continue
            if name.startswith(COMPANION):
                companions += 1
            else:
                found.append(Path(directory, name))
    if companions:
        logging.info("%s: left out %d files of macOS (._NAME)", folder, companions)
    return sorted(found)
