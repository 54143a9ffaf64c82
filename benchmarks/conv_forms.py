"""Convolutions in the forms that `nn` has for CPUs, against XLA's own, in pairs.

python -m benchmarks.conv_forms

Prints, for each shape, XLA's time over ours: above 1 ours is the faster one. It is
processor time, of two that are called in turn, the median of each: so a busy machine
matters little.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from diffusion_audio.nn import conv1d, fast_fir, winograd
from diffusion_audio.nn.convolution import LAYOUTS, convolve

# (width, channels, dilation), as in the residual blocks of HiFi-GAN: V1 has 256 to 32
# channels, one below and one above the limits of `fast_fir` stand beside.
WIDE = [(3, 256, 1), (7, 256, 1), (11, 256, 5), (7, 128, 1), (11, 128, 5)]
WIDE += [(5, 64, 1), (7, 64, 1), (11, 64, 5), (7, 32, 1), (11, 32, 5)]
# (width, in, out, stride, frames): the stages of V1, then two small ones.
UPSAMPLERS = [(16, 512, 256, 8, 32), (16, 256, 128, 8, 256), (4, 128, 64, 2, 2048)]
UPSAMPLERS += [(4, 64, 32, 2, 4096), (8, 128, 64, 4, 64), (8, 64, 32, 4, 256)]
# (width, in, out, stride, groups, samples): the multi-scale discriminator's.
GROUPED = [(41, 128, 128, 2, 4, 4096), (41, 128, 256, 2, 16, 2048)]
GROUPED += [(41, 256, 512, 4, 16, 1024), (41, 512, 1024, 4, 16, 256)]
GROUPED += [(41, 1024, 1024, 1, 16, 64)]
# (height, width, channels): AudioLDM 2's UNet, Stable Diffusion's, the demo's VAE's.
MAPS = [(256, 16, 128), (128, 8, 256), (64, 4, 384), (128, 8, 640), (32, 128, 320)]
MAPS += [(16, 64, 640), (8, 32, 1280), (8, 8, 64)]
# (places, taps, in, out, stride): the demo's VAE and discriminators, V1's, a UNet's.
IN_LOOPS = [((64, 64), (3, 3), 16, 16, 1), ((2048,), (5,), 8, 16, 3)]
IN_LOOPS += [((4096,), (15,), 1, 128, 1), ((2731,), (5,), 32, 128, 3)]
IN_LOOPS += [((64, 8), (3, 3), 64, 64, 1)]


def main() -> None:
    """Measures and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    key = jax.random.key(0)
    measure = partial(ratio, repeats=options.repeats)

    for width, channels, dilation in WIDE:
        x = jax.random.normal(key, (options.batch, 4096, channels))
        kernel = jax.random.normal(key, (width, channels, channels))
        ours = partial(fast_fir.two_phases, dilation=dilation)
        native = partial(fast_fir.plain, dilation=dilation)
        print(
            f"two phases: width {width}, {channels} channels, dilation {dilation}: "
            f"forwards {measure(ours, native, x, kernel):.2f}",
            flush=True,
        )
    for height, width, channels in MAPS:
        x = jax.random.normal(key, (2 * options.batch, height, width, channels))
        kernel = jax.random.normal(key, (3, 3, channels, channels))
        forms = winograd.minimal, partial(native_conv, strides=(1, 1), padding="SAME")
        print(
            f"minimal filter: {channels} channels on {height} x {width}: forwards "
            f"{measure(*forms, x, kernel):.2f}, with gradients "
            f"{measure(*map(gradients, forms), x, kernel):.2f}",
            flush=True,
        )
    for width, inputs, outputs, stride, frames in UPSAMPLERS:
        x = jax.random.normal(key, (options.batch, frames, inputs))
        kernel = jax.random.normal(key, (width, inputs, outputs))
        given = {"stride": stride, "pad": (width - stride) // 2}
        ours = partial(conv1d.polyphase, **given)
        native = partial(conv1d.dilated, **given)
        print(
            f"transposed: width {width}, {inputs} to {outputs}, stride {stride}: "
            f"forwards {measure(ours, native, x, kernel):.2f}, with gradients "
            f"{measure(gradients(ours), gradients(native), x, kernel):.2f}",
            flush=True,
        )
    for width, inputs, outputs, stride, groups, samples in GROUPED:
        x = jax.random.normal(key, (options.batch, samples, inputs))
        kernel = jax.random.normal(key, (width, inputs // groups, outputs))
        ours = partial(conv1d.grouped_conv, stride=stride, groups=groups)
        pad = (width // 2, width // 2)
        native = partial(conv1d._groups, groups=groups, pad=pad, stride=stride)
        print(
            f"grouped: width {width}, {inputs} to {outputs}, stride {stride}, "
            f"{groups} groups: with gradients "
            f"{measure(gradients(ours), gradients(native), x, kernel):.2f}",
            flush=True,
        )
    for places, taps, inputs, outputs, stride in IN_LOOPS:
        x = jax.random.normal(key, (2 * options.batch, *places, inputs))
        kernel = jax.random.normal(key, (*taps, inputs, outputs))
        strides = (stride,) * len(places)
        window = (strides, [(n // 2, n // 2) for n in taps])
        ours = in_loop(lambda *at, window=window: convolve(*at, *window))
        native = in_loop(lambda *at, window=window: native_conv(*at, *window))
        print(
            f"gradients in a loop: {taps}, {inputs} to {outputs} on {places}, stride "
            f"{stride}: {measure(ours, native, x, kernel):.2f}",
            flush=True,
        )


def in_loop(way: Callable[..., Any]) -> Callable[..., Any]:
    """The gradients of a batch in two parts, one after the other."""

    def run(x: jax.Array, kernel: jax.Array) -> Any:
        parts = x.reshape(2, -1, *x.shape[1:])
        return jax.lax.map(lambda part: gradients(way)(part, kernel), parts)

    return run


def native_conv(
    x: jax.Array, kernel: jax.Array, strides: Any, padding: Any
) -> jax.Array:
    """A convolution as XLA has it."""
    return jax.lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=LAYOUTS[x.ndim]
    )


def gradients(function: Callable[..., Any]) -> Callable[..., Any]:
    """The gradients of a sum that knows each output."""
    return jax.grad(lambda *inputs: jnp.sum(function(*inputs) ** 2), argnums=(0, 1))


def ratio(
    ours: Callable[..., Any], native: Callable[..., Any], *inputs: Any, repeats: int
) -> float:
    """The time of the native form over that of ours."""
    compiled = [jax.jit(function) for function in (ours, native)]
    times: list[list[float]] = [[], []]
    for _ in range(repeats + 1):
        for function, taken in zip(compiled, times, strict=True):
            started = time.process_time()
            jax.block_until_ready(function(*inputs))
            taken.append(time.process_time() - started)
    mine, theirs = (statistics.median(taken[1:]) for taken in times)  # not compiling
    return theirs / mine


if __name__ == "__main__":
    main()
