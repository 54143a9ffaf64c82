"""One-dimensional convolutions, with the normalisations that vocoders train with.

Sequences are [B, N, C] and kernels [width, C_in / groups, C_out]. A layer keeps
its kernel in one of three forms:

* ``kernel``: as it is;
* ``g``, ``v``: weight norm (Salimans & Kingma 2016), kernel = g v / |v|, with one
  norm for each output channel, or for each input channel of a transposed one;
* ``kernel``, ``spectral_u``, ``spectral_v``: spectral norm (Miyato et al. 2018),
  kernel / (u W v). The pair u, v gets no gradient; `refresh_spectral` renews it.

Layers begin as PyTorch's do, for that is what HiFi-GAN really began with: its own
N(0, 0.01) was written into a kernel that weight norm recomputes from g and v.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from diffusion_audio.aliases import Array, Params
from diffusion_audio.errors import unknown
from diffusion_audio.nn.convolution import LAYOUTS
from diffusion_audio.nn.fast_fir import conv
from diffusion_audio.rows import by_rows, whole

NORMS = ("none", "weight", "spectral")


class Conv1d(nnx.Module):
    """A convolution whose output has ceil(N / stride) samples; odd widths.

    Args:
        channels: channels in and out.
        width: taps of the kernel.
        stride: samples between two outputs.
        dilation: samples between two taps.
        groups: parts of the channels that do not see each other.
        norm: ``none``, ``weight`` or ``spectral``.
        dtype: type that it computes in.
        rngs: random streams.
    """

    bias: nnx.Param

    def __init__(
        self,
        channels: tuple[int, int],
        width: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        norm: str = "none",
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ) -> None:
        inputs, outputs = channels
        shape = (width, inputs // groups, outputs)
        declare(self, shape, shape[0] * shape[1], (1, 1, outputs), norm, rngs)
        self.stride, self.dilation, self.groups = stride, dilation, groups
        self.dtype = dtype

    def __call__(self, x: Array) -> Array:
        """[B, N, C_in] -> [B, ceil(N / stride), C_out]."""
        kernel = kernel_of(self).astype(self.dtype)
        x = x.astype(self.dtype)
        if self.groups > 1:
            y = grouped_conv(x, kernel, self.stride, self.groups)
        else:
            y = conv(x, kernel, self.stride, self.dilation)
        return y + self.bias[...].astype(self.dtype)[None, None, :]


class TransposedConv1d(nnx.Module):
    """An upsampling convolution, PyTorch's with padding (width - stride) // 2.

    Its output has stride * N samples, and one more where width - stride is odd.

    Args:
        channels: channels in and out.
        width: taps of the kernel, not below the stride.
        stride: outputs for each input.
        cut: ``end``, or ``start`` to cut that odd sample off at the start.
        norm: ``none`` or ``weight``.
        dtype: type that it computes in.
        rngs: random streams.
    """

    bias: nnx.Param

    def __init__(
        self,
        channels: tuple[int, int],
        width: int,
        *,
        stride: int,
        cut: str = "end",
        norm: str = "none",
        dtype: str = "float32",
        rngs: nnx.Rngs,
    ) -> None:
        inputs, outputs = channels
        shape = (width, inputs, outputs)
        # PyTorch keeps this kernel as [in, out, width] and takes its second axis
        # for the fan-in, and its first for the norms.
        declare(self, shape, width * outputs, (1, inputs, 1), norm, rngs)
        self.stride, self.cut, self.dtype = stride, cut, dtype

    def __call__(self, x: Array) -> Array:
        """[B, N, C_in] -> [B, stride * N (+ 1), C_out]."""
        kernel = kernel_of(self).astype(self.dtype)
        pad, odd = divmod(kernel.shape[0] - self.stride, 2)
        y = transposed_conv(x.astype(self.dtype), kernel, self.stride, pad)
        if self.cut == "start":
            y = y[:, odd:]
        return y + self.bias[...].astype(self.dtype)[None, None, :]


def declare(
    module: Any,
    shape: tuple[int, ...],
    fan_in: int,
    norms: tuple[int, ...],
    norm: str,
    rngs: nnx.Rngs,
) -> None:
    """Gives a layer its parameters, as PyTorch would; also for other dimensions.

    Args:
        module: the layer.
        shape: of its kernel, output channels last.
        fan_in: of the initial distribution.
        norms: shape of g.
        norm: one of ``NORMS``.
        rngs: random streams.
    """
    bound = 1 / math.sqrt(fan_in)  # kaiming_uniform(a = sqrt 5), and its bias
    size = math.prod(shape)
    # One flat draw a layer: XLA compiles it some ten times faster than two in shape.
    draw = jax.random.uniform(
        rngs.params(), (size + shape[-1],), jnp.float32, -bound, bound
    )
    kernel = draw[:size].reshape(shape)
    module.bias = nnx.Param(draw[size:])
    if norm == "weight":
        module.g = nnx.Param(_norm(kernel, norms))
        module.v = nnx.Param(kernel)
    elif norm == "spectral":
        module.kernel = nnx.Param(kernel)
        u, v = _power_iteration(
            kernel, jax.random.normal(rngs.params(), shape[-1:], jnp.float32)
        )
        module.spectral_u, module.spectral_v = nnx.Param(u), nnx.Param(v)
    elif norm == "none":
        module.kernel = nnx.Param(kernel)
    else:
        raise unknown("normalisation", norm, NORMS)


def _norm(v: Array, shape: tuple[int, ...]) -> Array:
    """|v| over the axes where ``shape`` is 1."""
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return jnp.sqrt(jnp.sum(v * v, axis=axes, keepdims=True))


def _power_iteration(kernel: Array, u: Array) -> tuple[Array, Array]:
    """Better estimates u [C_out], v [width * C_in] of the first singular pair."""
    matrix = kernel.reshape(-1, kernel.shape[-1])  # [width * C_in, C_out]
    v = matrix @ u
    v = v / jnp.linalg.norm(v)
    u = matrix.T @ v
    return u / jnp.linalg.norm(u), v


def kernel_of(module: Any) -> Array:
    """The kernel that a layer convolves with."""
    if hasattr(module, "g"):
        return whole(_weight_norm(module.g[...], module.v[...]))
    kernel = module.kernel[...]
    if hasattr(module, "spectral_u"):
        u = lax.stop_gradient(module.spectral_u[...])
        v = lax.stop_gradient(module.spectral_v[...])
        return whole(kernel / (v @ kernel.reshape(-1, kernel.shape[-1]) @ u))
    return kernel


def _weight_norm(g: Array, v: Array) -> Array:
    return v * (g / _norm(v, g.shape))


def remove_weight_norm(params: Params) -> Params:
    """The same layers without weight norm: each ``g``, ``v`` becomes a ``kernel``."""
    if "g" in params:
        rest = {name: leaf for name, leaf in params.items() if name not in ("g", "v")}
        return rest | {"kernel": _weight_norm(params["g"], params["v"])}
    return {
        name: remove_weight_norm(node) if isinstance(node, dict) else node
        for name, node in params.items()
    }


def add_weight_norm(params: Params, like: Params) -> Params:
    """The inverse of `remove_weight_norm`: weight norm wherever ``like`` has it."""
    if "g" in like and "kernel" in params:
        rest = {name: leaf for name, leaf in params.items() if name != "kernel"}
        kernel = params["kernel"]
        return rest | {"g": _norm(kernel, like["g"].shape), "v": kernel}
    return {
        name: add_weight_norm(node, like[name]) if isinstance(node, dict) else node
        for name, node in params.items()
    }


def refresh_spectral(params: Params) -> Params:
    """One power iteration for every layer with spectral norm; call it once a step.

    PyTorch iterates in every forward pass, four times a step of HiFi-GAN; the weights
    hardly move in between, so the estimate lags by as little.

    What comes out depends on the kernels and on the direction of each u only, so
    nothing that an optimiser does to the length of u, or to v, has an effect.
    """
    if "spectral_u" in params:
        u, v = _power_iteration(params["kernel"], params["spectral_u"])
        return params | {"spectral_u": u, "spectral_v": v}
    return {
        name: refresh_spectral(node) if isinstance(node, dict) else node
        for name, node in params.items()
    }


def transposed_conv(x: Array, kernel: Array, stride: int, pad: int) -> Array:
    """A transposed convolution: y[n] = sum_t x[t] kernel[n + pad - stride t].

    Args:
        x: [B, N, C_in].
        kernel: [width, C_in, C_out], not flipped, as PyTorch's.
        stride: outputs for each input.
        pad: samples cut from both ends.

    Returns:
        [B, (N - 1) * stride + width - 2 * pad, C_out].
    """
    # On CPUs XLA's gradient of its own form takes 7 to 32 times as long, and forwards
    # it is no faster (benchmarks/README.md). By the platform that a program is compiled
    # for, which need not be this process's default.
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(polyphase, stride=stride, pad=pad),
        default=partial(dilated, stride=stride, pad=pad),
    )


def dilated(x: Array, kernel: Array, stride: int, pad: int) -> Array:
    """`transposed_conv` as XLA has it: of a signal with zeros between its samples."""
    beyond = kernel.shape[0] - 1 - pad
    return lax.conv_general_dilated(
        x,
        kernel[::-1],
        (1,),
        [(beyond, beyond)],
        lhs_dilation=(stride,),
        dimension_numbers=LAYOUTS[3],
    )


def polyphase(x: Array, kernel: Array, stride: int, pad: int) -> Array:
    """`transposed_conv` as a sum of matrix products, one for each j = q - t.

    With n + pad = stride q + r the taps r, r + stride, ... meet x[q], x[q - 1], ... So
    the phases r are columns of one product.
    """
    width, inputs, outputs = kernel.shape
    length = (x.shape[1] - 1) * stride + width - 2 * pad
    taps = -(-width // stride)
    kernel = jnp.pad(kernel, ((0, taps * stride - width), (0, 0), (0, 0)))
    kernel = kernel.reshape(taps, stride, inputs, outputs)
    y: Array = jnp.zeros((), x.dtype)
    for j in range(taps):
        part = jnp.einsum("bnc,rcd->bnrd", x, kernel[j])
        y = y + jnp.pad(part, ((0, 0), (j, taps - 1 - j), (0, 0), (0, 0)))
    y = y.reshape(x.shape[0], -1, outputs)
    return y[:, pad : pad + length]


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def grouped_conv(x: Array, kernel: Array, stride: int, groups: int) -> Array:
    """A convolution in groups with padding width // 2, its gradient fast on the CPU.

    Backwards XLA takes a path 10 to 33 times slower there (benchmarks/README.md), so
    both gradients are written as convolutions forwards, on the phases of the stride.

    Args:
        x: [B, N, C_in].
        kernel: [width, C_in / groups, C_out], odd width.
        stride: samples between two outputs.
        groups: parts of the channels that do not see each other.

    Returns:
        [B, ceil(N / stride), C_out].
    """
    pad = kernel.shape[0] // 2
    convolve = partial(_groups, groups=groups, pad=(pad, pad), stride=stride)
    return by_rows(convolve, (x,), (kernel,))


def _groups(
    x: Array, kernel: Array, groups: int, pad: tuple[int, int], stride: int = 1
) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride,),
        [pad],
        dimension_numbers=LAYOUTS[3],
        feature_group_count=groups,
    )


def _grouped_forward(
    x: Array, kernel: Array, stride: int, groups: int
) -> tuple[Array, tuple[Array, Array]]:
    return grouped_conv(x, kernel, stride, groups), (x, kernel)


def _grouped_backward(
    stride: int, groups: int, saved: tuple[Array, Array], dy: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    pad = kernel.shape[0] // 2

    def native(x: Array, dy: Array, kernel: Array) -> tuple[Array, Array]:
        _, vjp = jax.vjp(
            lambda x, kernel: _groups(x, kernel, groups, (pad, pad), stride), x, kernel
        )
        return vjp(dy)

    def phases(x: Array, dy: Array, kernel: Array) -> tuple[Array, Array]:
        return (
            _input_gradient(kernel, dy, x.shape[1], stride, groups),
            _kernel_gradient(x, dy, kernel.shape[0], stride, groups),
        )

    gradients = partial(lax.platform_dependent, cpu=phases, default=native)
    return by_rows(gradients, (x, dy), (kernel,), sums=True)


grouped_conv.defvjp(_grouped_forward, _grouped_backward)


def _input_gradient(
    kernel: Array, dy: Array, length: int, stride: int, groups: int
) -> Array:
    """dx[stride q + r - pad] = sum_j kernel[stride j + r] dy[q - j]."""
    width, inputs, outputs = kernel.shape
    taps = -(-width // stride)
    kernel = jnp.pad(kernel, ((0, taps * stride - width), (0, 0), (0, 0)))
    kernel = kernel.reshape(taps, stride, inputs, groups, outputs // groups)[::-1]
    kernel = kernel.transpose(0, 4, 3, 1, 2)  # [taps, out of a group, g, r, in]
    kernel = kernel.reshape(taps, outputs // groups, -1)
    dx = _groups(dy, kernel, groups, (taps - 1, taps - 1))
    dx = dx.reshape(*dx.shape[:2], groups, stride, inputs).swapaxes(2, 3)
    dx = dx.reshape(dx.shape[0], -1, groups * inputs)
    pad = width // 2
    dx = jnp.pad(dx, ((0, 0), (0, max(0, pad + length - dx.shape[1])), (0, 0)))
    return dx[:, pad : pad + length]


def _kernel_gradient(
    x: Array, dy: Array, width: int, stride: int, groups: int
) -> Array:
    """dk[stride j + r] = sum_q x[stride (q + j) + r - pad] dy[q], over the batch too.

    The batch takes the place of the channels, the channels that of the batch, and
    dy that of the kernel.
    """
    batch, length, channels = x.shape
    inputs, outputs = channels // groups, dy.shape[2]
    taps = -(-width // stride)
    need = (dy.shape[1] - 1 + taps) * stride
    pad = width // 2
    x = jnp.pad(x, ((0, 0), (pad, max(0, need - length - pad)), (0, 0)))[:, :need]
    x = x.reshape(batch, -1, stride, groups, inputs)  # [B, q, r, g, in]
    x = x.transpose(2, 4, 1, 3, 0).reshape(stride * inputs, -1, groups * batch)
    dk = _groups(x, dy.swapaxes(0, 1), groups, (0, 0))  # [r in, taps, out]
    dk = dk.reshape(stride, inputs, taps, outputs).transpose(2, 0, 1, 3)
    return dk.reshape(taps * stride, inputs, outputs)[:width]
