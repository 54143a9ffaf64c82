"""The published weights of AudioLDM 2's phoneme encoder: transformers' names, its own.

In transformers' layout it is the text encoder of a whole VITS, which lies beside it
unused; in the original's it stands alone with the positions that our projection has.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.models.phonemes import PhonemeConfig, build_phonemes
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import transformers_config
from diffusion_audio.pretrained.kinds import DENSE, EMBEDDING, NORM
from diffusion_audio.pretrained.rules import (
    SAME,
    Arrays,
    Kind,
    Layer,
    Layout,
    Leaf,
    export_params,
    import_params,
    permuted,
)
from diffusion_audio.pretrained.transformers_config import Setting

AUDIOLDM2_SPEECH = PhonemeConfig()
NAMES = {
    "vocab_size": Setting("vocabulary", 38),
    "hidden_size": Setting("width", 192),
    "num_hidden_layers": Setting("depth", 6),
    "num_attention_heads": Setting("heads", 2),
    "ffn_dim": Setting("hidden", 768),
    "ffn_kernel_size": Setting("kernel", 3),
    "window_size": Setting("window", 4),
    "hidden_act": Setting("activation", "relu"),
    "layer_norm_eps": Setting("epsilon", 1e-5),
}
FIXED = {"use_bias": (True,)}
CONV: Kind = {
    "kernel": Leaf("weight", permuted(2, 1, 0)),
    "bias": Leaf("bias", SAME),
}
_SHARED = Layout(
    lambda x: x[0] if len(x) == 1 else x,  # of each head would be [H, R, D]
    lambda x: x[None],
)
DISTANCES: Kind = {
    "distance_key": Leaf("emb_rel_k", _SHARED),
    "distance_value": Leaf("emb_rel_v", _SHARED),
}
OURS, UNUSED = "text_encoder.", "text_encoder.project."
# The original's names -> transformers'.
ORIGINAL = tuple(
    (re.compile(pattern), theirs)
    for pattern, theirs in (
        (r"^text_encoder\.emb\.", "text_encoder.embed_tokens."),
        (r"^text_encoder\.proj\.", UNUSED),
        (r"\.attn_layers\.(\d+)\.conv_o\.", r".layers.\1.attention.out_proj."),
        (r"\.attn_layers\.(\d+)\.conv_(\w)\.", r".layers.\1.attention.\2_proj."),
        (r"\.attn_layers\.(\d+)\.", r".layers.\1.attention."),
        (r"\.norm_layers_1\.(\d+)\.", r".layers.\1.layer_norm."),
        (r"\.norm_layers_2\.(\d+)\.", r".layers.\1.final_layer_norm."),
        (r"\.ffn_layers\.(\d+)\.", r".layers.\1.feed_forward."),
        (r"\.gamma$", ".weight"),
        (r"\.beta$", ".bias"),
    )
)


def phoneme_config(config: Mapping[str, Any], whose: str) -> PhonemeConfig:
    """The encoder's shape from the config.json of a whole VITS.

    Raises:
        UserError: the file asks for what our encoder has not.
    """
    return PhonemeConfig(**transformers_config.read(config, NAMES, FIXED, whose))


def phoneme_json(cfg: PhonemeConfig) -> dict[str, Any]:
    """The config.json of a VITS with this encoder; `phoneme_config` reads it back."""
    written = transformers_config.written(NAMES, cfg)
    return {"architectures": ["VitsModel"], "model_type": "vits", **written}


def table(cfg: PhonemeConfig) -> Iterator[Layer]:
    """The layers of an encoder."""
    yield Layer("token_embedding", "text_encoder.embed_tokens", EMBEDDING)
    for i in range(cfg.depth):
        ours, theirs = f"blocks/{i}", f"text_encoder.encoder.layers.{i}"
        attention = f"{theirs}.attention"
        for name in ("q", "k", "v", "out"):
            yield Layer(f"{ours}/attn/to_{name}", f"{attention}.{name}_proj", DENSE)
        yield Layer(f"{ours}/attn", attention, DISTANCES)
        yield Layer(f"{ours}/norm1", f"{theirs}.layer_norm", NORM)
        yield Layer(f"{ours}/conv1", f"{theirs}.feed_forward.conv_1", CONV)
        yield Layer(f"{ours}/conv2", f"{theirs}.feed_forward.conv_2", CONV)
        yield Layer(f"{ours}/norm2", f"{theirs}.final_layer_norm", NORM)


def canonical(source: Mapping[str, np.ndarray]) -> Arrays:
    """The text encoder's arrays among those of a VITS, under transformers' names."""
    named = {}
    for name, array in source.items():
        for pattern, theirs in ORIGINAL:
            name = pattern.sub(theirs, name)
        if name.startswith(OURS) and not name.startswith(UNUSED):
            point = name.endswith("_proj.weight") and array.shape[2:] == (1,)
            named[name] = array[..., 0] if point else array
    return named


def import_phonemes(
    cfg: PhonemeConfig, source: Mapping[str, np.ndarray], whose: str
) -> Params:
    """An encoder's parameters from its arrays; the rest of a VITS may lie beside.

    Raises:
        UserError: the arrays are not those of this config.
    """
    like = abstract_params(build_phonemes(cfg))
    return import_params(table(cfg), canonical(source), like, whose)


def export_phonemes(cfg: PhonemeConfig, params: Params) -> Arrays:
    """Published names and layouts of an encoder's parameters."""
    return export_params(table(cfg), params)
