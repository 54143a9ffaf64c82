"""HiFi-GAN: a generator of waveforms from log-mels (Kong et al. 2020).

Each stage upsamples by a transposed convolution and halves the channels; then the
mean of parallel residual blocks of several widths follows (multi-receptive-field
fusion). Options take the activations of BigVGAN (Lee et al. 2023), or let an inverse
STFT do the last stages' work (iSTFTNet, Kaneko et al. 2022).

`nn.conv1d.remove_weight_norm` takes trained parameters to those of the network of
the same config with ``weight_norm=False``, which computes the same.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import nnx

from diffusion_audio.aliases import Array, Params
from diffusion_audio.audio.griffin_lim import istft
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.nn.conv1d import Conv1d, TransposedConv1d
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.snake import KINDS, TAPS, Activation

SLOPE = 0.1
INITS = ("reference", "preserving")
CUTS = ("end", "start")
ISTFT_OVERLAP = 4  # frames of the last inverse STFT that meet in a sample
LAST_SLOPE = 0.01  # PyTorch's default, which the reference uses before the last layer


@dataclasses.dataclass(frozen=True)
class HiFiGANConfig:
    """Settings of the generator; the defaults are V1.

    Attributes:
        n_mels: mel bands of the input.
        channels: channels before the first stage; each stage halves them.
        rates: upsampling of each stage; their product, times the hop of the inverse
            STFT where there is one, is the hop length.
        kernels: width of each stage's transposed convolution.
        resblock: ``"1"`` (pairs of convolutions) or ``"2"`` (single ones).
        resblock_kernels: width of each of the parallel residual blocks.
        dilations: dilations within each of the parallel residual blocks.
        weight_norm: train with weight norm; False has plain kernels.
        init: ``"reference"``, PyTorch's default, which a signal leaves at a third of
            its variance layer after layer; or ``"preserving"``, sqrt(3) times its
            weights and no biases, so that a small generator uses its input from the
            first step.
        input_shift: taken off the log-mels; the published generators take nothing
            off. With the log of the floor, silence is zero.
        activation: ``"leaky_relu"``, ``"snake"`` or ``"snakebeta"``.
        antialias: apply activations at twice the rate, between low-pass filters.
        istft_n_fft: the network ends in spectra of an inverse STFT of this length and
            a quarter of it as hop, in place of samples; 0 for none.
        cut: where the odd sample goes that a stage of odd kernel - rate makes:
            ``"end"``, of the whole, as HiFi-GAN does; or ``"start"``, of each stage,
            as AudioLDM at 48 kHz.
        dtype: type that it computes in; parameters are float32.
    """

    n_mels: int = 80
    channels: int = 512
    rates: tuple[int, ...] = (8, 8, 2, 2)
    kernels: tuple[int, ...] = (16, 16, 4, 4)
    resblock: str = "1"
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    weight_norm: bool = True
    init: str = "reference"
    input_shift: float = 0.0
    activation: str = "leaky_relu"
    antialias: bool = False
    istft_n_fft: int = 0
    cut: str = "end"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("rates", "kernels", "resblock_kernels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "dilations", tuple(map(tuple, self.dilations)))
        if self.resblock not in ("1", "2"):
            raise unknown("resblock", self.resblock, ("1", "2"))
        if self.init not in INITS:
            raise unknown("initialisation", self.init, INITS)
        if self.activation not in KINDS:
            raise unknown("activation", self.activation, KINDS)
        if self.cut not in CUTS:
            raise unknown("cut", self.cut, CUTS)
        if self.istft_n_fft % (2 * ISTFT_OVERLAP):
            raise UserError(
                f"istft_n_fft must be a multiple of {2 * ISTFT_OVERLAP}, or 0 for "
                f"none, not {self.istft_n_fft}"
            )
        if len(self.rates) != len(self.kernels):
            raise UserError(
                f"every upsampling stage needs a rate and a kernel width: rates "
                f"{self.rates} and kernels {self.kernels} differ in number"
            )
        if any(k < u for u, k in zip(self.rates, self.kernels, strict=True)):
            raise UserError(
                f"kernels {self.kernels} must not be below rates {self.rates}, or some "
                "samples would see no input"
            )
        if len(self.resblock_kernels) != len(self.dilations):
            raise UserError(
                f"every residual block needs a width and dilations: resblock_kernels "
                f"{self.resblock_kernels} and dilations {self.dilations} differ in "
                "number"
            )
        if any(width % 2 == 0 for width in self.resblock_kernels):
            raise UserError(
                f"resblock_kernels must be odd to keep the length, not "
                f"{self.resblock_kernels}"
            )
        if self.channels % 2 ** len(self.rates):
            raise UserError(
                f"channels are halved {len(self.rates)} times, so they must be a "
                f"multiple of {2 ** len(self.rates)}, not {self.channels}"
            )

    @property
    def hop_length(self) -> int:
        """Samples for each mel frame."""
        return math.prod(self.rates) * (self.istft_n_fft // ISTFT_OVERLAP or 1)


def margin(cfg: HiFiGANConfig) -> int:
    """Mel frames to either side that a generator's sample depends on, at most."""
    filters = TAPS // 2 + 1 if cfg.antialias else 0  # of up and down together
    reach = 3 + filters + (ISTFT_OVERLAP + 1 if cfg.istft_n_fft else 0)
    convolutions = 2 if cfg.resblock == "1" else 1
    block = max(
        sum(
            (width - 1) // 2 * (dilation + convolutions - 1) + filters * convolutions
            for dilation in dilations
        )
        for width, dilations in zip(cfg.resblock_kernels, cfg.dilations, strict=True)
    )
    for rate, kernel in zip(reversed(cfg.rates), reversed(cfg.kernels), strict=True):
        reach = math.ceil((reach + block + kernel) / rate)
    return reach + 3


