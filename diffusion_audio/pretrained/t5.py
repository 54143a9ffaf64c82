"""The published weights of T5's encoder: names and layouts of transformers."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.models.t5 import T5Config, build_t5
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import transformers_config
from diffusion_audio.pretrained.kinds import DENSE, EMBEDDING, NORM
from diffusion_audio.pretrained.rules import (
    Arrays,
    Layer,
    export_params,
    import_params,
)
from diffusion_audio.pretrained.transformers_config import Setting

FLAN_T5_LARGE = T5Config(
    vocabulary=32128, width=1024, depth=24, heads=16, head_width=64, hidden=2816
)
NAMES = {
    "vocab_size": Setting("vocabulary", 32128),
    "d_model": Setting("width", 512),
    "num_layers": Setting("depth", 6),
    "num_heads": Setting("heads", 8),
    "d_kv": Setting("head_width", 64),
    "d_ff": Setting("hidden", 2048),
    "relative_attention_num_buckets": Setting("buckets", 32),
    "relative_attention_max_distance": Setting("max_distance", 128),
    "layer_norm_epsilon": Setting("epsilon", 1e-6),
}
# "gated-gelu" is the GELU by tanh, whatever its name says.
FEED_FORWARDS = {"relu": ("relu", False), "gated-gelu": ("gelu_new", True)}
TOKENS, TIED = "shared.weight", "encoder.embed_tokens.weight"


def t5_config(config: Mapping[str, Any], whose: str) -> T5Config:
    """The encoder's shape from its config.json.

    Raises:
        UserError: the file asks for what our encoder has not.
    """
    settings = transformers_config.read(config, NAMES, {}, whose)
    name = str(config.get("feed_forward_proj", "relu"))
    if name not in FEED_FORWARDS:
        raise unknown(f"feed_forward_proj of {whose}", name, FEED_FORWARDS)
    activation, gated = FEED_FORWARDS[name]
    return T5Config(**settings, activation=activation, gated=gated)


def table(cfg: T5Config) -> Iterator[Layer]:
    """The layers of an encoder."""
    yield Layer("token_embedding", "shared", EMBEDDING)
    first = "encoder.block.0.layer.0.SelfAttention"
    yield Layer("relative_bias", f"{first}.relative_attention_bias", EMBEDDING)
    yield Layer("norm_out", "encoder.final_layer_norm", NORM)
    forward = {"gate": "wi_0", "up": "wi_1"} if cfg.gated else {"up": "wi"}
    for i in range(cfg.depth):
        ours, theirs = f"blocks/{i}", f"encoder.block.{i}.layer"
        yield Layer(f"{ours}/norm1", f"{theirs}.0.layer_norm", NORM)
        yield Layer(f"{ours}/norm2", f"{theirs}.1.layer_norm", NORM)
        for name in ("q", "k", "v"):
            yield Layer(f"{ours}/to_{name}", f"{theirs}.0.SelfAttention.{name}", DENSE)
        yield Layer(f"{ours}/to_out", f"{theirs}.0.SelfAttention.o", DENSE)
        for name, other in (forward | {"down": "wo"}).items():
            yield Layer(f"{ours}/{name}", f"{theirs}.1.DenseReluDense.{other}", DENSE)


def canonical(source: Mapping[str, np.ndarray], whose: str) -> Arrays:
    """The same arrays with the tied token embedding once, under its first name.

    Raises:
        UserError: it is there under both names, and they differ.
    """
    named = dict(source)
    if TIED in named:
        tied = named.pop(TIED)
        if not np.array_equal(named.setdefault(TOKENS, tied), tied):
            raise UserError(
                f"{whose}: expected {TOKENS} and {TIED} to be equal, and they differ"
            )
    return named


def import_t5(cfg: T5Config, source: Mapping[str, np.ndarray], whose: str) -> Params:
    """An encoder's parameters from its arrays and no others.

    Raises:
        UserError: the arrays are not those of this config.
    """
    like = abstract_params(build_t5(cfg))
    return import_params(table(cfg), canonical(source, whose), like, whose)


def export_t5(cfg: T5Config, params: Params) -> Arrays:
    """Published names and layouts of an encoder's parameters."""
    return export_params(table(cfg), params)


def t5_json(cfg: T5Config) -> dict[str, Any]:
    """Transformers' config.json of an encoder; `t5_config` reads it back."""
    (kind,) = (k for k, v in FEED_FORWARDS.items() if v == (cfg.activation, cfg.gated))
    return {
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        **transformers_config.written(NAMES, cfg),
        "feed_forward_proj": kind,
        "is_encoder_decoder": False,
    }
