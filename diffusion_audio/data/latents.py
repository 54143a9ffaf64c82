"""A cache of latents: what a frozen VAE makes of each clip, computed once.

Each clip is checked when it is read; one that is damaged is encoded again. Captions
stay with the source.
"""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.data import latent_files
from diffusion_audio.data.encoding import Encoding
from diffusion_audio.data.source import Clip
from diffusion_audio.errors import UserError


class LatentSource:
    """A source with ``moments`` [H, W, 2C] in place of its audio; see `open`."""

    def __init__(self, encoding: Encoding, stored: latent_files.Stored):
        source = encoding.source
        self.name = source.name
        self.attributes = source.attributes
        self._source = source
        self._encoding = encoding
        self._stored = stored
        self._mending = threading.Lock()

    def __len__(self) -> int:
        return self._stored.shape[0]

    def __getitem__(self, index: int) -> Clip:
        return self._clip(index, self._source.describe(index))

    def draw(self, index: int, samples: int, rng: np.random.Generator) -> Clip:
        """The moments as they were stored; ``rng`` chooses the caption."""
        del samples  # decided when the cache was written
        return self._clip(index, self._source.describe(index, rng))

    def describe(self, index: int, rng: np.random.Generator | None = None) -> Clip:
        """The clip without its moments."""
        return self._source.describe(index, rng)

    def captions(self) -> list[str]:
        """Every caption of the source."""
        return self._source.captions()

    def fingerprint(self) -> str:
        """That of the source."""
        return self._source.fingerprint()

    def inventory(self) -> dict[str, str]:
        """That of the source."""
        return self._source.inventory()

    def _clip(self, index: int, described: Clip) -> Clip:
        if index in self._stored.bad:
            kind, problem = self._stored.bad[index]
            raise AudioFileError(kind, described["id"], problem)
        moments = self._stored.read(index)
        if moments is None:
            moments = self._mended(index, described["id"])
        return {"moments": moments, **described}

    def _mended(self, index: int, name: str) -> np.ndarray:
        """Moments whose copy on the disk is damaged, encoded again.

        Raises:
            UserError: that gives others than were stored.
        """
        where = f"the latent of clip {name} in {str(self._stored.directory)!r}"
        with self._mending:
            logging.warning("%s is damaged (SHA-256 differs): encoding it again", where)
            start = index - index % self._encoding.batch_size
            moments = self._encoding.batch(start)[0][index - start]
        if not self._stored.mend(index, moments):
            raise UserError(
                f"{where} is damaged, and encoding it here gives another one: delete "
                f"that directory, all of them will be computed again"
            )
        return moments


def open(
    directory: str | Path, encoding: Encoding, meta: Mapping[str, Any]
) -> LatentSource:
    """The cache in a directory; its moments are read and checked clip by clip.

    Args:
        directory: that ``latent_files.write`` made.
        encoding: that it was made with; its source has the captions, and it is called
            only for a clip that is damaged.
        meta: what the moments must have been made from.

    Raises:
        UserError: listing the fields that differ, or if the cache is damaged.
    """
    directory = Path(directory)
    try:
        stored, made_from = latent_files.read(directory)
    except FileNotFoundError as error:
        raise UserError(f"no latents in {str(directory)!r}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the latents in {str(directory)!r} are damaged, or of an earlier version "
            f"({error}): delete them, they will be computed again"
        ) from error
    wanted = json.loads(json.dumps(dict(meta))) | {"clips": len(encoding.source)}
    found = made_from | {"clips": stored.shape[0]}
    differing = [
        f"{field}: {found.get(field)!r} != {wanted.get(field)!r}"
        for field in sorted(found.keys() | wanted.keys())
        if found.get(field) != wanted.get(field)
    ]
    if differing:
        raise UserError(
            f"the latents in {str(directory)!r} were made from something else "
            f"({'; '.join(differing)}): delete them, or choose another directory"
        )
    return LatentSource(encoding, stored)
