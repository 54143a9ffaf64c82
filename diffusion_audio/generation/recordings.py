"""The recordings and saved mels of a folder, at any depth."""

from collections.abc import Callable
from pathlib import Path

from absl import logging

from diffusion_audio.audio.files import SUFFIXES as SUFFIXES
from diffusion_audio.data.names import Root
from diffusion_audio.data.walk import walk
from diffusion_audio.errors import UserError

MEL = ".npy"


def listed(folder: Path, pass_over: Callable[[UserError], None]) -> list[Path]:
    """Every file with a suffix of audio or of a saved mel, sorted.

    They are found as those of a data set are; a warning names what else looks like
    audio.

    Args:
        folder: where to look.
        pass_over: called with a folder in it that cannot be read.

    Raises:
        UserError: if the folder itself cannot be read.
    """
    tree = walk(Root(folder), (*SUFFIXES, MEL))
    for name, fault in tree.faults.items():
        pass_over(UserError(f"{folder / name}: {fault.detail}"))
    if tree.unused:
        logging.warning("not used of %s: %s", folder, "; ".join(tree.unused))
    return sorted(folder / name for name in tree.audio)
