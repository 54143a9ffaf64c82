"""Convolutions whose gradients a CPU computes fast in loops and branches as well.

XLA's CPU compiler has fast convolutions for one order of axes, and brings others into
that order in the outermost computation of a program only. JAX's gradients are of other
orders, so within `jax.lax.scan` or `jax.lax.cond` (a batch in parts, discriminators
that start later) they take many times as long (benchmarks/README.md). Here a CPU gets
them in the order that is fast; accelerators get JAX's own.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from diffusion_audio.aliases import Array

Axes = tuple[int, ...]  # of each axis of places
Zeros = tuple[tuple[int, int], ...]  # before and after, of each axis of places

WINDOW = ("strides", "padding", "dilation")
LAYOUTS = {3: ("NHC", "HIO", "NHC"), 4: ("NHWC", "HWIO", "NHWC")}


def convolve(
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int] | None = None,
) -> Array:
    """A convolution of one or two axes; differentiable forwards and backwards.

    Args:
        x: [B, N, C_in] or [B, H, W, C_in].
        kernel: [taps, C_in, C_out] or [rows, columns, C_in, C_out].
        strides: places between two outputs, of each axis.
        padding: zeros before and after, of each axis.
        dilation: places between two taps, of each axis; None for neighbours.

    Returns:
        [B, N', C_out] or [B, H', W', C_out].
    """
    made: Array = _primitive.bind(
        x,
        kernel,
        strides=tuple(strides),
        padding=tuple(map(tuple, padding)),
        dilation=tuple(dilation or (1,) * len(strides)),
    )
    return made


def _native(
    x: Array, kernel: Array, *, strides: Axes, padding: Zeros, dilation: Axes
) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        padding,
        rhs_dilation=dilation,
        dimension_numbers=LAYOUTS[x.ndim],
    )


def _to_input(dy: Array, x: Any, kernel: Array, **window: Any) -> Array:
    """The gradient at x, of which only the shape is known."""
    return lax.platform_dependent(
        dy,
        kernel,
        cpu=partial(_input_gradient, x.aval.shape, **window),
        default=lambda dy, kernel: _transposed(
            lambda x: _native(x, kernel, **window), x.aval, dy
        ),
    )


def _to_kernel(dy: Array, x: Array, kernel: Any, **window: Any) -> Array:
    """The gradient at the kernel, of which only the shape is known."""
    return lax.platform_dependent(
        dy,
        x,
        cpu=partial(_kernel_gradient, kernel.aval.shape, **window),
        default=lambda dy, x: _transposed(
            lambda kernel: _native(x, kernel, **window), kernel.aval, dy
        ),
    )


def _transposed(linear: Callable[[Array], Array], at: Any, dy: Array) -> Array:
    """JAX's own gradient of a linear function."""
    like = jax.ShapeDtypeStruct(at.shape, at.dtype)
    (made,) = jax.linear_transpose(linear, like)(dy)
    return made


def _input_gradient(
    shape: tuple[int, ...],
    dy: Array,
    kernel: Array,
    *,
    strides: Axes,
    padding: Zeros,
    dilation: Axes,
) -> Array:
    """dx[q] = sum_k kernel[k] dy[(q + before - dilation k) / stride]."""
    pads = []
    for i, (before, _) in enumerate(padding):
        span = (kernel.shape[i] - 1) * dilation[i]
        last = (dy.shape[i + 1] - 1) * strides[i]
        pads.append((span - before, shape[i + 1] - 1 + before - last))
    return lax.conv_general_dilated(
        dy,
        lax.rev(kernel, range(len(strides))).swapaxes(-1, -2),
        (1,) * len(strides),
        pads,
        lhs_dilation=strides,
        rhs_dilation=dilation,
        dimension_numbers=LAYOUTS[dy.ndim],
    )


def _kernel_gradient(
    shape: tuple[int, ...],
    dy: Array,
    x: Array,
    *,
    strides: Axes,
    padding: Zeros,
    dilation: Axes,
) -> Array:
    """dkernel[k] = sum_q x[stride q + dilation k - before] dy[q], over the batch too.

    The batch takes the place of the channels, and dy that of the kernel.
    """
    pads = []
    for i, (before, _) in enumerate(padding):
        span = (shape[i] - 1) * dilation[i]
        last = (dy.shape[i + 1] - 1) * strides[i]
        pads.append((before, span + last + 1 - x.shape[i + 1] - before))
    axes = tuple(range(1, x.ndim - 1))
    made = lax.conv_general_dilated(
        x.transpose(x.ndim - 1, *axes, 0),
        dy.transpose(*axes, 0, x.ndim - 1),
        dilation,
        pads,
        rhs_dilation=strides,
        dimension_numbers=LAYOUTS[x.ndim],
    )
    return made.transpose(*axes, 0, x.ndim - 1)


def _shape(x: Any, kernel: Any, **window: Any) -> Any:
    made = jax.eval_shape(partial(_native, **window), x, kernel)
    return jax.core.ShapedArray(made.shape, made.dtype)


def _batched(args: Any, axes: Any, **window: Any) -> tuple[Array, int]:
    """Of many at once, as JAX has it."""
    return jax.vmap(partial(_native, **window), in_axes=axes)(*args), 0


_primitive = Primitive("convolve")
_primitive.def_impl(jax.jit(_native, static_argnames=WINDOW))
_primitive.def_abstract_eval(_shape)
ad.defbilinear(_primitive, _to_input, _to_kernel)
batching.primitive_batchers[_primitive] = _batched
mlir.register_lowering(_primitive, mlir.lower_fun(_native, multiple_results=False))
