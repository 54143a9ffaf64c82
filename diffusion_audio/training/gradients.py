"""Gradients of a mean loss over a batch, whole or in parts."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from diffusion_audio.aliases import Array, Batch, Metrics, Params
from diffusion_audio.errors import UserError

Loss = Callable[[Params, Batch], tuple[Array, Metrics]]


def gradients(
    loss: Loss, params: Params, batch: Batch, parts: int = 1
) -> tuple[Params, Metrics]:
    """The gradient of ``loss`` with respect to ``params``, and its metrics.

    With ``parts`` above one the batch goes through in that many pieces, one
    after the other, in a fraction of the memory. As a draw is addressed by the
    example's index and the loss is a mean over examples, the result is that of
    the whole batch up to rounding.

    Args:
        loss: ``loss(params, batch) -> (scalar mean over examples, metrics)``.
        params: what to differentiate.
        batch: arrays with the examples on the first axis.
        parts: number of pieces; divides the number of examples.

    Raises:
        UserError: the batch cannot be cut into equal parts.
    """
    grad = jax.grad(loss, has_aux=True)
    if parts == 1:
        return grad(params, batch)

    def cut(x: Array) -> Array:
        if x.shape[0] % parts:
            raise UserError(
                f"a batch of {x.shape[0]} examples a device cannot be accumulated in "
                f"{parts} parts; change config.data.batch_size or "
                "config.train.accumulate"
            )
        # Strided, so that with a batch sharded over devices every device works
        # on its own examples in every part.
        return jnp.swapaxes(x.reshape(-1, parts, *x.shape[1:]), 0, 1)

    def add(total: Params, part: Batch) -> tuple[Params, Metrics]:
        grads, metrics = grad(params, part)
        return jax.tree.map(lambda t, g: t + g / parts, total, grads), metrics

    zeros = jax.tree.map(jnp.zeros_like, params)
    grads, metrics = jax.lax.scan(add, zeros, jax.tree.map(cut, batch))
    return grads, jax.tree.map(lambda m: jnp.mean(m, axis=0), metrics)
