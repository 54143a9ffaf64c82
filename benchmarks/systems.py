"""Whole systems from text to waveform, small, here and in PyTorch.

For `benchmarks.parity`: the folders that the tests publish, with random weights and
tokenizers, the same latents, prompts and settings. PyTorch's side is diffusers' parts
and schedulers, joined as its pipelines join them (`tests/parity/reference_pipelines`).
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from diffusion_audio.generation import load
from diffusion_audio.generation.convert import convert
from tests.parity import reference_pipelines as theirs
from tests.published.systems import publish

PROMPTS = ["a dog barks", "birds sing by the water"]
STEPS, GUIDANCE, SECONDS = 5, 3.5, 0.64
NEW_TOKENS = 3  # of the language of audio in these folders


class System(NamedTuple):
    """A system to compare.

    Attributes:
        kind: of `tests.published.systems.publish`.
        told: arguments of PyTorch's UNet for texts of a folder.
        picture: whether its mels are pictures.
    """

    kind: str
    told: Callable[[Path, list[str]], dict[str, Any]]
    picture: bool = False


def _audioldm(folder: Path, texts: list[str]) -> dict[str, Any]:
    vectors = theirs.audioldm(folder, texts)
    return {"class_labels": vectors, "encoder_hidden_states": None}


def _audioldm2(folder: Path, texts: list[str]) -> dict[str, Any]:
    length = None
    if not any(texts):  # no prompt is filled up to the prompts' length there
        length = theirs.audioldm2(folder, PROMPTS, NEW_TOKENS)[1].shape[1]
    spoken, words, mask = theirs.audioldm2(folder, texts, NEW_TOKENS, length)
    return {
        "encoder_hidden_states": spoken,
        "encoder_hidden_states_1": words,
        "encoder_attention_mask_1": mask,
    }


def _clip(folder: Path, texts: list[str]) -> dict[str, Any]:
    return {"encoder_hidden_states": theirs.clip(folder, texts)}


def _auffusion(folder: Path, texts: list[str]) -> dict[str, Any]:
    states = theirs.auffusion(folder, PROMPTS)
    return {"encoder_hidden_states": states if any(texts) else 0 * states}


SYSTEMS = {
    "AudioLDM": System("audioldm", _audioldm),
    "AudioLDM 2": System("audioldm2", _audioldm2),
    "AudioLDM 2 large": System("audioldm2_large", _audioldm2),
    "Auffusion without adapter": System("auffusion_plain", _clip, True),
    "Auffusion": System("auffusion", _auffusion, True),
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
    import torch

    system = SYSTEMS[name]
    with tempfile.TemporaryDirectory() as root:
        folder = parts = publish(system.kind, Path(root) / "it")
        if system.kind == "auffusion":  # whose layout diffusers does not read
            parts = Path(convert(folder, Path(root) / "parts", layout="diffusers"))
        pipelines = {d: load(folder, preset="diffusers", dtype=d) for d in dtypes}
        first = pipelines[dtypes[0]]
        samples = round(SECONDS * first.config["audio"]["sample_rate"])
        shape = first.system.latent_shape(samples)
        z = np.random.default_rng(0).standard_normal((len(PROMPTS), *shape), np.float32)
        final = theirs.sample(
            parts,
            torch.from_numpy(z).permute(0, 3, 1, 2),
            STEPS,
            GUIDANCE,
            system.told(folder, PROMPTS),
            system.told(folder, [""] * len(PROMPTS)),
        )
        mel, wave = theirs.hear(parts, final, picture=system.picture)
    found = {}
    for dtype, pipeline in pipelines.items():
        ours_mel, ours = _heard(pipeline, z)
        reference = wave.numpy()[:, : ours.shape[1]]
        found[dtype] = {"mel": error(ours_mel, mel.numpy())}
        found[dtype]["waveform"] = error(ours, reference)
    return found


def _heard(pipeline: Any, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-mels [B, T, F] and waveforms [B, N] from these latents."""
    mels: list[np.ndarray] = []
    options = {"steps": STEPS, "guidance": GUIDANCE, "duration": SECONDS}
    options |= {"key": jax.random.key(0), "latents": z}
    list(pipeline.batches(PROMPTS, lambda m: mels.append(m) or m, **options))
    waves = np.asarray(pipeline(PROMPTS, **options), np.float32)
    return np.concatenate(mels).astype(np.float32), waves
