"""What the network learns: to tell the noise from the data in x_t."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from diffusion_audio.aliases import Apply, Array, Metrics, Params
from diffusion_audio.diffusion.prediction import PREDICTIONS, target
from diffusion_audio.diffusion.process import Process, q_sample
from diffusion_audio.diffusion.reverse import bound_term, p_reverse, split_variance
from diffusion_audio.diffusion.schedule import Schedule, per_example
from diffusion_audio.diffusion.weighting import Weighting, loss_weight, simple
from diffusion_audio.errors import UserError, unknown

PARTS = 4


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a network is trained to predict, and how errors count.

    Attributes:
        prediction: what it predicts, one of ``prediction.PREDICTIONS``.
        weighting: of its error by signal-to-noise ratio.
        learned_variance: it also predicts, in as many channels more, the variance of
            each reverse step (``reverse.learned_range``), learned from the bound.
        bound_weight: of the bound in that hybrid loss.
    """

    prediction: str = "epsilon"
    weighting: Weighting = dataclasses.field(default_factory=simple)
    learned_variance: bool = False
    bound_weight: float = 1e-3

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise unknown("prediction", self.prediction, PREDICTIONS)

    def check(self, process: Process) -> None:
        """Refuses what cannot be learned of a process.

        Raises:
            UserError: see the messages.
        """
        if process.pure_noise and self.prediction == "epsilon":
            raise UserError(
                "this process ends in pure noise, in which epsilon does not give "
                "the data, so no sampler could start; predict v, velocity or x0"
            )
        if self.learned_variance and not isinstance(process, Schedule):
            raise UserError(
                "learned variance is of the steps of a chain; rectified_flow has none"
            )


EPSILON = Objective()


def epsilon_loss(
    apply: Apply,
    params: Params,
    schedule: Process,
    x0: Array,
    t: Array,
    eps: Array,
    cond: Any = None,
) -> tuple[Array, Metrics]:
    """Mean squared error of the predicted noise, L_simple; Ho et al. 2020, eq. 14.

    `diffusion_loss` with its first objective; arguments and results are the same.
    """
    return diffusion_loss(apply, params, schedule, x0, t, eps, cond)


def diffusion_loss(
    apply: Apply,
    params: Params,
    process: Process,
    x0: Array,
    t: Array,
    eps: Array,
    cond: Any = None,
    objective: Objective = EPSILON,
) -> tuple[Array, Metrics]:
    """Mean over the examples of `example_losses`, for times drawn uniformly.

    Pure: the same arguments give the same loss, under jit, pmap or neither. The mean
    over devices of the loss, and of each metric, is that of the whole batch.

    Args:
        apply: ``apply(params, xt, t, cond) -> output`` shaped like ``xt``, but for
            twice the channels where the variance is learned; ``t`` is the network's
            own time, ``process.network_time``.
        params: of the network, what gradients are taken of.
        process: how ``x0`` becomes noise.
        x0: data, float32 [B, ...].
        t: times of the process, [B].
        eps: standard normal, shaped like ``x0``.
        cond: handed to ``apply`` untouched.
        objective: what is learned.

    Returns:
        The loss, a scalar, and the metrics of `averaged`.
    """
    losses = example_losses(apply, params, process, x0, t, eps, cond, objective)
    return averaged(losses, process.share(t))


def example_losses(
    apply: Apply,
    params: Params,
    process: Process,
    x0: Array,
    t: Array,
    eps: Array,
    cond: Any = None,
    objective: Objective = EPSILON,
) -> Array:
    """The loss of each example, float32 [B]: a weighted mean squared error.

    With a learned variance it is L_hybrid of Nichol & Dhariwal 2021, eq. 16: the bound
    is added, T L_t in bits per dimension, and moves the variance only.
    """
    xt = q_sample(process, x0, t, eps)
    output = apply(params, xt, process.network_time(t), cond).astype(jnp.float32)
    said = split_variance(output)[0] if objective.learned_variance else output
    if said.shape != eps.shape:
        raise UserError(
            f"diffusion loss: expected a prediction of shape {eps.shape}, got "
            f"{said.shape}; check the network's out_channels"
        )
    alpha, sigma = process.alpha(t), process.sigma(t)
    each = (per_example(alpha, x0), per_example(sigma, x0))
    rest = tuple(range(1, x0.ndim))
    error = target(objective.prediction, x0, eps, *each) - said
    weight = loss_weight(objective.weighting, objective.prediction, alpha, sigma)
    losses = weight * jnp.square(error).mean(axis=rest)
    if objective.learned_variance:
        assert isinstance(process, Schedule)
        mean = jax.lax.stop_gradient(said)
        output = jnp.concatenate([mean, output[..., said.shape[-1] :]], axis=-1)
        p = p_reverse(process, objective.prediction, output, xt, t, "learned_range")
        bits = bound_term(process, x0, xt, t, p) / (x0[0].size * math.log(2))
        losses = losses + objective.bound_weight * process.steps * bits
    return losses


def averaged(
    losses: Array, share: Array, weights: Array | None = None
) -> tuple[Array, Metrics]:
    """The mean loss and what it is made of.

    Args:
        losses: of each example, [B].
        share: where its time lies, of the way from data to noise, in [0, 1], [B].
        weights: of the examples, [B]; 1 where left out. One over the density their
            times were drawn with keeps the mean that of uniform times.

    Returns:
        The loss, and metrics: ``loss`` and ``loss_t1`` .. ``loss_t4``, the loss in each
        quarter of the way, little noise first. They are estimated as 4 x mean(loss
        where t is in the quarter, else 0), which for uniform t is right on average, is
        defined where a quarter is empty, and has ``loss`` as its mean.
    """
    if weights is not None:
        losses = losses * weights
    loss = losses.mean()
    part = jnp.minimum((share * PARTS).astype(jnp.int32), PARTS - 1)
    metrics = {"loss": loss}
    for i in range(PARTS):
        metrics[f"loss_t{i + 1}"] = PARTS * jnp.where(part == i, losses, 0.0).mean()
    return loss, metrics
