"""The one file in which an original's code keeps all arrays of a model."""

import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import isolated
from diffusion_audio.pretrained.original_config import Shapes
from diffusion_audio.pretrained.rules import Arrays, listed

ENDINGS = (".pth", ".ckpt")
DENOISER = "model.diffusion_model."
"""What names of a denoiser's arrays begin with."""
LOOK = 64 << 20  # bytes of the pickle that names the arrays


class Bundle(NamedTuple):
    """A file.

    Attributes:
        path: where it lies.
        root: what stands before the name of every array, such as ``state_dict.``.
        shapes: of its arrays, by their names after that.
    """

    path: Path
    root: str
    shapes: Shapes

    def read(self, *under: str) -> Arrays:
        """Its arrays whose names begin so."""
        found = isolated.read(self.path, tuple(self.root + key for key in under))
        return {name.removeprefix(self.root): array for name, array in found.items()}

    def part(self, key: str, only: Iterable[str] = ("",)) -> Arrays:
        """Its arrays under a key, without that, and of those under any of some."""
        found = self.read(*(key + each for each in only))
        return {name.removeprefix(key): array for name, array in found.items()}


def is_original(place: Path) -> bool:
    """Whether a path is such a file, or a folder with one.

    It looks into the files of a folder that end as those do, and into a file whatever
    its name (on Zenodo it has no ending), and at no more than the names there.
    """
    return any(_names_denoiser(path) for path in _files(place))


def find_bundle(place: Path) -> Bundle:
    """The file that a path is, or that a folder has.

    Raises:
        UserError: there is none or more than one, or it is damaged.
    """
    files = [path for path in _files(place) if _names_denoiser(path)]
    if len(files) != 1:
        raise UserError(
            f"{place} has {listed(path.name for path in files) or 'no model in it'}; "
            f"give the one file (it ends in {' or '.join(ENDINGS)}) that is the model"
        )
    (path,) = files
    shapes = isolated.shapes(path)
    found = (re.match(rf"((?:.*\.)?){re.escape(DENOISER)}", name) for name in shapes)
    roots = sorted({each[1] for each in found if each})
    if len(roots) != 1:
        raise UserError(
            f"{path} has {listed(roots) or 'none'} with a denoiser in it; expected one "
            f"(names that begin with {DENOISER})"
        )
    return Bundle(path, roots[0], Shapes(shapes, str(path), roots[0]))


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place] if place.is_file() else []
    paths = (path for path in sorted(place.iterdir()) if path.suffix in ENDINGS)
    return [path for path in paths if path.is_file()]


def _names_denoiser(path: Path) -> bool:
    try:
        return DENOISER.encode() in _pickled(path)
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, ValueError):
        return False


def _pickled(path: Path) -> bytes:
    """The bytes that name the arrays of a file of PyTorch's, and are not run."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            return stream.read(LOOK)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("/data.pkl"):
                with archive.open(name) as member:
                    return member.read(LOOK)
    return b""
