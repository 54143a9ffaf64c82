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
        forms = winograd.minimal, native_map
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


def native_map(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 3x3 convolution as XLA has it."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=winograd.LAYOUT
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
