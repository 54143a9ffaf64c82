"""AudioLDM 2's phoneme encoder from published names."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.phonemes import build_phonemes
from diffusion_audio.nn.functional import abstract_params, count
from diffusion_audio.pretrained.phonemes import (
    AUDIOLDM2_SPEECH,
    export_phonemes,
    import_phonemes,
    phoneme_config,
)
from tests.networks import random_params
from tests.pretrained.make_phoneme_golden import CONFIG, GOLDEN, MASK, TOKENS
from tests.pretrained.text_cases import drawn

CFG = phoneme_config(CONFIG, "it")
NETWORK = build_phonemes(CFG)


def test_what_transformers_gives():
    zeros = jax.tree.map(lambda a: np.zeros(a.shape), abstract_params(NETWORK))
    shapes = {name: a.shape for name, a in export_phonemes(CFG, zeros).items()}
    params = import_phonemes(CFG, drawn(shapes), "it")
    states = jax.jit(NETWORK.apply)(params, TOKENS, MASK)
    np.testing.assert_allclose(states, np.load(GOLDEN)["states"], atol=1e-5)


def test_a_whole_vits_and_the_originals_names():
    params = random_params(NETWORK)
    arrays = export_phonemes(CFG, params)
    assert arrays["text_encoder.encoder.layers.0.attention.emb_rel_k"].shape == (
        1,
        5,
        4,
    )
    whole = arrays | {
        "text_encoder.project.weight": np.ones((4, 8, 1)),
        "decoder.conv_pre.weight": np.ones(3),
        "flow.flows.0.conv_pre.bias": np.ones(3),
    }
    layers = "text_encoder.encoder.layers"
    original = {
        "text_encoder.proj.bias": np.ones(4),
        "learnable_positional_embedding": np.ones((1, 8, 310)),
        "text_encoder.emb.weight": arrays["text_encoder.embed_tokens.weight"],
    }
    theirs = "text_encoder.encoder"
    for i in range(2):
        own, norms = f"{layers}.{i}", ("layer_norm", "final_layer_norm")
        for number, norm in enumerate(norms, 1):
            for leaf, name in (("weight", "gamma"), ("bias", "beta")):
                name = f"{theirs}.norm_layers_{number}.{i}.{name}"
                original[name] = arrays[f"{own}.{norm}.{leaf}"]
        for leaf in ("weight", "bias"):
            for ours, name in (("q", "q"), ("k", "k"), ("v", "v"), ("out", "o")):
                array = arrays[f"{own}.attention.{ours}_proj.{leaf}"]
                array = array[..., None] if leaf == "weight" else array
                original[f"{theirs}.attn_layers.{i}.conv_{name}.{leaf}"] = array
            for conv in ("conv_1", "conv_2"):
                array = arrays[f"{own}.feed_forward.{conv}.{leaf}"]
                original[f"{theirs}.ffn_layers.{i}.{conv}.{leaf}"] = array
        for name in ("emb_rel_k", "emb_rel_v"):
            array = arrays[f"{own}.attention.{name}"]
            original[f"{theirs}.attn_layers.{i}.{name}"] = array
    for source in (whole, original):
        ours = import_phonemes(CFG, source, "it")
        jax.tree.map(np.testing.assert_array_equal, ours, params)
    with pytest.raises(UserError, match=r"no place for: text_encoder\.other"):
        import_phonemes(CFG, whole | {"text_encoder.other": np.ones(3)}, "it")
    apart = f"{layers}.0.attention.emb_rel_k"  # distances of each head
    with pytest.raises(UserError, match=r"is \[2, 5, 4\], which cannot be our \[5, 4"):
        import_phonemes(CFG, whole | {apart: np.ones((2, 5, 4), np.float32)}, "it")


def test_what_is_masked_has_no_influence():
    params = random_params(NETWORK)
    apply = jax.jit(NETWORK.apply)
    states = apply(params, TOKENS, MASK)
    assert not states[0, 5:].any()
    other = np.where(MASK, TOKENS, 7)
    np.testing.assert_array_equal(apply(params, other, MASK), states)
    short = apply(params, TOKENS[:1, :5], MASK[:1, :5])
    np.testing.assert_allclose(short, states[:1, :5], atol=1e-6)
    none = apply(params, TOKENS, np.zeros_like(MASK))
    assert not none.any()


def test_in_bfloat16():
    params = random_params(NETWORK)
    half = build_phonemes(replace(CFG, dtype="bfloat16"))
    states = jax.jit(half.apply)(params, TOKENS, MASK)
    assert states.dtype == np.float32
    np.testing.assert_allclose(
        states, jax.jit(NETWORK.apply)(params, TOKENS, MASK), atol=0.1
    )


def test_published_size():
    # embedding, and a block: four projections, distances, two norms, two convolutions
    block = 4 * (192 * 192 + 192) + 2 * 9 * 96 + 4 * 192
    block += 2 * 3 * 192 * 768 + 768 + 192
    expected = 183 * 192 + 6 * block
    params = abstract_params(build_phonemes(AUDIOLDM2_SPEECH))
    assert count(params) == expected == 6_253_632
    assert phoneme_config({"vocab_size": 183}, "it") == AUDIOLDM2_SPEECH


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"use_bias": False}, "it has True"),
        ({"ffn_kernel_size": 4}, "an odd kernel, got 4"),
        ({"window_size": 0}, "a whole number from 1 to 1048576, got 0"),
        ({"num_attention_heads": 5}, "divisible by heads, got 192 and 5"),
        ({"num_attention_heads": 0}, "a whole number from 1 to 1048576, got 0"),
        ({"hidden_act": "mish"}, "unknown activation"),
        ({"hidden_size": "8"}, "hidden_size to be a whole number"),
    ],
)
def test_configs_that_are_refused(config, line):
    with pytest.raises(UserError, match=line):
        phoneme_config(config, "it")
