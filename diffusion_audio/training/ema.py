"""Exponential moving average of parameters."""

import dataclasses

import jax
import jax.numpy as jnp

from diffusion_audio.aliases import Array, Params
from diffusion_audio.errors import UserError


@dataclasses.dataclass(frozen=True)
class EMAConfig:
    """Settings of the average.

    Attributes:
        decay: weight of the old average; 0 switches the average off.
        warmup: let the decay rise as (1 + n) / (10 + n), as latent-diffusion
            code does, so that the first averages forget the initial values.
    """

    decay: float = 0.9999
    warmup: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise UserError(
                f"EMA decay must lie in [0, 1), not {self.decay}; set config.ema.decay"
            )


def start(cfg: EMAConfig, params: Params) -> Params:
    """The average before the first update: a copy, or empty when switched off."""
    return jax.tree.map(jnp.copy, params) if cfg.decay else {}


def update(cfg: EMAConfig, average: Params, params: Params, step: Array) -> Params:
    """The average after the update number ``step`` (counted from 0)."""
    if not cfg.decay:
        return average
    decay = jnp.float32(cfg.decay)
    if cfg.warmup:
        n = step.astype(jnp.float32)
        decay = jnp.minimum(decay, (1.0 + n) / (10.0 + n))
    return jax.tree.map(lambda a, p: a + (1.0 - decay) * (p - a), average, params)


def best(average: Params, params: Params) -> Params:
    """The average where there is one, else the parameters themselves."""
    return average or params
