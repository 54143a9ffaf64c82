import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.adapter import build_adapter
from diffusion_audio.nn.functional import abstract_params, count
from diffusion_audio.pretrained.adapter import (
    AUFFUSION,
    adapter_config,
    export_adapter,
    import_adapter,
)
from tests.networks import normal

CONFIG = {"condition_dim": 5, "cross_attention_dim": 6, "model_name": "any"}


def test_published_arrays_make_a_dense_layer_and_a_norm():
    cfg = adapter_config(CONFIG, "it")
    shapes = {"proj.weight": (6, 5), "proj.bias": 6, "norm.weight": 6, "norm.bias": 6}
    source = {name: normal(*np.atleast_1d(s)) for name, s in shapes.items()}
    params = import_adapter(cfg, source, "it")
    x = normal(2, 3, 5, seed=1)
    y = np.float64(x) @ source["proj.weight"].T + source["proj.bias"]
    y = y - y.mean(-1, keepdims=True)
    y = y / np.sqrt(np.square(y).mean(-1, keepdims=True) + 1e-5)
    expected = y * source["norm.weight"] + source["norm.bias"]
    ours = build_adapter(cfg).apply(params, x)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    back = export_adapter(params)
    assert back.keys() == source.keys()
    for name, array in source.items():
        np.testing.assert_array_equal(back[name], array)


def test_the_published_size_and_mistakes():
    assert adapter_config({}, "it") == AUFFUSION
    exactly = 768 * 768 + 3 * 768
    assert count(abstract_params(build_adapter(AUFFUSION))) == exactly
    with pytest.raises(UserError, match="condition_dim to be a whole number"):
        adapter_config({"condition_dim": "768"}, "it")
    with pytest.raises(UserError, match="unknown dtype"):
        type(AUFFUSION)(1, 2, dtype="int8")
