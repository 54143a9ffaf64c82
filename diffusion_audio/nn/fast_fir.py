"""Convolution over time with a quarter fewer multiplications.

The fast FIR algorithm of two phases (Parker & Parhi 1997; Karatsuba's trick on
filters). Even and odd samples u, v and the kernel's even and odd taps k0, k1 make

    even = k0 * u + k1 * v  =  k0 * (u - v) + q
    odd  = k0 * v + k1 * u' =  k1 * (u' - v) + q,   q = (k0 + k1) * v,

where u' is u one sample later: three convolutions of half the taps at half the rate
instead of four. It is exact but for rounding, like any sum in another order.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from diffusion_audio.aliases import Array
from diffusion_audio.nn.convolution import convolve

# Below, on a CPU, what is saved in products is lost in moving samples.
WIDTH, CHANNELS = 7, 64


def conv(x: Array, kernel: Array, stride: int = 1, dilation: int = 1) -> Array:
    """A convolution with dilation * (width - 1) // 2 zeros beyond both ends.

    A CPU computes wide float32 ones in two phases. Not so their gradients, where no
    time is won, nor accelerators, whose libraries have their own ways. It has a
    gradient of its own, so no forward-mode derivative.

    Args:
        x: [B, N, C_in].
        kernel: [width, C_in, C_out], width odd.
        stride: samples between two outputs.
        dilation: samples between two taps.

    Returns:
        [B, ceil(N / stride), C_out].
    """
    wide = kernel.shape[0] >= WIDTH and min(kernel.shape[1:]) >= CHANNELS
    if wide and stride == 1 and x.dtype == jnp.float32:
        return _fast(x, kernel, dilation)
    return plain(x, kernel, dilation, stride)


def plain(x: Array, kernel: Array, dilation: int, stride: int = 1) -> Array:
    """`conv` as XLA has it."""
    pad = dilation * (kernel.shape[0] - 1) // 2
    return _valid(x, kernel, dilation, pad, stride)


def two_phases(x: Array, kernel: Array, dilation: int) -> Array:
    """`conv` of stride 1 and width >= 3 by three convolutions of half its size.

    A phase is a run of ``dilation`` samples, so that the taps within it stay so far
    apart.
    """
    (batch, length, channels), width = x.shape, kernel.shape[0]
    pairs = -(-length // (2 * dilation))
    pad = dilation * (width - 1) // 2
    end = 2 * dilation * (pairs + width // 2) - length - pad
    x = jnp.pad(x, ((0, 0), (pad, end), (0, 0)))
    x = x.reshape(batch, -1, 2, dilation, channels)
    u, v = (x[:, :, phase].reshape(batch, -1, channels) for phase in (0, 1))
    even, odd = kernel[0::2], kernel[1::2]  # (width + 1) / 2 and (width - 1) / 2 taps
    both = even + jnp.pad(odd, ((0, 1), (0, 0), (0, 0)))
    parts = (
        _valid(u - v, even, dilation),
        _valid(u[:, dilation:] - v[:, :-dilation], odd, dilation),
        _valid(v, both, dilation),
    )
    a, b, q = (part.reshape(batch, pairs, 1, dilation, -1) for part in parts)
    first = jnp.arange(2)[:, None, None] == 0
    y = jnp.where(first, a, b) + q  # [B, pairs, 2, dilation, C_out]
    return y.reshape(batch, 2 * dilation * pairs, -1)[:, :length]


def _valid(
    x: Array, kernel: Array, dilation: int, pad: int = 0, stride: int = 1
) -> Array:
    return convolve(x, kernel, (stride,), [(pad, pad)], (dilation,))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _fast(x: Array, kernel: Array, dilation: int) -> Array:
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(two_phases, dilation=dilation),
        default=partial(plain, dilation=dilation),
    )


def _forward(
    x: Array, kernel: Array, dilation: int
) -> tuple[Array, tuple[Array, Array]]:
    return _fast(x, kernel, dilation), (x, kernel)


def _backward(
    dilation: int, saved: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    _, pull = jax.vjp(partial(plain, dilation=dilation), *saved)
    return pull(dy)


_fast.defvjp(_forward, _backward)
