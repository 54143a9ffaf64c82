"""The published weights of CLIP's text tower: names and layouts of transformers."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.models.clip_text import ClipTextConfig, build_clip_text
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

# Stable Diffusion 1.5's and Auffusion's.
VIT_L14 = ClipTextConfig(
    vocabulary=49408, max_tokens=77, width=768, depth=12, heads=12, hidden=3072
)
NAMES = {
    "vocab_size": Setting("vocabulary", 49408),
    "max_position_embeddings": Setting("max_tokens", 77),
    "hidden_size": Setting("width", 512),
    "num_hidden_layers": Setting("depth", 12),
    "num_attention_heads": Setting("heads", 8),
    "intermediate_size": Setting("hidden", 2048),
    "hidden_act": Setting("activation", "quick_gelu"),
    "eos_token_id": Setting("eos", 49407),
    "layer_norm_eps": Setting("epsilon", 1e-5),
}
PREFIX = "text_model."
BUFFER = "text_model.embeddings.position_ids"  # 0, 1, 2, ... in old files


def clip_text_config(config: Mapping[str, Any], whose: str) -> ClipTextConfig:
    """The tower's shape from its config.json, or from a whole CLIP's.

    Raises:
        UserError: the file asks for what our encoder has not.
    """
    own = transformers_config.text_config(config, whose)
    return ClipTextConfig(**transformers_config.read(own, NAMES, {}, whose))


def table(cfg: ClipTextConfig) -> Iterator[Layer]:
    """The layers of a tower."""
    for name in ("token_embedding", "position_embedding"):
        yield Layer(name, f"text_model.embeddings.{name}", EMBEDDING)
    yield Layer("norm_out", "text_model.final_layer_norm", NORM)
    for i in range(cfg.depth):
        ours, theirs = f"blocks/{i}", f"text_model.encoder.layers.{i}"
        for name in ("q", "k", "v", "out"):
            yield Layer(f"{ours}/to_{name}", f"{theirs}.self_attn.{name}_proj", DENSE)
        for name in ("1", "2"):
            yield Layer(f"{ours}/norm{name}", f"{theirs}.layer_norm{name}", NORM)
            yield Layer(f"{ours}/fc{name}", f"{theirs}.mlp.fc{name}", DENSE)


def canonical(source: Mapping[str, np.ndarray]) -> Arrays:
    """The same arrays under published names, which transformers 5 has no more."""
    old = any(name.startswith(PREFIX) for name in source)
    named = {name if old else PREFIX + name: a for name, a in source.items()}
    named.pop(BUFFER, None)
    return named


def import_clip_text(
    cfg: ClipTextConfig, source: Mapping[str, np.ndarray], whose: str
) -> Params:
    """A tower's parameters from its arrays and no others.

    Raises:
        UserError: the arrays are not those of this config.
    """
    like = abstract_params(build_clip_text(cfg))
    return import_params(table(cfg), canonical(source), like, whose)


def export_clip_text(cfg: ClipTextConfig, params: Params) -> Arrays:
    """Published names and layouts of a tower's parameters."""
    return export_params(table(cfg), params)


def clip_text_json(cfg: ClipTextConfig) -> dict[str, Any]:
    """Transformers' config.json of a tower; `clip_text_config` reads it back."""
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        **transformers_config.written(NAMES, cfg),
    }
