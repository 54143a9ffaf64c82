"""What the network learns: to name the noise that was added."""

from typing import Any

import jax.numpy as jnp

from diffusion_audio.aliases import Apply, Array, Metrics, Params
from diffusion_audio.diffusion.process import q_sample
from diffusion_audio.diffusion.schedule import Schedule
from diffusion_audio.errors import UserError

PARTS = 4


def epsilon_loss(
    apply: Apply,
    params: Params,
    schedule: Schedule,
    x0: Array,
    t: Array,
    eps: Array,
    cond: Any = None,
) -> tuple[Array, Metrics]:
    """Mean squared error of the predicted noise, L_simple; Ho et al. 2020, eq. 14.

    Pure: the same arguments give the same loss, under jit, pmap or neither. The mean
    over devices of the loss, and of each metric, is that of the whole batch.

    Args:
        apply: ``apply(params, xt, t, cond) -> eps_hat`` shaped like ``xt``.
        params: of the network, what gradients are taken of.
        schedule: of the forward chain.
        x0: data, float32 [B, ...].
        t: timesteps, int32 [B].
        eps: standard normal, shaped like ``x0``.
        cond: handed to ``apply`` untouched.

    Returns:
        The loss, a scalar, and metrics: ``loss`` and ``loss_t1`` .. ``loss_t4``, the
        loss in each quarter of the timesteps, little noise first. They are estimated
        as 4 x mean(loss where t is in the quarter, else 0), which for uniform t is
        right on average, is defined where a quarter is empty, and has ``loss`` as its
        mean.
    """
    xt = q_sample(schedule, x0, t, eps)
    eps_hat = apply(params, xt, t, cond).astype(jnp.float32)
    if eps_hat.shape != eps.shape:
        raise UserError(
            f"epsilon_loss: expected a prediction of shape {eps.shape}, got "
            f"{eps_hat.shape}; check the network's out_channels"
        )
    losses = jnp.square(eps - eps_hat).mean(axis=tuple(range(1, eps.ndim)))
    loss = losses.mean()
    part = t * PARTS // schedule.steps
    metrics = {"loss": loss}
    for i in range(PARTS):
        metrics[f"loss_t{i + 1}"] = PARTS * jnp.where(part == i, losses, 0.0).mean()
    return loss, metrics
