"""A discriminator of complex spectrograms at several resolutions, band by band.

As of DAC (Kumar et al. 2023, section 3.4) and Vocos (Siuzdak 2024), after UnivNet's:
each resolution is cut into bands that convolutions of their own look at, so that loud
low frequencies do not drown the high ones. It takes the place of MSD.
"""

import dataclasses
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx

from diffusion_audio.aliases import Array
from diffusion_audio.audio.mel import stft
from diffusion_audio.errors import UserError
from diffusion_audio.nn.conv1d import declare, kernel_of
from diffusion_audio.nn.convolution import convolve

SLOPE = 0.1
HOPS = 4  # of a window


@dataclasses.dataclass(frozen=True)
class MRDConfig:
    """Settings of the multi-resolution discriminator; the defaults are DAC's.

    Attributes:
        windows: length of each resolution's STFT, samples; hops are a quarter.
        channels: of each hidden layer.
        edges: of the bands, from 0 to 1 (half the sample rate).
        dtype: type that it computes in; the STFT and parameters are float32.
    """

    windows: tuple[int, ...] = (2048, 1024, 512)
    channels: int = 32
    edges: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "windows", tuple(self.windows))
        object.__setattr__(self, "edges", tuple(self.edges))
        edges = self.edges
        rising = all(a < b for a, b in pairwise(edges))
        if len(edges) < 2 or not rising or (edges[0], edges[-1]) != (0.0, 1.0):
            raise UserError(f"MRD: edges must rise from 0 to 1, got {edges}")
        if not self.windows or any(w % (2 * HOPS) for w in self.windows):
            raise UserError(
                f"MRD: windows must be multiples of {2 * HOPS} samples, got "
                f"{self.windows}"
            )
        for window in self.windows:
            if any(low == high for low, high in pairwise(_bins(edges, window))):
                raise UserError(
                    f"MRD: a window of {window} samples is too short for a bin in each "
                    f"of the bands {edges}"
                )


def _bins(edges: tuple[float, ...], window: int) -> list[int]:
    """The Fourier bins at which bands begin and end."""
    return [int(edge * (window // 2 + 1)) for edge in edges]


class MRD(nnx.Module):
    """Tells real from generated waveforms by their spectrograms."""

    def __init__(self, cfg: MRDConfig, rngs: nnx.Rngs) -> None:
        self.windows = cfg.windows
        self.parts = nnx.List(
            [_Resolution(cfg, window, rngs) for window in cfg.windows]
        )

    def __call__(self, wave: Array) -> list[list[Array]]:
        """Waveforms [B, N] to the maps [B, T, F, C] of each resolution's layers."""
        maps = []
        for window, part in zip(self.windows, self.parts, strict=True):
            hop = window // HOPS
            pad = (window - hop) // 2
            padded = jnp.pad(wave, ((0, 0), (pad, pad)), mode="reflect")
            spectrum = stft(padded, window, hop, window)
            maps.append(part(jnp.stack([spectrum.real, spectrum.imag], axis=-1)))
        return maps


class _Resolution(nnx.Module):
    """A stack of convolutions for each band, and a last one over all of them."""

    def __init__(self, cfg: MRDConfig, window: int, rngs: nnx.Rngs) -> None:
        self.bins = _bins(cfg.edges, window)
        width = cfg.channels

        def stack() -> nnx.List[_Conv2d]:
            shapes = [((3, 9), 1), ((3, 9), 2), ((3, 9), 2), ((3, 9), 2), ((3, 3), 1)]
            return nnx.List(
                [
                    _Conv2d((width if i else 2, width), size, stride, cfg.dtype, rngs)
                    for i, (size, stride) in enumerate(shapes)
                ]
            )

        self.bands = nnx.List([stack() for _ in cfg.edges[1:]])
        self.conv_post = _Conv2d((width, 1), (3, 3), 1, cfg.dtype, rngs)

    def __call__(self, x: Array) -> list[Array]:
        maps, ends = [], []
        for (low, high), stack in zip(pairwise(self.bins), self.bands, strict=True):
            band = x[:, :, low:high]
            for conv in stack:
                band = jax.nn.leaky_relu(conv(band), SLOPE)
                maps.append(band)
            ends.append(band)
        return [*maps, self.conv_post(jnp.concatenate(ends, axis=2))]


class _Conv2d(nnx.Module):
    """A convolution [B, T, F, C] with weight norm that strides in frequency."""

    bias: nnx.Param

    def __init__(
        self,
        channels: tuple[int, int],
        size: tuple[int, int],
        stride: int,
        dtype: str,
        rngs: nnx.Rngs,
    ) -> None:
        shape = (*size, *channels)
        fan_in = size[0] * size[1] * channels[0]
        declare(self, shape, fan_in, (1, 1, 1, channels[1]), "weight", rngs)
        self.stride, self.dtype = stride, dtype

    def __call__(self, x: Array) -> Array:
        kernel = kernel_of(self).astype(self.dtype)
        height, width = kernel.shape[0] // 2, kernel.shape[1] // 2
        y = convolve(
            x.astype(self.dtype),
            kernel,
            (1, self.stride),
            [(height, height), (width, width)],
        )
        return y + self.bias[...].astype(self.dtype)[None, None, None, :]
