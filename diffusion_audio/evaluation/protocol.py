"""How a number was made. Numbers made in different ways are not compared."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.runs.code_hash import json_hash
from diffusion_audio.runs.workdir import differences


@dataclasses.dataclass(frozen=True)
class Protocol:
    """All that a number depends on, the system under test apart.

    Attributes:
        metric: its name.
        definition: the function and its fixed settings, in words: windows, floors,
            the direction of a divergence.
        reference: hash of the reference clips; empty where the metric needs none.
        reference_clips: how many they are.
        prompts: hash of the captions, in order.
        clips: how many generated clips a number is made of.
        sample_rate: Hz, of all clips.
        seconds: length of a clip.
        loudness: what was done to levels.
        resampler: what brought clips to that rate.
        vocoder: hash of the weights that made waveforms of mels.
        embedding: the network and layer that clips were seen through, or empty.
        embedding_weights: hash of its parameters.
        sampling_seeds: of the generated clips.
        settings: whatever else the metric takes, by name.
    """

    metric: str
    definition: str
    reference: str
    reference_clips: int
    prompts: str
    clips: int
    sample_rate: int
    seconds: float
    loudness: str
    resampler: str
    vocoder: str
    embedding: str
    embedding_weights: str
    sampling_seeds: tuple[int, ...]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Protocol":
        """From JSON values.

        Raises:
            UserError: a field is unknown or missing.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise unknown("field of a protocol", name, names)
        if missing := [name for name in names if name not in values]:
            raise UserError(f"a protocol lacks {', '.join(missing)}")
        seeds = tuple(values["sampling_seeds"])
        return cls(**dict(values) | {"sampling_seeds": seeds})

    @property
    def hash(self) -> str:
        """Short hash of every field."""
        return json_hash(self.to_dict())

    def require_same(self, other: "Protocol") -> None:
        """Refuses a comparison with a number that was made in another way.

        Raises:
            UserError: with every field that differs.
        """
        if self.hash != other.hash:
            lines = "; ".join(differences(self.to_dict(), other.to_dict()))
            raise UserError(
                f"{self.metric}: protocols {self.hash} and {other.hash} differ, so the "
                f"numbers are not comparable ({lines}); measure both in one way"
            )


def array_hash(*arrays: np.ndarray) -> str:
    """Short hash of values, shapes and types, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:12]


def params_hash(params: Params) -> str:
    """Short hash of a network's parameters."""
    return array_hash(*map(np.asarray, jax.tree.leaves(params)))


def text_hash(lines: list[str]) -> str:
    """Short hash of texts, in order."""
    return json_hash(lines)
