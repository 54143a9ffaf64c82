"""The audio tower's tables: there and back by both namings, configs, refusals."""

import jax
import numpy as np
import pytest

from diffusion_audio.audio.clap_mel import ClapMel
from diffusion_audio.errors import UserError
from diffusion_audio.models.htsat import HTSATConfig
from diffusion_audio.pretrained.clap_mel_config import clap_mel_config
from diffusion_audio.pretrained.htsat import (
    BASE,
    TINY,
    TINY_FUSION,
    canonical,
    clap_audio_config,
    export_clap_audio,
    export_laion,
    find_clap_audio,
)
from tests.models.htsat_tower import CFG, PARAMS

BLOCK = "layers.0.blocks.1"
AUDIO = {
    "depths": [2, 2, 12, 2],
    "num_attention_heads": [4, 8, 16, 32],
    "patch_embeds_hidden_size": 128,
    "hidden_size": 1024,
    "patch_stride": [4, 4],
    "enable_fusion": False,
    "fusion_type": None,
}
EXTRACTOR = {
    "feature_extractor_type": "ClapFeatureExtractor",
    "frequency_min": 50,
    "truncation": "rand_trunc",
    "nb_max_samples": 480000,
    "top_db": None,
}


def assert_same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def test_there_and_back():
    arrays = export_clap_audio(CFG, PARAMS)
    arrays["text_model.embeddings.word_embeddings.weight"] = np.zeros(1, np.float32)
    arrays["logit_scale_a"] = np.float64(1)
    assert_same(find_clap_audio(CFG, arrays, "it").model, PARAMS)


def test_there_and_back_by_laions_names_deep_in_a_file():
    arrays = {f"clap.model.{n}": a for n, a in export_laion(CFG, PARAMS).items()}
    branch = "clap.model.audio_branch"
    for name in (
        f"{branch}.spectrogram_extractor.stft.conv_real.weight",
        f"{branch}.tscam_conv.bias",
        f"{branch}.{BLOCK}.attn_mask",
        f"{branch}.bn0.num_batches_tracked",
        "clap.model.text_branch.pooler.dense.bias",
        "clap.model.audio_transform.sequential.0.bias",
    ):
        arrays[name] = np.zeros(1, np.float32)
    assert_same(find_clap_audio(CFG, arrays, "it").model, PARAMS)


def test_names_of_one_array():
    mine, laion = export_clap_audio(CFG, PARAMS), export_laion(CFG, PARAMS)
    encoder, branch = "audio_model.audio_encoder", "audio_branch"
    for ours, theirs in {
        f"{encoder}.batch_norm.running_var": f"{branch}.bn0.running_var",
        f"{encoder}.patch_embed.mel_conv2d.weight": (
            f"{branch}.patch_embed.mel_conv2d.weight"
        ),
        f"{encoder}.patch_embed.fusion_model.global_att.1.weight": (
            f"{branch}.patch_embed.fusion_model.global_att.1.weight"
        ),
        f"{encoder}.{BLOCK}.layernorm_after.bias": f"{branch}.{BLOCK}.norm2.bias",
        f"{encoder}.{BLOCK}.attention.output.dense.weight": (
            f"{branch}.{BLOCK}.attn.proj.weight"
        ),
        f"{encoder}.{BLOCK}.attention.self.relative_position_bias_table": (
            f"{branch}.{BLOCK}.attn.relative_position_bias_table"
        ),
        f"{encoder}.{BLOCK}.output.dense.bias": f"{branch}.{BLOCK}.mlp.fc2.bias",
        f"{encoder}.layers.0.downsample.norm.bias": (
            f"{branch}.layers.0.downsample.norm.bias"
        ),
        f"{encoder}.norm.weight": f"{branch}.norm.weight",
        "audio_projection.linear2.weight": "audio_projection.2.weight",
    }.items():
        np.testing.assert_array_equal(mine[ours], laion[theirs])
    qkv = laion[f"{branch}.{BLOCK}.attn.qkv.weight"]
    key = mine[f"{encoder}.{BLOCK}.attention.self.key.weight"]
    np.testing.assert_array_equal(qkv[4:8], key)
    assert mine[f"{encoder}.patch_embed.mel_conv2d.weight"].shape == (4, 1, 2, 6)
    gate = PARAMS["patches"]["fuse"]["global_gate"]["dense1"]["kernel"]
    first = mine[f"{encoder}.patch_embed.fusion_model.global_att.1.weight"]
    np.testing.assert_array_equal(first[:, :, 0, 0], gate.T)


