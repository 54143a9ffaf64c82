"""Saved log-mels: ``.npy`` files as another program or model wrote them.

They are log-mels on the scale of the AudioSpec, not normalised, as ``log_mel`` gives
them. HiFi-GAN's are [F, T], many others [T, F], and some have first axes of 1.
Nothing in a file is ever run: arrays of pickled objects are refused.
"""

import os
from pathlib import Path

import numpy as np

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.errors import unknown

AXES = ("ft", "tf")
"""Orders of the axes of a file: mel bands first (HiFi-GAN's), or frames first."""


def read_mel(
    path: str | os.PathLike[str], n_mels: int, axes: str | None = None
) -> np.ndarray:
    """A saved log-mel.

    Args:
        path: a ``.npy`` file of floats [F, T], [T, F] or either behind axes of 1.
        n_mels: mel bands F of the AudioSpec.
        axes: order in the file, one of ``AXES``; found from the shape if not given.

    Returns:
        [T, F] float32, finite, at least one frame.

    Raises:
        AudioFileError: as `open_mel`; and of kind ``"non-finite"``.
        UserError: for an order that does not exist.
    """
    return finite(path, open_mel(path, n_mels, axes))


def open_mel(
    path: str | os.PathLike[str], n_mels: int, axes: str | None = None
) -> np.ndarray:
    """As `read_mel`, but only the header is read: a part costs what that part does.

    Returns:
        [T, F] memory-mapped and read-only, of the file's own type; a part of it is to
        be taken through `finite`.

    Raises:
        AudioFileError: of kind ``"missing"``, ``"unreadable"`` (no NPY file, damaged,
            cut off, pickled, or not of floats), ``"empty"``, ``"bands"`` (no axis of
            ``n_mels``) or ``"order"`` (both axes are).
        UserError: for an order that does not exist.
    """
    stored = _stored(path)
    order = axes or find_axes(stored.shape, n_mels)
    if order not in (None, *AXES):
        raise unknown("order mel_axes", axes, AXES)
    shape = list(stored.shape)
    if order is None and stored.shape == (n_mels, n_mels):
        raise AudioFileError(
            "order",
            path,
            f"{shape} with {n_mels} mel bands: either axis could be time; set mel_axes "
            f"to 'ft' for bands first (HiFi-GAN's order), or 'tf' for frames first",
        )
    if order is None:
        raise AudioFileError(
            "bands",
            path,
            f"{shape} has no axis of {n_mels} mel bands, which the audio spec has: "
            f"make it with that spec",
        )
    mel = stored.T if order == "ft" else stored
    if mel.shape[1] != n_mels:
        raise AudioFileError(
            "bands",
            path,
            f"{shape} read as mel_axes {order!r} has {mel.shape[1]} mel bands, but the "
            f"audio spec has {n_mels}: set mel_axes to the file's order, or make it "
            f"with that spec",
        )
    return mel


def find_axes(shape: tuple[int, ...], n_mels: int) -> str | None:
    """The order of a shape [A, B]; None if neither axis, or both, are the bands."""
    fitting = [size == n_mels for size in shape]
    if fitting.count(True) != 1:
        return None
    return "ft" if fitting[0] else "tf"


def axes_of(path: str | os.PathLike[str], n_mels: int) -> str | None:
    """As `find_axes`, of the shape of a file.

    Raises:
        AudioFileError: as `open_mel`, but for ``"bands"`` and ``"order"``.
    """
    return find_axes(_stored(path).shape, n_mels)


def finite(path: str | os.PathLike[str], mel: np.ndarray) -> np.ndarray:
    """What `open_mel` gave, or a part of it, as float32 [T, F] in memory.

    Raises:
        AudioFileError: of kind ``"non-finite"``.
    """
    with np.errstate(over="ignore"):  # a float64 beyond float32 is infinite, and said
        mel = np.array(mel, np.float32, order="C")
    if not np.isfinite(mel).all():
        raise AudioFileError("non-finite", path, "holds NaN or infinity")
    return mel


def _stored(path: str | os.PathLike[str]) -> np.ndarray:
    """The array [A, B] of a file, memory-mapped."""
    path = Path(path)
    if not path.exists():
        raise AudioFileError("missing", path, "no such file")
    try:
        # Unlike np.load, refuses archives; both refuse pickled objects.
        stored: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise AudioFileError("unreadable", path, error.strerror or "") from error
    except Exception as error:  # its header is parsed as Python: any kind can come
        raise AudioFileError(
            "unreadable", path, "not an NPY file of numbers, or damaged or cut off"
        ) from error
    if not np.issubdtype(stored.dtype, np.floating):
        raise AudioFileError(
            "unreadable", path, f"holds {stored.dtype}, but a log-mel is of floats"
        )
    shape = list(stored.shape)
    while stored.ndim > 2 and len(stored) == 1:
        stored = stored[0]
    if stored.ndim != 2:
        raise AudioFileError(
            "bands",
            path,
            f"has shape {shape}, but a mel is [F, T], [T, F] or either "
            f"behind axes of 1",
        )
    if not stored.size:
        raise AudioFileError("empty", path, f"has shape {shape}")
    return stored
