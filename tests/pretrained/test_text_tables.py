"""Text networks from files of others: old names, other authors' names, mistakes."""

import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.clip_text import build_clip_text
from diffusion_audio.models.gpt2 import build_gpt2
from diffusion_audio.models.projection import build_projection
from diffusion_audio.models.roberta import build_clap_text
from diffusion_audio.models.t5 import build_t5
from diffusion_audio.pretrained import clip_text, gpt2, projection, roberta, t5
from tests.networks import random_params
from tests.pretrained.text_cases import CONFIGS


def assert_same(tree, other):
    assert tree.keys() == other.keys()
    for name, node in tree.items():
        if isinstance(node, dict):
            assert_same(node, other[name])
        else:
            np.testing.assert_array_equal(node, other[name])


def test_t5_with_its_tied_embedding_once_or_twice():
    cfg = t5.t5_config(CONFIGS["t5"], "it")
    params = random_params(build_t5(cfg))
    arrays = t5.export_t5(cfg, params)
    tied = arrays["shared.weight"]
    other = {n: a for n, a in arrays.items() if n != "shared.weight"}
    for source in (arrays, other):
        source["encoder.embed_tokens.weight"] = tied
        assert_same(t5.import_t5(cfg, source, "it"), params)
    arrays["encoder.embed_tokens.weight"] = tied + 1
    with pytest.raises(UserError, match="to be equal, and they differ"):
        t5.import_t5(cfg, arrays, "it")


def test_clip_with_its_prefix_and_positions_or_without():
    cfg = clip_text.clip_text_config(CONFIGS["clip"], "it")
    params = random_params(build_clip_text(cfg))
    arrays = clip_text.export_clip_text(cfg, params)
    bare = {n.removeprefix("text_model."): a for n, a in arrays.items()}
    old = arrays | {"text_model.embeddings.position_ids": np.arange(7)[None]}
    for source in (arrays, bare, old):
        assert_same(clip_text.import_clip_text(cfg, source, "it"), params)
    assert all(name.startswith("text_model.") for name in arrays)


def test_clap_beside_its_other_tower_and_under_laions_names():
    cfg = roberta.clap_text_config(CONFIGS["clap"], "it")
    params = random_params(build_clap_text(cfg))
    arrays = roberta.export_clap_text(cfg, params)
    buffers = ("position_ids", "token_type_ids")
    whole = arrays | {
        "logit_scale_t": np.float64(2.6),
        "audio_model.audio_encoder.norm.weight": np.ones(3),
        **{f"text_model.embeddings.{n}": np.arange(9)[None] for n in buffers},
    }
    laion = {
        name.replace("text_model.", "text_branch.")
        .replace(".linear1.", ".0.")
        .replace(".linear2.", ".2."): array
        for name, array in arrays.items()
    }
    assert "text_branch.pooler.dense.weight" in laion
    laion["text_transform.sequential.0.weight"] = np.ones(3)  # LAION's, never used
    for source in (whole, laion):
        assert_same(roberta.import_clap_text(cfg, source, "it"), params)
    with pytest.raises(UserError, match=r"no place for: text_model\.other"):
        roberta.import_clap_text(cfg, whole | {"text_model.other": np.ones(3)}, "it")


def test_gpt2_with_its_causal_masks():
    cfg = gpt2.gpt2_config(CONFIGS["gpt2"], "it")
    params = random_params(build_gpt2(cfg))
    arrays = gpt2.export_gpt2(cfg, params)
    assert arrays["h.1.attn.c_attn.weight"].shape == (8, 24)  # not turned
    old = arrays | {
        f"h.{i}.attn.{name}": np.tri(16)
        for i in range(2)
        for name in ("bias", "masked_bias")
    }
    assert_same(gpt2.import_gpt2(cfg, old, "it"), params)
    with pytest.raises(UserError, match=r"no place for: h\.2\.attn\.c_attn\.bias"):
        gpt2.import_gpt2(cfg, arrays | {"h.2.attn.c_attn.bias": np.ones(24)}, "it")


