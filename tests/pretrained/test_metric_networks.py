"""The tables of the networks of metrics: there and back, and what is refused."""

import jax
import numpy as np
import pytest

from diffusion_audio.audio.panns_mel import PannsMel
from diffusion_audio.errors import UserError
from diffusion_audio.models.cnn14 import Cnn14Config, build_cnn14
from diffusion_audio.pretrained.cnn14 import export_cnn14, find_cnn14
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
