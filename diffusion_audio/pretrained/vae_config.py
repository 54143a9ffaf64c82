"""Diffusers' config.json of an autoencoder: read as our config, and written."""

import math
from collections.abc import Mapping
from typing import Any

from diffusion_audio.errors import UserError
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.pretrained.diffusers_config import (
    DEEPEST,
    flag,
    refuse_others,
    require_class,
    whole,
    widths,
    wrong,
)

CLASS = "AutoencoderKL"
BLOCKS = {
    "down_block_types": "DownEncoderBlock2D",
    "up_block_types": "UpDecoderBlock2D",
}

# Options that our autoencoder has one value of, the first; others spell the same.
FIXED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "use_quant_conv": (True,),
    "use_post_quant_conv": (True,),
}
READ = {
    *("in_channels", "out_channels", "block_out_channels", "layers_per_block"),
    *("latent_channels", "norm_num_groups", "mid_block_add_attention"),
    *("scaling_factor", *BLOCKS),
}


def vae_config(config: Mapping[str, Any], whose: str) -> VAEConfig:
    """Our settings from diffusers'.

    Args:
        config: as it was read.
        whose: what it is, for errors.

    Raises:
        UserError: it is of another class, asks for what our autoencoder does not do,
            or has a value of the wrong type.
    """
    require_class(config, (CLASS,), whose)
    refuse_others(config, FIXED, READ, whose)
    channels = widths(config, (64,), whose)
    for name, kind in BLOCKS.items():
        value = config.get(name, (kind,))
        if not isinstance(value, list | tuple) or [*value] != [kind] * len(channels):
            raise wrong(
                name, value, f"{kind} for each of {len(channels)} levels", whose
            )
    c_in = whole(config, "in_channels", 3, whose)
    c_out = whole(config, "out_channels", 3, whose)
    if c_in != c_out:
        raise wrong("out_channels", c_out, f"{c_in}, as in_channels", whose)
    return VAEConfig(
        in_channels=c_in,
        channels=channels,
        blocks=whole(config, "layers_per_block", 1, whose, DEEPEST),
        latent=whole(config, "latent_channels", 4, whose),
        mid_attention=flag(config, "mid_block_add_attention", True, whose),
        groups=whole(config, "norm_num_groups", 32, whose),
    )


def scaling_factor(config: Mapping[str, Any], whose: str) -> float:
    """What diffusers multiplies latents by before they are noised.

    Raises:
        UserError: it is no finite number above 0.
    """
    value = config.get("scaling_factor", 0.18215)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise wrong("scaling_factor", value, "a number above 0", whose)
    return float(value)


def vae_json(cfg: VAEConfig, scaling_factor: float) -> dict[str, Any]:
    """Diffusers' config.json of one of our autoencoders; `vae_config` reads it back.

    Raises:
        UserError: diffusers has no such autoencoder.
    """
    if cfg.patch != 1:
        raise UserError(
            f"diffusers has no autoencoder of patch {cfg.patch}: expected 1"
        )
    return {
        "_class_name": CLASS,
        "in_channels": cfg.in_channels,
        "out_channels": cfg.in_channels,
        "block_out_channels": list(cfg.channels),
        **{name: [kind] * len(cfg.channels) for name, kind in BLOCKS.items()},
        "layers_per_block": cfg.blocks,
        "latent_channels": cfg.latent,
        "norm_num_groups": cfg.groups,
        "mid_block_add_attention": cfg.mid_attention,
        "scaling_factor": scaling_factor,
    }
