"""The published weights of CLAP's text tower: names of transformers and of LAION."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.models.roberta import RobertaConfig, build_clap_text
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

CLAP_TEXT = RobertaConfig(
    vocabulary=50265,
    positions=514,
    width=768,
    depth=12,
    heads=12,
    hidden=3072,
    projection=512,
)
NAMES = {
    "vocab_size": Setting("vocabulary", 50265),
    "max_position_embeddings": Setting("positions", 514),
    "hidden_size": Setting("width", 768),
    "num_hidden_layers": Setting("depth", 12),
    "num_attention_heads": Setting("heads", 12),
    "intermediate_size": Setting("hidden", 3072),
    "type_vocab_size": Setting("types", 1),
    "pad_token_id": Setting("padding", 1),
    "layer_norm_eps": Setting("epsilon", 1e-12),
}
PROJECTION = {"projection_dim": Setting("projection", 512)}
FIXED = {"hidden_act": ("gelu",), "position_embedding_type": ("absolute",)}
FIXED_PROJECTION = {"projection_hidden_act": ("relu",)}
OURS = ("text_model.", "text_projection.")
BUFFERS = {  # 1, 2, 3, ... and zeros
    "text_model.embeddings.position_ids",
    "text_model.embeddings.token_type_ids",
}
# LAION's names -> transformers'; those of its projection count the activation.
LAION = (
    (re.compile(r"^text_branch\."), "text_model."),
    (re.compile(r"^text_projection\.0\."), "text_projection.linear1."),
    (re.compile(r"^text_projection\.2\."), "text_projection.linear2."),
)


def clap_text_config(config: Mapping[str, Any], whose: str) -> RobertaConfig:
    """The tower's shape from its config.json, or from a whole CLAP's.

    Raises:
        UserError: the file asks for what our tower has not.
    """
    own = transformers_config.text_config(config, whose)
    # A whole CLAP's own projection goes before what is said of its towers.
    settings = transformers_config.read(own, NAMES, FIXED, whose)
    settings |= transformers_config.read(config, PROJECTION, FIXED_PROJECTION, whose)
    return RobertaConfig(**settings)


def table(cfg: RobertaConfig) -> Iterator[Layer]:
    """The layers of a tower."""
    embeddings = "text_model.embeddings"
    for ours, theirs in {"token": "word", "position": "position"}.items():
        name = f"{embeddings}.{theirs}_embeddings"
        yield Layer(f"{ours}_embedding", name, EMBEDDING)
    yield Layer("type_embedding", f"{embeddings}.token_type_embeddings", EMBEDDING)
    yield Layer("norm_in", f"{embeddings}.LayerNorm", NORM)
    yield Layer("pooler", "text_model.pooler.dense", DENSE)
    yield Layer("linear1", "text_projection.linear1", DENSE)
    yield Layer("linear2", "text_projection.linear2", DENSE)
    for i in range(cfg.depth):
        ours, theirs = f"blocks/{i}", f"text_model.encoder.layer.{i}"
        for name in ("query", "key", "value"):
            other = f"{theirs}.attention.self.{name}"
            yield Layer(f"{ours}/attn/to_{name[0]}", other, DENSE)
        out = f"{theirs}.attention.output"
        yield Layer(f"{ours}/attn/to_out", f"{out}.dense", DENSE)
        yield Layer(f"{ours}/norm1", f"{out}.LayerNorm", NORM)
        yield Layer(f"{ours}/fc1", f"{theirs}.intermediate.dense", DENSE)
        yield Layer(f"{ours}/fc2", f"{theirs}.output.dense", DENSE)
        yield Layer(f"{ours}/norm2", f"{theirs}.output.LayerNorm", NORM)


def canonical(source: Mapping[str, np.ndarray]) -> Arrays:
    """The text tower's arrays among those of a CLAP, under transformers' names."""
    named = {}
    for name, array in source.items():
        for pattern, theirs in LAION:
            name = pattern.sub(theirs, name)
        if name.startswith(OURS) and name not in BUFFERS:
            named[name] = array
    return named


def import_clap_text(
    cfg: RobertaConfig, source: Mapping[str, np.ndarray], whose: str
) -> Params:
    """A tower's parameters from its arrays; those of the other tower may lie beside.

    Raises:
        UserError: the arrays are not those of this config.
    """
    like = abstract_params(build_clap_text(cfg))
    return import_params(table(cfg), canonical(source), like, whose)


def export_clap_text(cfg: RobertaConfig, params: Params) -> Arrays:
    """Published names and layouts of a tower's parameters."""
    return export_params(table(cfg), params)


def constants(cfg: RobertaConfig) -> Arrays:
    """Arrays that transformers keeps beside a tower's weights, always the same."""
    row = np.arange(cfg.positions)[None]
    return {name: row if "position" in name else 0 * row for name in sorted(BUFFERS)}


def clap_text_json(cfg: RobertaConfig) -> dict[str, Any]:
    """Transformers' config of a tower; `clap_text_config` reads it back."""
    return {
        "architectures": ["ClapTextModelWithProjection"],
        "model_type": "clap_text_model",
        **transformers_config.written(NAMES | PROJECTION, cfg),
        "hidden_act": "gelu",
        "projection_hidden_act": "relu",
    }
