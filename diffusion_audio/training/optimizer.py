"""The optimiser of every task: AdamW or Muon, with warm-up, decay and clipping.

Loshchilov and Hutter 2019; Jordan et al. 2024, with the scale of Liu et al. 2025.
"""

import dataclasses
import math
from typing import Any

import jax
import optax
from optax import contrib

from diffusion_audio.errors import UserError, unknown

NAMES = ("adamw", "muon")
DECAYS = ("constant", "cosine", "exponential")
MUON_MOMENTUM = 0.95
MUON_RMS = 0.2


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Settings of `make_optimizer`.

    Attributes:
        learning_rate: peak learning rate.
        warmup_steps: updates over which it rises linearly from zero.
        decay: what follows: ``constant``, ``cosine`` (to zero at the last step)
            or ``exponential`` (times ``decay_rate`` each update).
        decay_rate: factor per update of the exponential decay. HiFi-GAN's 0.999
            per epoch on LJSpeech is 0.9999988 per update.
        weight_decay: decoupled weight decay, on matrices and kernels only.
        decay_biases: let it act on biases and scales too, as PyTorch's AdamW does
            unless set otherwise, and so HiFi-GAN.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: added to the root of the second moment.
        clip_norm: largest global norm of the gradient; 0 for no clipping.
        name: ``adamw``; or ``muon``, which makes the momentum of each kernel, a matrix
            of what goes in by what comes out, nearly orthogonal, and leaves the rest to
            AdamW. Its updates have a root mean square of ``MUON_RMS`` times the rate,
            about AdamW's, so both go by one learning rate.
    """

    learning_rate: float = 1e-4
    warmup_steps: int = 0
    decay: str = "constant"
    decay_rate: float = 1.0
    weight_decay: float = 0.0
    decay_biases: bool = False
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    clip_norm: float = 0.0
    name: str = "adamw"

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise unknown("optimizer", self.name, NAMES)
        if self.decay not in DECAYS:
            raise unknown("learning-rate decay", self.decay, DECAYS)
        if not 0 < self.learning_rate < math.inf:
            raise UserError(
                f"learning_rate must be above 0, not {self.learning_rate}; "
                "set config.optimizer.learning_rate"
            )
        for name in ("warmup_steps", "weight_decay", "eps", "clip_norm"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(
                    f"config.optimizer.{name} must be 0 or more, not "
                    f"{getattr(self, name)}"
                )
        for name in ("b1", "b2"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(
                    f"config.optimizer.{name} lies from 0 up to below 1, not "
                    f"{getattr(self, name)}"
                )


def learning_rate(cfg: OptimizerConfig, steps: int) -> optax.Schedule:
    """Learning rate by number of updates done, over ``steps`` updates in all."""
    peak = cfg.learning_rate
    if cfg.decay == "cosine":
        rest = optax.cosine_decay_schedule(peak, max(1, steps - cfg.warmup_steps))
    elif cfg.decay == "exponential":
        rest = optax.exponential_decay(peak, 1, cfg.decay_rate)
    else:
        rest = optax.constant_schedule(peak)
    if not cfg.warmup_steps:
        return rest
    warmup = optax.linear_schedule(peak / cfg.warmup_steps, peak, cfg.warmup_steps)
    return optax.join_schedules([warmup, rest], [cfg.warmup_steps])


def make_optimizer(cfg: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """The optimiser as configured, for a run of ``steps`` updates."""
    optimizer = _MAKE[cfg.name](cfg, learning_rate(cfg, steps))
    if not cfg.clip_norm:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(cfg.clip_norm), optimizer)


def _adamw(cfg: OptimizerConfig, rate: optax.Schedule) -> optax.GradientTransformation:
    return optax.adamw(
        rate,
        b1=cfg.b1,
        b2=cfg.b2,
        eps=cfg.eps,
        weight_decay=cfg.weight_decay,
        mask=_trained if cfg.decay_biases else _decayed,
    )


def _muon(cfg: OptimizerConfig, rate: optax.Schedule) -> optax.GradientTransformation:
    muon = contrib.muon(
        rate,
        beta=MUON_MOMENTUM,
        weight_decay=cfg.weight_decay,
        muon_weight_dimension_numbers=_dimensions,
        consistent_rms=MUON_RMS,
    )
    return optax.partition({"muon": muon, "adamw": _adamw(cfg, rate)}, _owners)


_MAKE = {"adamw": _adamw, "muon": _muon}


def _owners(params: optax.Params) -> optax.Params:
    """Which optimiser has which leaf: kernels are matrices, for Muon.

    Embeddings, and what weight norm splits into length and direction, are none.
    """

    def owner(path: tuple[Any, ...], leaf: Any) -> str:
        kernel = jax.tree_util.keystr(path).endswith("['kernel']")
        return "muon" if kernel and leaf.ndim > 1 else "adamw"

    return jax.tree_util.tree_map_with_path(owner, params)


def _dimensions(kernels: optax.Params) -> optax.Params:
    """How a kernel is a matrix: its last axis is what comes out, the others go in."""
    return jax.tree.map(
        lambda leaf: contrib.MuonDimensionNumbers(
            tuple(range(leaf.ndim - 1)), (leaf.ndim - 1,)
        ),
        kernels,
    )


def _decayed(params: optax.Params) -> optax.Params:
    """True for kernels, false for biases and scales."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def _trained(params: optax.Params) -> optax.Params:
    """True for all but spectral norm's singular vectors, which have no gradient."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "spectral_" not in jax.tree_util.keystr(path), params
    )
