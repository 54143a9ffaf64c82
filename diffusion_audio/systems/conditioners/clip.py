"""CLIP's text tower, with Auffusion's condition adapter or without (Xue et al. 2024).

Without it this is Stable Diffusion's conditioner: all 77 places, padding among them,
are looked at. With it a prompt is encoded as long as it is, followed by zeros up to 77
places, and all of these go through the adapter; no prompt is zeros after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from diffusion_audio.aliases import Array, Key, Params
from diffusion_audio.diffusion.noise import purpose_key
from diffusion_audio.models.adapter import AdapterConfig, build_adapter
from diffusion_audio.models.clip_text import ClipTextConfig, build_clip_text
from diffusion_audio.models.condition import Condition, Context
from diffusion_audio.nn.functional import Network
from diffusion_audio.settings import of_group
from diffusion_audio.systems.conditioners import Conditioner
from diffusion_audio.systems.published_tokens import learn, reader


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        text: of the tower, a `models.clip_text.ClipTextConfig`.
        adapter: a `models.adapter.AdapterConfig`; None for no adapter.
        trained: whether both are trained with the denoiser.
    """

    text: Mapping[str, Any]
    adapter: Mapping[str, Any] | None = None
    trained: bool = False


def build(cfg: Config) -> Conditioner:
    """The conditioner of a config."""
    text = of_group(ClipTextConfig, cfg.text, "clip: text")
    networks = {"text": build_clip_text(text)}
    if cfg.adapter is not None:
        adapter = of_group(AdapterConfig, cfg.adapter, "clip: adapter")
        networks["adapter"] = build_adapter(adapter)

    def init(key: Key) -> Params:
        return {n: each.init(purpose_key(key, n)) for n, each in networks.items()}

    def apply(params: Params, arrays: Mapping[str, Array]) -> Condition:
        tokens = networks["text"].apply(params["text"], arrays["clip_tokens"]).tokens
        if "adapter" in networks:
            tokens = jnp.where(arrays["clip_mask"][..., None], tokens, 0)
            tokens = networks["adapter"].apply(params["adapter"], tokens)
            tokens = jnp.where(arrays["given"][:, None, None], tokens, 0)
        return Condition((Context(tokens),))

    read = reader(clip=text.max_tokens)
    return Conditioner(Network(init, apply), learn, read, cfg.trained)