def build_hifigan(cfg: HiFiGANConfig) -> Network:
    """The generator: ``apply(params, mel [B, T, F]) -> waveform [B, T * hop]``."""
    network = network_of(HiFiGAN, cfg)
    if cfg.init == "reference":
        return network
    return network._replace(init=lambda key: _preserving(network.init(key)))


def _preserving(params: Params) -> Params:
    """Initial parameters that keep a signal's variance: He et al. 2015, gain 1."""

    def rescale(path: tuple[jax.tree_util.DictKey, ...], leaf: Array) -> Array:
        return jnp.zeros_like(leaf) if path[-1].key == "bias" else leaf * math.sqrt(3)

    return jax.tree_util.tree_map_with_path(rescale, params)


class HiFiGAN(nnx.Module):
    """The generator; see `build_hifigan`."""

    def __init__(self, cfg: HiFiGANConfig, rngs: nnx.Rngs) -> None:
        norm, dtype = "weight" if cfg.weight_norm else "none", cfg.dtype
        width = cfg.channels
        self.cfg = cfg
        self.conv_pre = Conv1d(
            (cfg.n_mels, width), 7, norm=norm, dtype=dtype, rngs=rngs
        )
        self.upsamplers: nnx.List[TransposedConv1d] = nnx.List([])
        self.blocks: nnx.List[nnx.List[_ResBlock]] = nnx.List([])
        for rate, kernel in zip(cfg.rates, cfg.kernels, strict=True):
            self.upsamplers.append(
                TransposedConv1d(
                    (width, width // 2),
                    kernel,
                    stride=rate,
                    cut=cfg.cut,
                    norm=norm,
                    dtype=dtype,
                    rngs=rngs,
                )
            )
            width //= 2
            fusion = [
                _ResBlock(width, kernel, dilations, cfg, norm, rngs)
                for kernel, dilations in zip(
                    cfg.resblock_kernels, cfg.dilations, strict=True
                )
            ]
            self.blocks.append(nnx.List(fusion))
        self.activation_post = _activation(cfg, width, LAST_SLOPE)
        outputs = cfg.istft_n_fft + 2 if cfg.istft_n_fft else 1
        self.conv_post = Conv1d((width, outputs), 7, norm=norm, dtype=dtype, rngs=rngs)

    def __call__(self, mel: Array) -> Array:
        """Log-mels [B, T, F] to waveforms [B, T * hop], in [-1, 1] without iSTFT.

        Raises:
            UserError: mels of another number of bands.
        """
        if mel.ndim != 3 or mel.shape[-1] != self.cfg.n_mels:
            raise UserError(
                f"this vocoder takes log-mels [B, T, {self.cfg.n_mels}], not "
                f"{list(mel.shape)}; compute them with its own AudioSpec"
            )
        x = self.conv_pre(mel - self.cfg.input_shift)
        for upsample, fusion in zip(self.upsamplers, self.blocks, strict=True):
            if self.cfg.activation == "leaky_relu":  # with Snake there is none here
                x = jax.nn.leaky_relu(x, SLOPE)
            x = upsample(x)
            x = sum((block(x) for block in fusion[1:]), fusion[0](x)) / len(fusion)
        x = self.activation_post(x)
        # An odd width - rate gives a stage one sample more than its share. Cut here
        # and not in the stage, the rest equals the published systems' output.
        length = mel.shape[1] * math.prod(self.cfg.rates)
        if self.cfg.istft_n_fft:
            x = jnp.pad(x[:, :length], ((0, 0), (1, 0), (0, 0)), mode="reflect")
            return _from_spectra(self.conv_post(x).astype(jnp.float32))
        wave = jnp.tanh(self.conv_post(x).astype(jnp.float32))[..., 0]  # [B, N]
        return wave[:, :length]


def _from_spectra(x: Array) -> Array:
    """Waveforms [B, (T - 1) * hop] of log-magnitudes and phases [B, T, n_fft + 2].

    As iSTFTNet's code: the phase is the sine of the network's output, in radians.
    """
    n_fft = x.shape[-1] - 2
    magnitude, phase = jnp.split(x, 2, axis=-1)
    magnitude, phase = jnp.exp(magnitude), jnp.sin(phase)
    spectra = jax.lax.complex(magnitude * jnp.cos(phase), magnitude * jnp.sin(phase))
    wave = istft(spectra, n_fft, n_fft // ISTFT_OVERLAP, n_fft)
    return wave[:, n_fft // 2 : -(n_fft // 2)]


def _activation(cfg: HiFiGANConfig, channels: int, slope: float) -> Activation:
    return Activation(cfg.activation, channels, slope=slope, antialias=cfg.antialias)


class _ResBlock(nnx.Module):
    """Residual convolutions of one width with rising dilations."""

    def __init__(
        self,
        channels: int,
        width: int,
        dilations: tuple[int, ...],
        cfg: HiFiGANConfig,
        norm: str,
        rngs: nnx.Rngs,
    ) -> None:
        def conv(dilation: int) -> Conv1d:
            return Conv1d(
                (channels, channels),
                width,
                dilation=dilation,
                norm=norm,
                dtype=cfg.dtype,
                rngs=rngs,
            )

        self.dilated = nnx.List([conv(dilation) for dilation in dilations])
        pairs = dilations if cfg.resblock == "1" else ()
        self.plain = nnx.List([conv(1) for _ in pairs])
        self.activations = nnx.List(
            [
                _activation(cfg, channels, SLOPE)
                for _ in range(len(dilations) + len(pairs))
            ]
        )

    def __call__(self, x: Array) -> Array:
        acts = iter(self.activations)
        for i, dilated in enumerate(self.dilated):
            y = dilated(next(acts)(x))
            if self.plain:
                y = self.plain[i](next(acts)(y))
            x = x + y
        return x
