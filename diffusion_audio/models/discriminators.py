"""Discriminators: HiFi-GAN's multi-period (MPD) and multi-scale (MSD), and MRD.

Each is ``apply(params, wave [B, N]) -> [DiscriminatorOutput, ...]``, one for each
sub-discriminator. Kong et al. 2020, section 2.3; MSD is MelGAN's. Of spectrograms is
the multi-resolution one, see `stft_discriminator`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from diffusion_audio.aliases import Array, Params
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.models.stft_discriminator import MRD, MRDConfig
from diffusion_audio.nn.conv1d import Conv1d
from diffusion_audio.nn.functional import Network, network_of

SLOPE = 0.1


class DiscriminatorOutput(NamedTuple):
    """The output of one sub-discriminator for a batch.

    Attributes:
        logits: [B, M], high for real.
        features: output of every layer, the last one included: [B, n, C], for MPD
            [B, period, n, C], for MRD [B, T, F, C].
    """

    logits: Array
    features: tuple[Array, ...]


@dataclasses.dataclass(frozen=True)
class MPDConfig:
    """Settings of the multi-period discriminator; the defaults are the paper's.

    Attributes:
        periods: one sub-discriminator for each, best mutually prime.
        channels: output channels of each layer; all but the last have stride 3.
        dtype: type that it computes in; parameters are float32.
    """

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    channels: tuple[int, ...] = (32, 128, 512, 1024, 1024)
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "periods", tuple(self.periods))
        object.__setattr__(self, "channels", tuple(self.channels))
        if not self.periods or not self.channels:
            raise UserError("MPD needs at least one period and one layer")


@dataclasses.dataclass(frozen=True)
class MSDConfig:
    """Settings of the multi-scale discriminator; the defaults are the paper's.

    Attributes:
        scales: sub-discriminators; each takes half the rate of the one before.
        channels: output channels of each layer.
        kernels: width of each layer.
        strides: stride of each layer.
        groups: groups of each layer; divide its input and output channels.
        dtype: type that it computes in; parameters are float32.
    """

    scales: int = 3
    channels: tuple[int, ...] = (128, 128, 256, 512, 1024, 1024, 1024)
    kernels: tuple[int, ...] = (15, 41, 41, 41, 41, 41, 5)
    strides: tuple[int, ...] = (1, 2, 2, 4, 4, 1, 1)
    groups: tuple[int, ...] = (1, 4, 16, 16, 16, 16, 1)
    dtype: str = "float32"

    def __post_init__(self) -> None:
        lists = ("channels", "kernels", "strides", "groups")
        for name in lists:
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len({len(getattr(self, name)) for name in lists}) > 1:
            raise UserError(
                "MSD needs as many kernels, strides and groups as channels; got "
                + ", ".join(f"{len(getattr(self, name))} {name}" for name in lists)
            )
        inputs = (1, *self.channels)
        for i, groups in enumerate(self.groups):
            if inputs[i] % groups or inputs[i + 1] % groups:
                raise UserError(
                    f"layer {i} of MSD has {groups} groups, which do not divide its "
                    f"{inputs[i]} input and {inputs[i + 1]} output channels"
                )


def build_mpd(cfg: MPDConfig) -> Network:
    """The multi-period discriminator, an output for each period."""
    return network_of(MPD, cfg)


def build_msd(cfg: MSDConfig) -> Network:
    """The multi-scale discriminator, an output for each scale."""
    return network_of(MSD, cfg)


def build_mrd(cfg: MRDConfig) -> Network:
    """The multi-resolution discriminator, an output for each resolution."""
    network = network_of(MRD, cfg)

    def apply(params: Params, wave: Array) -> list[DiscriminatorOutput]:
        return [_output(maps) for maps in network.apply(params, wave)]

    return Network(network.init, apply)


KINDS: dict[str, Callable[[Mapping[str, Any]], Network]] = {
    "mpd": lambda settings: build_mpd(MPDConfig(**settings)),
    "msd": lambda settings: build_msd(MSDConfig(**settings)),
    "mrd": lambda settings: build_mrd(MRDConfig(**settings)),
}


def build_discriminators(settings: Mapping[str, Mapping[str, Any]]) -> Network:
    """Several discriminators as one: their outputs in one list.

    Args:
        settings: fields of `MPDConfig` as ``mpd``, of `MSDConfig` as ``msd``, of
            `MRDConfig` as ``mrd``; a kind that is left out is not built.

    Raises:
        UserError: unknown kind.
    """
    for kind in settings:
        if kind not in KINDS:
            raise unknown("discriminator", kind, KINDS)
    networks = {kind: KINDS[kind](settings[kind]) for kind in sorted(settings)}

    def init(key: jax.Array) -> Params:
        keys = jax.random.split(key, max(1, len(networks)))
        return {
            kind: network.init(key)
            for (kind, network), key in zip(networks.items(), keys, strict=False)
        }

    def apply(params: Params, wave: Array) -> list[DiscriminatorOutput]:
        return [
            output
            for kind, network in networks.items()
            for output in network.apply(params[kind], wave)
        ]

    return Network(init, apply)


class MPD(nnx.Module):
    """Tells real from generated waveforms, folded to several periods."""

    def __init__(self, cfg: MPDConfig, rngs: nnx.Rngs) -> None:
        depth = len(cfg.channels)
        strides = (3,) * (depth - 1) + (1,)
        self.periods = cfg.periods
        self.parts = nnx.List(
            [
                _Stack(
                    cfg.channels, (5,) * depth, strides, (1,) * depth, cfg.dtype, rngs
                )
                for _ in cfg.periods
            ]
        )

    def __call__(self, wave: Array) -> list[DiscriminatorOutput]:
        """Waveforms [B, N], longer than the longest period."""
        outputs = []
        for period, part in zip(self.periods, self.parts, strict=True):
            batch, samples = wave.shape
            x = jnp.pad(wave, ((0, 0), (0, -samples % period)), mode="reflect")
            # The paper's 2-D kernels are one wide along the period, so every phase
            # of it is a sequence of its own.
            x = x.reshape(batch, -1, period).swapaxes(1, 2)  # [B, p, N / p]
            maps = part(x.reshape(batch * period, -1, 1))
            outputs.append(
                _output([m.reshape(batch, period, *m.shape[1:]) for m in maps])
            )
        return outputs


class MSD(nnx.Module):
    """Tells real from generated waveforms at several rates.

    The first scale has spectral norm.
    """

    def __init__(self, cfg: MSDConfig, rngs: nnx.Rngs) -> None:
        self.parts = nnx.List(
            [
                _Stack(
                    cfg.channels,
                    cfg.kernels,
                    cfg.strides,
                    cfg.groups,
                    cfg.dtype,
                    rngs,
                    norm="weight" if scale else "spectral",
                    last_width=3,
                )
                for scale in range(cfg.scales)
            ]
        )

    def __call__(self, wave: Array) -> list[DiscriminatorOutput]:
        """Waveforms [B, N]."""
        x = wave[..., None]
        outputs = []
        for part in self.parts:
            outputs.append(_output(part(x)))
            x = _halve(x)
        return outputs


class _Stack(nnx.Module):
    """Convolutions with leaky ReLU, and a last one to a single channel."""

    def __init__(
        self,
        channels: tuple[int, ...],
        kernels: tuple[int, ...],
        strides: tuple[int, ...],
        groups: tuple[int, ...],
        dtype: str,
        rngs: nnx.Rngs,
        norm: str = "weight",
        last_width: int = 3,
    ) -> None:
        self.convs: nnx.List[Conv1d] = nnx.List([])
        inputs = 1
        for outputs, width, stride, group in zip(
            channels, kernels, strides, groups, strict=True
        ):
            self.convs.append(
                Conv1d(
                    (inputs, outputs),
                    width,
                    stride=stride,
                    groups=group,
                    norm=norm,
                    dtype=dtype,
                    rngs=rngs,
                )
            )
            inputs = outputs
        self.conv_post = Conv1d(
            (inputs, 1), last_width, norm=norm, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: Array) -> list[Array]:
        maps = []
        for conv in self.convs:
            x = jax.nn.leaky_relu(conv(x), SLOPE)
            maps.append(x)
        return [*maps, self.conv_post(x)]


def _output(maps: list[Array]) -> DiscriminatorOutput:
    return DiscriminatorOutput(maps[-1].reshape(maps[-1].shape[0], -1), tuple(maps))


def _halve(x: Array) -> Array:
    """PyTorch's AvgPool1d(4, 2, padding=2): the padding counts in the mean."""
    window, strides = (1, 4, 1), (1, 2, 1)
    total = lax.reduce_window(
        x, 0.0, lax.add, window, strides, ((0, 0), (2, 2), (0, 0))
    )
    return total / 4
