"""The published weights of GPT-2: names and layouts of transformers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.models.gpt2 import GPT2Config, build_gpt2
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import transformers_config
from diffusion_audio.pretrained.kinds import CONV1D, EMBEDDING, NORM
from diffusion_audio.pretrained.rules import (
    Arrays,
    Layer,
    export_params,
    import_params,
)
from diffusion_audio.pretrained.transformers_config import Setting

GPT2_BASE = GPT2Config(
    vocabulary=50257, positions=1024, width=768, depth=12, heads=12, hidden=3072
)
NAMES = {
    "vocab_size": Setting("vocabulary", 50257),
    "n_positions": Setting("positions", 1024),
    "n_embd": Setting("width", 768),
    "n_layer": Setting("depth", 12),
    "n_head": Setting("heads", 12),
    "layer_norm_epsilon": Setting("epsilon", 1e-5),
}
FIXED = {
    "activation_function": ("gelu_new",),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
}
# Causal masks, which old files keep.
BUFFER = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")


def gpt2_config(config: Mapping[str, Any], whose: str) -> GPT2Config:
    """The network's shape from its config.json.

    Raises:
        UserError: the file asks for what our network has not.
    """
    settings = transformers_config.read(config, NAMES, FIXED, whose)
    hidden = 4 * settings["width"]
    if config.get("n_inner") is not None:
        names = {"n_inner": Setting("hidden", hidden)}
        hidden = transformers_config.read(config, names, {}, whose)["hidden"]
    return GPT2Config(**settings, hidden=hidden)


def table(cfg: GPT2Config) -> Iterator[Layer]:
    """The layers of a network."""
    yield Layer("token_embedding", "wte", EMBEDDING)
    yield Layer("position_embedding", "wpe", EMBEDDING)
    yield Layer("norm_out", "ln_f", NORM)
    for i in range(cfg.depth):
        ours, theirs = f"blocks/{i}", f"h.{i}"
        yield Layer(f"{ours}/norm1", f"{theirs}.ln_1", NORM)
        yield Layer(f"{ours}/to_qkv", f"{theirs}.attn.c_attn", CONV1D)
        yield Layer(f"{ours}/to_out", f"{theirs}.attn.c_proj", CONV1D)
        yield Layer(f"{ours}/norm2", f"{theirs}.ln_2", NORM)
        yield Layer(f"{ours}/fc1", f"{theirs}.mlp.c_fc", CONV1D)
        yield Layer(f"{ours}/fc2", f"{theirs}.mlp.c_proj", CONV1D)


def canonical(source: Mapping[str, np.ndarray]) -> Arrays:
    """The same arrays without those that are no parameters."""
    return {name: a for name, a in source.items() if not BUFFER.fullmatch(name)}


def import_gpt2(
    cfg: GPT2Config, source: Mapping[str, np.ndarray], whose: str
) -> Params:
    """A network's parameters from its arrays and no others.

    Raises:
        UserError: the arrays are not those of this config.
    """
    like = abstract_params(build_gpt2(cfg))
    return import_params(table(cfg), canonical(source), like, whose)


def export_gpt2(cfg: GPT2Config, params: Params) -> Arrays:
    """Published names and layouts of a network's parameters."""
    return export_params(table(cfg), params)


def gpt2_json(cfg: GPT2Config) -> dict[str, Any]:
    """Transformers' config.json of a network; `gpt2_config` reads it back."""
    return {
        "architectures": ["GPT2Model"],
        "model_type": "gpt2",
        **transformers_config.written(NAMES, cfg),
        "n_inner": cfg.hidden,
        "activation_function": "gelu_new",
    }
