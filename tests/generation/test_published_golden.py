"""Tiny systems as published, against what their authors' pipelines made of them.

`tests.published.golden` stored that; `tests/parity/test_published_pipelines.py` has the
pipelines themselves beside.
"""

import jax
import numpy as np
import pytest

from diffusion_audio.generation import load
from tests.published.cases import (
    GOLDEN,
    GUIDANCE,
    PROMPTS,
    SAMPLES,
    STEPS,
    TRANSCRIPTS,
    latents,
)
from tests.published.folders import make

PRESETS = {
    "audioldm": "diffusers",
    "audioldm2": "diffusers",
    "audioldm2_speech": "diffusers",
    "auffusion": "default",
}


def assert_close(ours, stored, bound):
    """Equal to a fraction of the largest value."""
    ours, largest = np.asarray(ours), np.abs(stored).max()
    assert ours.shape == stored.shape
    np.testing.assert_allclose(ours, stored, rtol=0, atol=bound * largest)


def said(kind):
    """What a model of speech is asked for beside prompts."""
    speech = {"transcripts": TRANSCRIPTS, "phonemes": True}
    return speech if kind == "audioldm2_speech" else {}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("audioldm", marks=pytest.mark.slow),
        pytest.param("audioldm2", marks=pytest.mark.slow),
        pytest.param("audioldm2_speech", marks=pytest.mark.slow),
        pytest.param("auffusion", marks=pytest.mark.slow),
    ],
)
def test_a_system_sounds_as_that_of_its_authors(tmp_path, kind):
    pipeline = load(make(kind, tmp_path), preset=PRESETS[kind])
    stored = dict(np.load(GOLDEN / f"{kind}.npz"))
    (mel,) = pipeline.batches(
        PROMPTS,
        np.asarray,
        key=jax.random.key(0),
        steps=STEPS,
        guidance=GUIDANCE,
        duration=SAMPLES / 16_000,
        latents=latents(),
        **said(kind),
    )
    assert_close(mel, stored["mel"], 1e-4)
    wave = pipeline.vocode(stored["mel"])
    assert_close(wave[:, :SAMPLES], stored["waveform"][:, :SAMPLES], 1e-3)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow) if "speech" in kind else kind
        for kind in PRESETS
    ],
)
def test_prompts_are_told_as_by_its_authors(tmp_path, kind):
    pipeline = load(make(kind, tmp_path), preset=PRESETS[kind])
    stored = dict(np.load(GOLDEN / f"{kind}.npz"))
    tokenizers = pipeline.tokenizers
    if kind == "audioldm2_speech":
        prompt = tokenizers.spoken(PROMPTS, **said(kind))
    else:
        prompt = tokenizers.prompt(PROMPTS)
    told = jax.jit(pipeline.system.condition)(pipeline.params, pipeline.frozen, prompt)
    if kind == "audioldm":
        assert_close(told.vector, stored["vector"], 1e-5)
    elif kind == "auffusion":
        assert_close(told.contexts[0].tokens, stored["context"], 1e-5)
    else:
        assert_close(told.contexts[0].tokens, stored["language"], 1e-4)
    if kind == "audioldm2":
        mask = stored["mask"].astype(bool)
        tokens = np.asarray(told.contexts[1].tokens)[:, : mask.shape[1]]
        assert_close(tokens[mask], stored["tokens"][mask], 1e-5)


@pytest.mark.parametrize("kind", ["audioldm2", "auffusion", "original_audioldm2"])
def test_a_folder_is_small_and_the_same_each_time(tmp_path, kind):
    """Weights are drawn by name: no other part, and no other run, changes them."""
    first, again = (make(kind, tmp_path / name) for name in ("first", "again"))
    paths = [path for path in first.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in paths) < 6 << 20
    for path in paths:
        other = (again / path.relative_to(first)).read_bytes()
        if path.suffix in (".bin", ".pt", ".pth", ".ckpt"):  # archives have a date
            assert len(other) == path.stat().st_size
        else:
            assert other == path.read_bytes()