def test_one_array_under_two_names_is_refused():
    both = export_clap_audio(CFG, PARAMS) | export_laion(CFG, PARAMS)
    with pytest.raises(UserError, match="twice, under two spellings"):
        canonical(both)


def test_weights_of_another_config_are_refused():
    arrays = export_clap_audio(CFG, PARAMS)
    del arrays["audio_projection.linear1.bias"]
    with pytest.raises(UserError, match=r"lacks audio_projection\.linear1\.bias"):
        find_clap_audio(CFG, arrays, "it")


def test_published_configs():
    assert clap_audio_config({"audio_config": AUDIO}, "it") == BASE
    assert clap_audio_config({}, "it") == TINY
    fused = {"enable_fusion": True, "fusion_type": "aff_2d"}
    assert clap_audio_config(fused, "it") == TINY_FUSION
    whole = {"audio_config": AUDIO | {"projection_dim": 9}, "projection_dim": 6}
    assert clap_audio_config(whole, "it").embedding == 6
    shape = {"patch_size": 2, "spec_size": 128, "window_size": 4, "num_mel_bins": 32}
    expected = HTSATConfig(patch=2, side=128, window=4, n_mels=32)
    assert clap_audio_config(shape | {"patch_stride": [2, 2]}, "it") == expected


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"hidden_act": "relu"}, "hidden_act is 'relu'.*expected 'gelu'"),
        ({"mlp_ratio": 2.0}, "mlp_ratio is 2.0"),
        ({"patch_stride": [2, 2]}, r"patch_stride is \[2, 2\].*expected 4"),
        ({"depths": 3}, "depths is 3.*expected a list"),
        ({"depths": [2, 2, 2, 1000]}, "at most 64 of a stage"),
        ({"num_attention_heads": [4]}, "expected a whole number or 4 of them"),
        ({"enable_fusion": True, "fusion_type": "channel_map"}, "expected aff_2d"),
        ({"enable_fusion": 1}, "expected true or false"),
    ],
)
def test_what_our_tower_has_not_is_refused(change, line):
    with pytest.raises(UserError, match=line):
        clap_audio_config({"audio_config": AUDIO | change}, "it")


def test_a_whole_clap_that_is_none_is_refused():
    with pytest.raises(UserError, match="expected audio_config to be an object"):
        clap_audio_config({"audio_config": [1]}, "it")
    with pytest.raises(UserError, match="projection_hidden_act is 'gelu'"):
        clap_audio_config({"projection_hidden_act": "gelu"}, "it")


def test_the_published_front_end():
    assert clap_mel_config(EXTRACTOR, "it") == ClapMel()
    fused = {name: EXTRACTOR[name] for name in ("feature_extractor_type",)}
    assert clap_mel_config(fused, "it") == ClapMel(fmin=0.0, fusion=True)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"feature_extractor_type": "Wav2Vec2"}, "expected ClapFeatureExtractor"),
        ({"truncation": "none"}, "expected fusion or rand_trunc"),
        ({"padding": True}, "expected repeatpad or repeat or pad"),
        ({"hop_length": 0}, "hop_length is 0"),
        ({"frequency_min": "low"}, "frequency_min is 'low'"),
        ({"max_length_s": 10**9}, "from 1 to 600"),
    ],
)
def test_another_front_end_is_refused(change, line):
    with pytest.raises(UserError, match=line):
        clap_mel_config(EXTRACTOR | change, "it")
