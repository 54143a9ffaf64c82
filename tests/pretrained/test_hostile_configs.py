"""Configs of whole systems with values that nobody can mean: refused in a line each."""

import json

import pytest

from tests.pretrained.hostile import change, read_whole, refused, vouch


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


ABSURD = {
    "a billion": 10**9,
    "a million": 10**6,
    "negative": -1,
    "zero": 0,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "fraction": 0.5,
    "text": "8",
    "null": None,
    "true": True,
    "object": {},
    "empty": [],
    "long": [8] * 1000,
    "wrong": [-1, 10**9],
    "nested": nested(900),
}
SIZES = [
    ("audioldm2", path, name)
    for path, names in {
        "unet": (
            *("in_channels", "block_out_channels", "layers_per_block"),
            *("attention_head_dim", "cross_attention_dim", "norm_num_groups"),
            "transformer_layers_per_block",
        ),
        "vae": (
            *("in_channels", "block_out_channels", "layers_per_block"),
            *("latent_channels", "norm_num_groups", "scaling_factor"),
        ),
        "vocoder": (
            *("model_in_dim", "upsample_initial_channel", "upsample_rates"),
            *("resblock_dilation_sizes", "sampling_rate"),
        ),
        "text_encoder_2": (
            *("d_model", "num_layers", "num_heads", "d_kv", "vocab_size"),
            *("relative_attention_num_buckets", "layer_norm_epsilon"),
            "feed_forward_proj",
        ),
        "language_model": ("n_embd", "n_layer", "n_head", "n_positions", "n_inner"),
        "projection_model": ("text_encoder_dim", "langauge_model_dim"),
        "text_encoder": ("text_config", "audio_config", "projection_dim"),
        "feature_extractor": (
            *("fft_window_size", "hop_length", "feature_size", "frequency_min"),
            *("frequency_max", "max_length_s", "sampling_rate", "padding"),
        ),
        "scheduler": (
            *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule"),
            *("steps_offset", "prediction_type"),
        ),
    }.items()
    for name in names
] + [
    ("auffusion", path, name)
    for path, names in {
        "text_encoder_0": ("hidden_size", "num_hidden_layers", "num_attention_heads"),
        "condition_adapter_0": ("condition_dim", "cross_attention_dim"),
    }.items()
    for name in names
]
FILES = {
    "scheduler": "scheduler_config.json",
    "feature_extractor": "preprocessor_config.json",
}


NUMBERS = ("a billion", "a million", "fraction")
HARMLESS = {
    "scaling_factor": NUMBERS,
    "layer_norm_epsilon": ("zero", "fraction"),
    "beta_start": ("fraction",),
    "beta_end": ("fraction",),
    "steps_offset": ("zero",),
    "n_inner": ("null",),
    "frequency_min": ("zero", "fraction"),
}
"""What is odd, and as good as any other number; or no value."""


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "part", "name"), SIZES)
def test_values_of_configs_that_are_absurd(system, layout, part, name):
    """Refused, or no other system than the one that is there: never a crash."""
    folder = system(layout)
    path = folder / part / FILES.get(part, "config.json")
    whole = path.read_text()
    for kind, value in ABSURD.items():
        path.write_text(whole)
        change(path, **{name: value})
        if kind in HARMLESS.get(name, ()):
            read_whole(folder)
        else:
            assert str(folder) in refused(folder), kind


TOWERS = {
    "text_config": (
        *("vocab_size", "max_position_embeddings", "hidden_size"),
        *("num_hidden_layers", "num_attention_heads", "intermediate_size"),
    ),
    "audio_config": (
        *("patch_size", "spec_size", "window_size", "num_mel_bins"),
        *("patch_embeds_hidden_size", "depths", "num_attention_heads"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize(
    "kind", ["a billion", "a million", "negative", "zero", "nested"]
)
def test_values_of_claps_towers_that_are_absurd(system, tower, kind):
    folder = system("audioldm2")
    path = folder / "text_encoder" / "config.json"
    whole = json.loads(path.read_text())
    for name in TOWERS[tower]:
        assert name in whole[tower]
        changed = whole | {tower: whole[tower] | {name: ABSURD[kind]}}
        path.write_text(json.dumps(changed))
        assert str(folder) in refused(folder), name


# Odd, and as good as another: a system may have no conditioner, and any numbers here.
ODD = {
    ("conditioners", "object"),
    ("sample_rate", "a billion"),
    ("latent_scale", "a billion"),
}


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("denoiser", "blocks"),
        ("denoiser", "channels"),
        ("denoiser", "heads"),
        ("denoiser", "groups"),
        ("conditioners/clip/text", "depth"),
        ("conditioners/clip/text", "heads"),
        ("conditioners/clip/text", "vocabulary"),
        ("components/vocoder/vocoder", "rates"),
        ("components/autoencoder/autoencoder", "blocks"),
        ("audio", "sample_rate"),
        ("schedule", "steps"),
        ("", "latent_scale"),
        ("", "denoiser"),
        ("", "conditioners"),
        ("", "components"),
        ("", "data"),
    ],
)
def test_a_config_of_ours_that_is_absurd(system, group, name):
    folder = system("ours")
    path = folder / "config.json"
    whole = path.read_text()
    for kind in ("a billion", "negative", "zero", "text", "NaN", "object", "nested"):
        if (name, kind) in ODD:
            continue
        config = json.loads(whole)
        values = config
        for key in filter(None, group.split("/")):
            values = values[key]
        values[name] = ABSURD[kind]
        path.write_text(json.dumps(config))
        vouch(folder)
        refused(folder)