def test_projections_under_the_originals_names():
    config = CONFIGS["projection"] | {"use_learned_position_embedding": None}
    cfg = projection.projection_config(config, "it")
    assert cfg.positions == 0
    params = random_params(build_projection(cfg))
    arrays = projection.export_projection(params)
    original = {}
    for i, name in enumerate(("projection", "projection_1")):
        for leaf in ("weight", "bias"):
            theirs = f"input_sequence_embed_linear.{i}.{leaf}"
            original[theirs] = arrays[f"{name}.{leaf}"]
    for theirs, name in (("start", "sos_embed"), ("end", "eos_embed")):
        rows = np.zeros((32, 8), np.float32)
        rows[0], rows[1] = arrays[name], arrays[f"{name}_1"]
        original[f"{theirs}_of_sequence_tokens.weight"] = rows
    assert_same(projection.import_projection(cfg, original, "it"), params)
    original["end_of_sequence_tokens.weight"] = np.zeros((1, 8), np.float32)
    with pytest.raises(UserError, match=r"2 or more, got \[1, 8\]"):
        projection.import_projection(cfg, original, "it")


def test_positions_of_speech_are_not_cut_or_joined():
    cfg = projection.projection_config(CONFIGS["projection"], "it")
    params = random_params(build_projection(cfg))
    arrays = projection.export_projection(params)
    name = "learnable_positional_embedding"
    assert arrays[name].shape == (1, 5, 4)
    arrays[name] = np.concatenate([arrays[name]] * 2)
    with pytest.raises(UserError, match=r"is \[2, 5, 4\], which cannot be our \[4, 5"):
        projection.import_projection(cfg, arrays, "it")


def test_what_a_config_leaves_out_has_its_default():
    assert t5.t5_config({}, "it").activation == "relu"
    assert clip_text.clip_text_config({}, "it").eos == 49407
    assert clip_text.clip_text_config({"text_config": {"hidden_size": 64}}, "it") == (
        clip_text.clip_text_config({"hidden_size": 64}, "it")
    )
    assert roberta.clap_text_config({}, "it") == roberta.CLAP_TEXT
    own = {"text_config": {"projection_dim": 6}, "projection_dim": 7}
    assert roberta.clap_text_config(own, "it").projection == 7  # the whole's counts
    assert gpt2.gpt2_config({"n_inner": None}, "it") == gpt2.GPT2_BASE
    assert gpt2.gpt2_config({"n_inner": 99}, "it").hidden == 99
    assert projection.projection_config({}, "it") == projection.AUDIOLDM2


@pytest.mark.parametrize(
    ("read", "config", "line"),
    [
        (t5.t5_config, {"feed_forward_proj": "gated-silu"}, "unknown feed_forward_pro"),
        (t5.t5_config, {"num_layers": 2.0}, "num_layers to be a whole number"),
        (t5.t5_config, {"num_layers": True}, "num_layers to be a whole number"),
        (t5.t5_config, {"d_ff": 1 << 40}, "d_ff to be a whole number from 1 to"),
        (t5.t5_config, {"layer_norm_epsilon": float("nan")}, "a number from 0 to 1"),
        (clip_text.clip_text_config, {"hidden_act": 3}, "to be a string, got 3"),
        (clip_text.clip_text_config, {"hidden_act": "mish"}, "unknown activation"),
        (clip_text.clip_text_config, {"text_config": [1]}, "text_config to be an obj"),
        (roberta.clap_text_config, {"hidden_act": "relu"}, "this network has not"),
        (
            roberta.clap_text_config,
            {"text_config": {}, "projection_hidden_act": "gelu"},
            "projection_hidden_act is 'gelu', which this network has not; it has 're",
        ),
        (gpt2.gpt2_config, {"scale_attn_weights": False}, "it has True"),
        (gpt2.gpt2_config, {"n_inner": "4"}, "n_inner to be a whole number"),
    ],
)
def test_configs_that_are_refused(read, config, line):
    with pytest.raises(UserError, match=line):
        read(config, "it")
