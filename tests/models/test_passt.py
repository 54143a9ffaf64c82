"""PaSST: its published size, its places, and what is refused."""

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.passt import PasstConfig, build_passt
from diffusion_audio.nn.functional import abstract_params, count

CFG = PasstConfig(8, 1, 2, n_mels=12, frames=30, patch=5, stride=3, classes=7)


def test_published_size():
    """Beside these the published file has 405,263 of a head that is of training."""
    assert count(abstract_params(build_passt(PasstConfig()))) == 86_153_758 - 405_263
    cfg = PasstConfig()
    assert (cfg.patches(128), cfg.patches(998), cfg.most_frames) == (12, 99, 1005)


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        ((1, 20, 11), r"mels \[B, T, 12\], got \[1, 20, 11\]"),
        ((20, 12), r"got \[20, 12\]"),
        ((1, 4, 12), "5 to 31 frames, got 4"),
        ((1, 32, 12), "5 to 31 frames, got 32"),
    ],
)
def test_mels_that_are_refused(shape, line):
    network = build_passt(CFG)
    with pytest.raises(UserError, match=line):
        jax.eval_shape(
            network.apply, abstract_params(network), np.zeros(shape, np.float32)
        )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"heads": 7}, "heads that divide width=768, got 7"),
        ({"stride": 17}, "stride <= patch <= n_mels and frames, got stride=17"),
        ({"frames": 15}, "frames=15"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
    ],
)
def test_configs_that_are_refused(options, line):
    with pytest.raises(UserError, match=line):
        PasstConfig(**options)
