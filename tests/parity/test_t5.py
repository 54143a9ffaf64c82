"""T5's encoder against transformers'."""

import numpy as np
import pytest

from diffusion_audio.models.t5 import build_t5, relative_buckets
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained.t5 import (
    FLAN_T5_LARGE,
    export_t5,
    import_t5,
    t5_config,
)
from tests.parity.text_torch import (
    arrays,
    assert_close,
    assert_count,
    assert_exported,
    ids,
    lengths,
    long,
    randomize,
    run,
)

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def make(**options):
    settings = {
        "vocab_size": 37,
        "d_model": 24,
        "d_kv": 8,
        "d_ff": 40,
        "num_layers": 2,
        "num_heads": 3,
        "relative_attention_num_buckets": 16,
        "relative_attention_max_distance": 20,
    }
    config = transformers.T5Config(**(settings | options))
    return config, randomize(transformers.T5EncoderModel(config))


@pytest.mark.parametrize(
    "options",
    [
        {"feed_forward_proj": "gated-gelu"},
        {"feed_forward_proj": "relu"},
        {"feed_forward_proj": "gated-gelu", "d_kv": 4, "num_heads": 5},  # 20 of 24
        {
            "feed_forward_proj": "gated-gelu",
            "d_model": 16,
            "d_kv": 16,
            "num_heads": 2,
            "layer_norm_epsilon": 1e-2,
            "num_layers": 3,
            "relative_attention_num_buckets": 32,
            "relative_attention_max_distance": 128,
        },
    ],
)
@pytest.mark.parametrize("longest", [1, 50])
def test_the_encoder(options, longest):
    config, model = make(**options)
    cfg = t5_config(config.to_dict(), "it")
    source = arrays(model)
    params = import_t5(cfg, source, "it")
    tokens = ids(1, 37, 3, longest)
    for mask in (None, lengths(longest, 1, longest, (longest + 1) // 2)):
        with torch.no_grad():
            theirs = model(
                long(tokens), attention_mask=None if mask is None else long(mask)
            )
        ours = run(build_t5(cfg), params, tokens, mask)
        assert_close(ours, theirs.last_hidden_state)
    del source["encoder.embed_tokens.weight"]  # the same array again
    assert_exported(export_t5(cfg, params), source)


@pytest.mark.parametrize("buckets", [4, 6, 12, 16, 32, 50, 64])
@pytest.mark.parametrize("distance", [17, 20, 33, 64, 100, 128, 129, 256, 1000])
def test_classes_of_positions(buckets, distance):
    from transformers.models.t5.modeling_t5 import T5Attention

    places = torch.arange(1100)
    theirs = T5Attention._relative_position_bucket(
        places[None] - places[:, None], True, buckets, distance
    )
    np.testing.assert_array_equal(relative_buckets(1100, buckets, distance), theirs)


def test_published_size():
    config = transformers.T5Config(
        d_model=1024,
        d_kv=64,
        d_ff=2816,
        num_layers=24,
        num_heads=16,
        feed_forward_proj="gated-gelu",
    )
    assert t5_config(config.to_dict(), "it") == FLAN_T5_LARGE
    params = abstract_params(build_t5(FLAN_T5_LARGE))
    assert_count(transformers.T5EncoderModel, config, params, 341_231_104)
