"""The published weights of AudioLDM 2's projections: diffusers' names, the original's.

The original keeps the tokens that begin and end a part as rows of two tables of 32, and
uses two of each; diffusers took those out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError
from diffusion_audio.models.projection import ProjectionConfig, build_projection
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import transformers_config
from diffusion_audio.pretrained.kinds import DENSE
from diffusion_audio.pretrained.rules import (
    SAME,
    Arrays,
    Kind,
    Layer,
    Layout,
    Leaf,
    export_params,
    import_params,
)
from diffusion_audio.pretrained.transformers_config import Setting

AUDIOLDM2 = ProjectionConfig(first=512, second=1024, width=768)
NAMES = {
    "text_encoder_dim": Setting("first", 512),
    "text_encoder_1_dim": Setting("second", 1024),
    "langauge_model_dim": Setting("width", 768),  # so it is spelt
}
POSITIONS = {"max_seq_length": Setting("positions", 0)}
TOKENS: Kind = {
    "begin_1": Leaf("sos_embed", SAME),
    "end_1": Leaf("eos_embed", SAME),
    "begin_2": Leaf("sos_embed_1", SAME),
    "end_2": Leaf("eos_embed_1", SAME),
    "positions": Leaf(  # [1, C, L] there
        "learnable_positional_embedding",
        Layout(lambda x: x.transpose(2, 1, 0).squeeze(2), lambda x: x.T[None]),
    ),
}
LINEARS = {
    "input_sequence_embed_linear.0.": "projection.",
    "input_sequence_embed_linear.1.": "projection_1.",
}
ROWS = {
    "start_of_sequence_tokens.weight": ("sos_embed", "sos_embed_1"),
    "end_of_sequence_tokens.weight": ("eos_embed", "eos_embed_1"),
}


def projection_config(config: Mapping[str, Any], whose: str) -> ProjectionConfig:
    """The projections' shape from diffusers' config.json.

    Raises:
        UserError: a value in it is none.
    """
    settings = transformers_config.read(config, NAMES, {}, whose)
    if config.get("use_learned_position_embedding") is not None:
        settings |= transformers_config.read(config, POSITIONS, {}, whose)
    return ProjectionConfig(**settings)


def table() -> Iterator[Layer]:
    """The layers of the projections, and the arrays that lie under none."""
    yield Layer("project_1", "projection", DENSE)
    yield Layer("project_2", "projection_1", DENSE)
    yield Layer("", "", TOKENS)


def canonical(source: Mapping[str, np.ndarray], whose: str) -> Arrays:
    """The same arrays under diffusers' names.

    Raises:
        UserError: the original's tables of tokens are none.
    """
    named: Arrays = {}
    for name, array in source.items():
        if name in ROWS:
            if array.ndim != 2 or len(array) < 2:
                raise UserError(
                    f"{whose}: expected {name} to have rows of tokens, 2 or more, got "
                    f"{list(array.shape)}"
                )
            named |= dict(zip(ROWS[name], array, strict=False))
            continue
        for theirs, ours in LINEARS.items():
            if name.startswith(theirs):
                name = ours + name.removeprefix(theirs)
        named[name] = array
    return named


def import_projection(
    cfg: ProjectionConfig, source: Mapping[str, np.ndarray], whose: str
) -> Params:
    """The projections' parameters from their arrays and no others.

    Raises:
        UserError: the arrays are not those of this config.
    """
    like = abstract_params(build_projection(cfg))
    return import_params(table(), canonical(source, whose), like, whose)


def export_projection(params: Params) -> Arrays:
    """Names and layouts of diffusers, of the projections' parameters."""
    return export_params(table(), params)


def projection_json(cfg: ProjectionConfig) -> dict[str, Any]:
    """Diffusers' config.json of the projections; `projection_config` reads it back."""
    found = transformers_config.written(NAMES, cfg)
    if cfg.positions:
        found["use_learned_position_embedding"] = True
        found["max_seq_length"] = cfg.positions
    return {"_class_name": "AudioLDM2ProjectionModel", **found}
