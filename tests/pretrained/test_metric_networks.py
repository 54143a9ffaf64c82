"""The tables of the networks of metrics: there and back, and what is refused."""

import dataclasses

import jax
import numpy as np
import pytest

from diffusion_audio.audio.panns_mel import PannsMel
from diffusion_audio.errors import UserError
from diffusion_audio.models.cnn14 import Cnn14Config, build_cnn14
from diffusion_audio.models.passt import PasstConfig, build_passt
from diffusion_audio.models.vggish import VGGishConfig, build_vggish
from diffusion_audio.pretrained.cnn14 import export_cnn14, find_cnn14
from diffusion_audio.pretrained.passt import export_passt, find_passt
from diffusion_audio.pretrained.vggish import export_vggish, find_vggish
from tests.networks import random_params

CFG = Cnn14Config((4, 8), n_mels=6, embedding=5, classes=3)
MEL = PannsMel(8000, 256, 80, 6, 50.0, 3000.0)


def assert_same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def cnn14_file():
    params = random_params(build_cnn14(CFG))
    arrays = export_cnn14(CFG, MEL, params)
    return params, {f"model.{n}": a for n, a in arrays.items()} | {
        "iteration": np.asarray(600_000),
        "sampler.pointers_of_classes.0": np.asarray(3),
    }


def test_cnn14_there_and_back():
    params, arrays = cnn14_file()
    assert_same(find_cnn14(CFG, MEL, arrays, "it").model, params)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"model.fc1.bias": None}, "lacks fc1.bias"),
        (
            {"model.att_block.att.bias": np.zeros(3, np.float32)},
            "no place for: att_block",
        ),
        ({"model.logmel_extractor.melW": np.zeros((129, 6))}, "of another front end"),
        (
            {"model.spectrogram_extractor.stft.conv_real.weight": np.zeros((9, 1, 16))},
            "of another front end",
        ),
    ],
)
def test_cnn14s_that_are_refused(change, line):
    arrays = cnn14_file()[1] | change
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(UserError, match=line):
        find_cnn14(CFG, MEL, arrays, "it")


VGGISH = VGGishConfig(
    ((4,), (6, 8)), 21, 9, hidden=(10, 12), embedding=5, postprocessing="pca"
)


def torchvggishs(arrays):
    """The same arrays as a whole model of torchvggish has them."""
    named = dict(arrays)
    named["pproc.pca_matrix"] = named.pop("pca_eigen_vectors")
    named["pproc.pca_means"] = named.pop("pca_means")[:, None]
    return named


@pytest.mark.parametrize("spelt", [dict, torchvggishs])
def test_vggish_there_and_back(spelt):
    params = random_params(build_vggish(VGGISH))
    arrays = export_vggish(VGGISH, params)
    # There a row is a component, which embeddings are multiplied with from the left.
    assert_same(arrays["pca_eigen_vectors"], params["pca"]["matrix"].T)
    assert_same(find_vggish(VGGISH, spelt(arrays), "it").model, params)
    raw = dataclasses.replace(VGGISH, postprocessing="none")
    found = find_vggish(raw, spelt(arrays), "it").model
    assert_same(found, {name: params[name] for name in ("convs", "denses")})


def test_vggish_without_the_components_that_it_needs():
    arrays = export_vggish(VGGISH, random_params(build_vggish(VGGISH)))
    del arrays["pca_means"]
    with pytest.raises(UserError, match="lacks pca_means"):
        find_vggish(VGGISH, arrays, "it")


PASST = PasstConfig(8, 2, 2, n_mels=12, frames=30, patch=5, stride=3, classes=7)


def test_passt_there_and_back():
    params = random_params(build_passt(PASST))
    arrays = export_passt(PASST, params)
    heads = {"head_dist.weight": np.zeros((7, 8)), "head_dist.bias": np.zeros(7)}
    assert_same(find_passt(PASST, arrays | heads, "it").model, params)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("freq_new_pos_embed", (1, 8, 4, 1)),
        ("time_new_pos_embed", (8, 9)),
        ("blocks.1.attn.qkv.weight", (23, 8)),
    ],
)
def test_passts_that_are_refused(name, shape):
    arrays = export_passt(PASST, random_params(build_passt(PASST)))
    arrays[name] = np.zeros(shape, np.float32)
    with pytest.raises(UserError, match=r"it (lacks|has another shape)"):
        find_passt(PASST, arrays, "it")
