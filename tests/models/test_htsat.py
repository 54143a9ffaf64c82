"""CLAP's audio tower: what transformers makes of it, crops, and what is refused."""

import functools
from pathlib import Path

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.htsat import HTSATConfig, build_htsat
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained.htsat import BASE, TINY, TINY_FUSION
from tests.models.htsat_tower import CFG, LONGER, MEL, NETWORK, PARAMS

GOLDEN = Path(__file__).parent / "golden" / "htsat.npz"


@functools.cache
def tower():
    return jax.jit(NETWORK.apply)


def test_as_transformers_has_it():
    embedding = tower()(PARAMS, MEL, LONGER)
    np.testing.assert_allclose(embedding, np.load(GOLDEN)["embedding"], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=-1), 1, rtol=1e-6)


def test_crops_count_for_longer_clips_alone():
    other = MEL.copy()
    other[..., 1:] *= -1
    change = tower()(PARAMS, other, LONGER) - tower()(PARAMS, MEL, LONGER)
    assert np.array_equal(change.any(axis=-1), LONGER)


@pytest.mark.parametrize(
    ("cfg", "count"),
    [(TINY, 28_190_872), (TINY_FUSION, 28_205_512), (BASE, 68_611_864)],
    ids=["tiny", "tiny fusion", "base"],
)
def test_published_sizes(cfg, count):
    """Without statistics, which PyTorch does not count as parameters."""
    leaves = jax.tree_util.tree_leaves_with_path(abstract_params(build_htsat(cfg)))
    sizes = [x.size for path, x in leaves if path[-1].key not in ("mean", "variance")]
    assert sum(sizes) == count


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        ((1, 50, 10, 1), r"mels \[B, T, 10, 4\], got \[1, 50, 10, 1\]"),
        ((1, 50, 9, 4), r"mels \[B, T, 10, 4\]"),
        ((50, 10, 4), r"got \[50, 10, 4\]"),
        ((1, 161, 10, 4), "1 to 160 frames, got 161"),
        ((1, 0, 10, 4), "1 to 160 frames, got 0"),
    ],
)
def test_mels_that_are_refused(shape, line):
    with pytest.raises(UserError, match=line):
        NETWORK.apply(PARAMS, np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"depths": (2, 2)}, "as many heads as depths"),
        ({"heads": (4, 8, 16, 5)}, "heads that divide 768, the width of stage 3"),
        ({"n_mels": 300}, "n_mels up to side=256"),
        ({"n_mels": 80}, "side divisible by side // n_mels"),
        ({"side": 128}, "a multiple of 32, 8 times"),
        ({"side": 264, "n_mels": 33}, "a multiple of 32"),
        ({"width": 3, "heads": (1, 1, 1, 1), "fusion": True}, "reduction=4 or more"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
    ],
)
def test_configs_that_are_refused(options, line):
    with pytest.raises(UserError, match=line):
        HTSATConfig(**options)


def test_a_config_knows_its_input():
    assert (CFG.folds, CFG.frames, CFG.inputs) == (4, 160, 4)
    assert (TINY.folds, TINY.frames, TINY.inputs) == (4, 1024, 1)
