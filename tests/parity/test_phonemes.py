"""AudioLDM 2's phoneme encoder against VITS's text encoder of transformers."""

import pytest

from diffusion_audio.models.phonemes import build_phonemes
from diffusion_audio.nn.functional import abstract_params, count
from diffusion_audio.pretrained.phonemes import (
    AUDIOLDM2_SPEECH,
    export_phonemes,
    import_phonemes,
    phoneme_config,
)
from tests.parity.text_torch import (
    arrays,
    assert_close,
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

# What lies beside the text encoder in a VITS, small.
BESIDE = {
    "flow_size": 4,
    "upsample_initial_channel": 8,
    "upsample_rates": [2],
    "upsample_kernel_sizes": [4],
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1]],
    "spectrogram_bins": 5,
    "prior_encoder_num_flows": 1,
    "prior_encoder_num_wavenet_layers": 1,
    "posterior_encoder_num_wavenet_layers": 1,
    "duration_predictor_num_flows": 1,
    "duration_predictor_filter_channels": 4,
    "depth_separable_num_layers": 1,
}
PROJECTION = 192 * 384 + 384  # to the statistics of VITS's prior


def make(**options):
    settings = {
        "vocab_size": 31,
        "hidden_size": 12,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 20,
    }
    config = transformers.VitsConfig(**(settings | BESIDE | options))
    return config, randomize(transformers.VitsModel(config))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"window_size": 2, "ffn_kernel_size": 1, "hidden_act": "gelu"},
        {"num_attention_heads": 3, "ffn_kernel_size": 5, "layer_norm_eps": 1e-2},
        {"hidden_size": 10, "num_attention_heads": 1, "num_hidden_layers": 3},
    ],
)
@pytest.mark.parametrize("longest", [1, 3, 23])
def test_the_encoder(options, longest):
    config, model = make(**options)
    cfg = phoneme_config(config.to_dict(), "it")
    source = arrays(model)
    params = import_phonemes(cfg, source, "it")
    tokens = ids(0, 31, 3, longest)
    mask = lengths(longest, longest, 1, (longest + 1) // 2)
    with torch.no_grad():
        theirs = model.text_encoder(
            long(tokens),
            padding_mask=torch.from_numpy(mask).float()[..., None],
            attention_mask=long(mask),
        ).last_hidden_state
    assert_close(run(build_phonemes(cfg), params, tokens, mask), theirs)
    own = {
        name: array
        for name, array in source.items()
        if name.startswith("text_encoder.") and ".project." not in name
    }
    assert_exported(export_phonemes(cfg, params), own)


def test_published_size():
    config = transformers.VitsConfig(vocab_size=183)
    assert phoneme_config(config.to_dict(), "it") == AUDIOLDM2_SPEECH
    params = abstract_params(build_phonemes(AUDIOLDM2_SPEECH))
    with torch.device("meta"):
        model = transformers.VitsModel(config).text_encoder
    theirs = sum(p.numel() for p in model.parameters())
    assert count(params) == theirs - PROJECTION == 6_253_632
