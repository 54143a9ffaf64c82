"""The published weights of Auffusion's condition adapter."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.models.adapter import AdapterConfig, build_adapter
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import transformers_config
from diffusion_audio.pretrained.kinds import DENSE, NORM
from diffusion_audio.pretrained.rules import (
    Arrays,
    Layer,
    export_params,
    import_params,
)
from diffusion_audio.pretrained.transformers_config import Setting

AUFFUSION = AdapterConfig(condition=768, context=768)
NAMES = {
    "condition_dim": Setting("condition", 768),
    "cross_attention_dim": Setting("context", 768),
}


def adapter_config(config: Mapping[str, Any], whose: str) -> AdapterConfig:
    """The adapter's shape from its config.json.

    Raises:
        UserError: a value in it is none.
    """
    return AdapterConfig(**transformers_config.read(config, NAMES, {}, whose))


def table() -> Iterator[Layer]:
    """The layers of an adapter."""
    yield Layer("proj", "proj", DENSE)
    yield Layer("norm", "norm", NORM)


def import_adapter(
    cfg: AdapterConfig, source: Mapping[str, np.ndarray], whose: str
) -> Params:
    """An adapter's parameters from its arrays and no others.

    Raises:
        UserError: the arrays are not those of this config.
    """
    return import_params(table(), source, abstract_params(build_adapter(cfg)), whose)


def export_adapter(params: Params) -> Arrays:
    """Published names and layouts of an adapter's parameters."""
    return export_params(table(), params)


def adapter_json(cfg: AdapterConfig) -> dict[str, Any]:
    """Auffusion's config.json of an adapter; `adapter_config` reads it back."""
    return transformers_config.written(NAMES, cfg)
