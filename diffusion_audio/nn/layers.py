"""Dense layers, 2-D convolutions, embeddings and patches, starting noise declared.

Kernels start normal with deviation ``1 / sqrt(fan_in)`` (LeCun 1998) or at zero, biases
at zero. The noise itself is drawn by :func:`diffusion_audio.nn.functional.functional`.
"""

from collections.abc import Sequence
from typing import Any

from flax import nnx
from jax.typing import DTypeLike

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError
from diffusion_audio.nn import winograd

_ZEROS = nnx.initializers.zeros


def dense(
    c_in: int,
    c_out: int,
    *,
    bias: bool = True,
    zero: bool = False,
    dtype: DTypeLike,
    rngs: nnx.Rngs,
) -> nnx.Linear:
    """[..., c_in] -> [..., c_out]; ``zero`` starts it at zero."""
    return nnx.Linear(
        c_in,
        c_out,
        use_bias=bias,
        kernel_init=_ZEROS,
        kernel_metadata=_noise(c_in, zero),
        dtype=dtype,
        rngs=rngs,
    )


def conv(
    c_in: int,
    c_out: int,
    size: int = 3,
    *,
    stride: int = 1,
    pad: Sequence[int] | None = None,
    bias: bool = True,
    zero: bool = False,
    dtype: DTypeLike,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A square 2-D convolution, [B, H, W, c_in] -> [B, H / stride, W / stride, c_out].

    Args:
        c_in: channels in.
        c_out: channels out.
        size: rows and columns of the kernel.
        stride: of both axes.
        pad: zeros before and after both axes; None for ``size // 2`` on either side.
        bias: whether there is one.
        zero: whether the kernel starts at zero.
        dtype: compute type.
        rngs: random streams.
    """
    before, after = pad or (size // 2, size // 2)
    return nnx.Conv(
        c_in,
        c_out,
        (size, size),
        stride,
        padding=[(before, after), (before, after)],
        use_bias=bias,
        kernel_init=_ZEROS,
        kernel_metadata=_noise(size * size * c_in, zero),
        conv_general_dilated=winograd.conv_general_dilated,
        dtype=dtype,
        rngs=rngs,
    )


def embedding(
    rows: int, width: int, *, std: float, dtype: DTypeLike, rngs: nnx.Rngs
) -> nnx.Embed:
    """Integers [...] -> [..., width]; starts normal with deviation ``std``."""
    return nnx.Embed(
        rows,
        width,
        embedding_init=_ZEROS,
        embedding_metadata={"std": std},
        dtype=dtype,
        rngs=rngs,
    )


def _noise(fan_in: int, zero: bool) -> dict[str, Any]:
    return {} if zero else {"std": fan_in**-0.5}


def to_patches(x: Array, size: int) -> Array:
    """[B, H p, W p, C] -> [B, H, W, p p C] for patches of edge p.

    Raises:
        UserError: H p or W p is not divisible by p.
    """
    batch, height, width, channels = x.shape
    if height % size or width % size:
        raise UserError(
            f"expected frames and bands divisible by {size}, got {height} x {width}; "
            "pad or crop the mel"
        )
    x = x.reshape(batch, height // size, size, width // size, size, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height // size, width // size, -1)


def from_patches(x: Array, size: int) -> Array:
    """[B, H, W, p p C] -> [B, H p, W p, C]; the inverse of `to_patches`."""
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height, width, size, size, -1)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height * size, width * size, -1)
