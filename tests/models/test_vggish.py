"""VGGish: its published size, its 8 bits, and what is refused."""

import dataclasses

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.vggish import VGGishConfig, build_vggish
from diffusion_audio.nn.functional import abstract_params, count
from tests.networks import normal, random_params

CFG = VGGishConfig(((4,), (6, 8)), 21, 9, hidden=(10,), embedding=5)


def test_published_size():
    assert count(abstract_params(build_vggish(VGGishConfig()))) == 72_141_184


def test_what_follows_the_network():
    white = dataclasses.replace(CFG, postprocessing="pca")
    bits = dataclasses.replace(CFG, postprocessing="pca_8bit")
    active = dataclasses.replace(CFG, activation=True)
    params = random_params(build_vggish(white))
    mel = 3 * normal(3, 21, 9)

    def of(cfg):
        return np.asarray(jax.jit(build_vggish(cfg).apply)(params, mel))

    raw = of(CFG)
    assert raw.min() < 0
    np.testing.assert_allclose(of(active), np.maximum(raw, 0), atol=1e-6)
    pca = params["pca"]
    expected = (raw - pca["mean"]) @ pca["matrix"]
    np.testing.assert_allclose(of(white), expected, atol=1e-5)
    eight = of(bits)
    np.testing.assert_array_equal(eight, np.round(eight))
    wanted = (np.clip(expected, -2, 2) + 2) * 63.75
    np.testing.assert_allclose(eight, wanted, atol=0.501)


@pytest.mark.parametrize("shape", [(1, 20, 9), (1, 21, 8), (21, 9)])
def test_mels_that_are_refused(shape):
    network = build_vggish(CFG)
    with pytest.raises(UserError, match=r"mels \[B, 21, 9\], got"):
        jax.eval_shape(
            network.apply, abstract_params(network), np.zeros(shape, np.float32)
        )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"stages": ((64,), ())}, "one convolution or more each"),
        ({"n_mels": 15}, "16 frames and n_mels or more, .* got 96 and 15"),
        ({"postprocessing": "pca8"}, "known: none, pca, pca_8bit"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
    ],
)
def test_configs_that_are_refused(options, line):
    with pytest.raises(UserError, match=line):
        VGGishConfig(**options)
