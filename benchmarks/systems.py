"""Whole systems from text to waveform, small, here and in PyTorch.

For `benchmarks.parity`: the folders that the tests write, with random weights and
tokenizers, and the same latents, prompts and settings. PyTorch's side is diffusers' own
pipelines, and Auffusion's written out (`tests.parity.whole_pipelines`).
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from diffusion_audio.generation import load
from tests.parity import whole_originals as originals
from tests.parity import whole_pipelines as theirs
from tests.published.folders import make

PROMPTS = ("a dog barks loudly", "rain")
STEPS, GUIDANCE, SECONDS = 5, 3.5, 0.64


class System(NamedTuple):
    """A system to compare.

    Attributes:
        kind: of `tests.published.folders.KINDS`.
        reference: the pipeline in PyTorch.
    """

    kind: str
    reference: Callable[..., dict[str, np.ndarray]]


SYSTEMS = {
    "AudioLDM": System("audioldm", theirs.audioldm),
    "AudioLDM 2": System("audioldm2", theirs.audioldm2),
    "AudioLDM 2 large": System("audioldm2_large", theirs.audioldm2),
    "Auffusion without adapter": System(
        "auffusion_no_adapter", theirs.auffusion_no_adapter
    ),
    "Auffusion": System("auffusion", originals.auffusion),
}


def compared_system(
    name: str, dtypes: tuple[str, ...], error: Callable[..., dict[str, float]]
) -> dict[str, Any]:
    """Errors of mels and waveforms by compute type.

    Args:
        name: of `SYSTEMS`.
        dtypes: of ours.
        error: of an array and its reference.
    """
    system = SYSTEMS[name]
    asked: dict[str, Any] = {"steps": STEPS, "guidance": GUIDANCE}
    with tempfile.TemporaryDirectory() as root:
        folder = make(system.kind, Path(root))
        preset = "default" if name.startswith("Auffusion") else "diffusers"
        pipelines = {d: load(folder, preset=preset, dtype=d) for d in dtypes}
        first = pipelines[dtypes[0]]
        samples = round(SECONDS * first.config["audio"]["sample_rate"])
        shape = (len(PROMPTS), *first.system.latent_shape(samples))
        z = np.random.default_rng(0).standard_normal(shape, np.float32)
        reference = system.reference(
            folder, PROMPTS, np.moveaxis(z, -1, 1).copy(), **asked
        )
    asked |= {"duration": SECONDS, "latents": z, "key": jax.random.key(0)}
    wave = reference["waveform"][:, :samples]
    found = {}
    for dtype, pipeline in pipelines.items():
        mels, waves = _heard(pipeline, asked)
        found[dtype] = {
            "mel": error(mels, reference["mel"]),
            "waveform": error(waves, wave),
        }
    return found


def _heard(pipeline: Any, asked: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Log-mels [B, T, F] and waveforms [B, N]."""
    mels = np.concatenate(list(pipeline.batches(PROMPTS, np.asarray, **asked)))
    waves = np.asarray(pipeline(PROMPTS, **asked), np.float32)
    return mels.astype(np.float32), waves
