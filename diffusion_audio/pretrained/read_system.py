"""A published system from wherever it lies, in whichever layout."""

from collections.abc import Callable
from pathlib import Path

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import (
    auffusion_system,
    diffusers_system,
    original_bundle,
    original_system,
    system_folder,
    weight_files,
)
from diffusion_audio.pretrained.published_system import PublishedSystem

READERS = {
    system_folder.MANIFEST: system_folder.read_system_folder,
    auffusion_system.INDEX: auffusion_system.read_auffusion,
    diffusers_system.INDEX: diffusers_system.read_diffusers,
}
"""By the file that a layout is known by."""


def is_system(place: str | Path) -> bool:
    """Whether a path is a published system, or a folder that `convert` made of one."""
    return _reader(Path(place)) is not None


def read_system(place: str | Path) -> PublishedSystem:
    """The system that a path is.

    Raises:
        UserError: it is none, or one that is damaged or asks for what ours has not.
    """
    place = Path(place)
    read = _reader(place)
    if read is None:
        there = (
            "a folder with weights" if weight_files.has_weights(place) else "neither"
        )
        raise UserError(
            f"{place} is no published system ({there}): expected a folder with "
            f"{' or '.join(READERS)} in it, or the file of an original's weights"
        )
    try:
        return read(place)
    except UserError as error:  # of a network, which knows no file
        if str(place) in str(error):
            raise
        raise UserError(f"{place}: {error}") from error


def _reader(place: Path) -> Callable[[Path], PublishedSystem] | None:
    for name, read in READERS.items():
        if (place / name).is_file():
            return read
    is_original = original_bundle.is_original(place)
    return original_system.read_original if is_original else None
