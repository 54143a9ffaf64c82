"""The KL autoencoder of latent diffusion (Rombach et al. 2022), for mel spectrograms.

AudioLDM's is the default; Stable Diffusion's is three channels in, four levels and four
latent channels. Parameter names follow diffusers.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.nn.attention import Attention
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import conv, from_patches, to_patches
from diffusion_audio.nn.norm import GroupNorm
from diffusion_audio.nn.resnet import Downsample, ResnetBlock, Upsample

DTYPES = ("float32", "bfloat16")
_EPSILON = 1e-6
LEAST_LOG_VARIANCE = -30.0


@dataclass(frozen=True)
class VAEConfig:
    """Shape of the autoencoder; lists are taken for tuples.

    Attributes:
        in_channels: channels of the image, in and out.
        channels: width at each level, highest resolution first; each level but the
            last halves both axes. The cost is at the first levels.
        blocks: residual blocks a level in the encoder (the decoder has one more).
        latent: channels of the latents.
        patch: side of the squares that are folded into channels before the first
            level and unfolded after the last (space to depth); 1 for none. The
            cheap way to a high compression.
        mid_attention: whether the middle has one-headed self-attention.
        groups: groups of every GroupNorm; divides every width.
        dtype: compute type; parameters and statistics stay float32.
    """

    in_channels: int = 1
    channels: tuple[int, ...] = (128, 256, 512)
    blocks: int = 2
    latent: int = 8
    patch: int = 1
    mid_attention: bool = True
    groups: int = 32
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if self.latent < 1 or self.groups < 1 or min(self.channels, default=0) < 1:
            raise UserError(
                "VAE: latent, groups and channels must be 1 or more, got "
                f"{self.latent}, {self.groups} and {self.channels}"
            )
        for width in self.channels:
            if width % self.groups:
                raise UserError(
                    f"VAE: channels must be divisible by groups={self.groups}, "
                    f"got {self.channels}"
                )
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)

    @property
    def factor(self) -> int:
        """How many times smaller the latents are, along both axes."""
        return self.patch * 2 ** (len(self.channels) - 1)


class Moments(NamedTuple):
    """A diagonal Gaussian over latents.

    Attributes:
        mean: [B, H, W, latent].
        log_variance: the same shape, within [-30, 20].
    """

    mean: Array
    log_variance: Array


def sample_moments(moments: Moments, eps: Array) -> Array:
    """Latents ``mean + std * eps`` for standard normal ``eps`` of the same shape."""
    return moments.mean + jnp.exp(0.5 * moments.log_variance) * eps


def kl(moments: Moments) -> Array:
    """Divergence from a standard normal, summed over each example: nats [B].

    Kingma and Welling 2014, appendix B.
    """
    mean, log_variance = moments
    terms = jnp.square(mean) + jnp.exp(log_variance) - 1.0 - log_variance
    return 0.5 * terms.sum(axis=(1, 2, 3))


class MidAttention(nnx.Module):
    """One-headed self-attention over the places of an image, around a skip."""

    def __init__(self, channels: int, groups: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.group_norm = GroupNorm(channels, groups, epsilon=_EPSILON, dtype=dtype)
        self.attn = Attention(channels, 1, bias=True, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """[B, H, W, C] -> [B, H, W, C]."""
        batch, *_, channels = x.shape
        y = self.attn(self.group_norm(x).reshape(batch, -1, channels))
        return x + y.reshape(x.shape)


class Level(nnx.Module):
    """Residual blocks at one resolution, attention after the first, resampling."""

    def __init__(
        self,
        cfg: VAEConfig,
        c_in: int,
        c_out: int,
        blocks: int,
        *,
        attention: bool = False,
        down: bool = False,
        up: bool = False,
        rngs: nnx.Rngs,
    ):
        dtype = jnp.dtype(cfg.dtype)
        self.resnets = nnx.List(
            ResnetBlock(
                c_out if i else c_in,
                c_out,
                groups=cfg.groups,
                epsilon=_EPSILON,
                dtype=dtype,
                rngs=rngs,
            )
            for i in range(blocks)
        )
        self.attentions = nnx.List(
            MidAttention(c_out, cfg.groups, dtype=dtype, rngs=rngs)
            for _ in range(attention)
        )
        self.downsampler = (
            Downsample(c_out, symmetric=False, dtype=dtype, rngs=rngs) if down else None
        )
        self.upsampler = Upsample(c_out, dtype=dtype, rngs=rngs) if up else None

    def __call__(self, x: Array) -> Array:
        """[B, H, W, c_in] -> [B, H, W, c_out], half or double in H and W."""
        first, *rest = self.resnets
        x = first(x)
        for block in (*self.attentions, *rest):
            x = block(x)
        if self.downsampler is not None:
            x = self.downsampler(x)
        return x if self.upsampler is None else self.upsampler(x)


class Encoder(nnx.Module):
    """Mel spectrogram -> twice the latent channels, before the 1x1 convolution."""

    def __init__(self, cfg: VAEConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        width, deepest = cfg.channels[0], cfg.channels[-1]
        self.conv_in = conv(
            cfg.in_channels * cfg.patch**2, width, dtype=dtype, rngs=rngs
        )
        self.down_blocks: nnx.List[Level] = nnx.List()
        for i, channels in enumerate(cfg.channels):
            down = i < len(cfg.channels) - 1
            self.down_blocks.append(
                Level(cfg, width, channels, cfg.blocks, down=down, rngs=rngs)
            )
            width = channels
        self.mid_block = Level(
            cfg, deepest, deepest, 2, attention=cfg.mid_attention, rngs=rngs
        )
        self.conv_norm_out = GroupNorm(
            deepest, cfg.groups, epsilon=_EPSILON, dtype=dtype
        )
        self.conv_out = conv(deepest, 2 * cfg.latent, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """[B, T, F, in_channels] -> [B, T / factor, F / factor, 2 * latent]."""
        x = self.conv_in(x)
        for level in self.down_blocks:
            x = level(x)
        x = self.mid_block(x)
        return self.conv_out(jax.nn.silu(self.conv_norm_out(x)))


class Decoder(nnx.Module):
    """Latents -> image, after the 1x1 convolution."""

    def __init__(self, cfg: VAEConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        width = deepest = cfg.channels[-1]
        self.conv_in = conv(cfg.latent, deepest, dtype=dtype, rngs=rngs)
        self.mid_block = Level(
            cfg, deepest, deepest, 2, attention=cfg.mid_attention, rngs=rngs
        )
        self.up_blocks: nnx.List[Level] = nnx.List()
        for i, channels in reversed(list(enumerate(cfg.channels))):
            self.up_blocks.append(
                Level(cfg, width, channels, cfg.blocks + 1, up=i > 0, rngs=rngs)
            )
            width = channels
        self.conv_norm_out = GroupNorm(width, cfg.groups, epsilon=_EPSILON, dtype=dtype)
        self.conv_out = conv(
            width, cfg.in_channels * cfg.patch**2, dtype=dtype, rngs=rngs
        )

    def __call__(self, z: Array) -> Array:
        """[B, H, W, latent] -> [B, H * factor, W * factor, in_channels]."""
        x = self.mid_block(self.conv_in(z))
        for level in self.up_blocks:
            x = level(x)
        return self.conv_out(jax.nn.silu(self.conv_norm_out(x)))


class VAE(nnx.Module):
    """See :class:`VAEConfig`; methods ``encode`` and ``decode``."""

    def __init__(self, cfg: VAEConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.cfg = cfg
        self.encoder = Encoder(cfg, rngs)
        self.quant_conv = conv(
            2 * cfg.latent, 2 * cfg.latent, 1, dtype=dtype, rngs=rngs
        )
        self.post_quant_conv = conv(cfg.latent, cfg.latent, 1, dtype=dtype, rngs=rngs)
        self.decoder = Decoder(cfg, rngs)

    def encode(self, image: Array) -> Moments:
        """[B, T, F, in_channels] -> float32 moments [B, T / f, F / f, latent].

        Raises:
            UserError: the shape is not that, or T or F is not divisible by f.
        """
        factor = self.cfg.factor
        self._check("image", image, self.cfg.in_channels)
        if image.shape[1] % factor or image.shape[2] % factor:
            raise UserError(
                f"VAE: expected frames and bands divisible by {factor}, got "
                f"{image.shape[1]} x {image.shape[2]}; pad or crop "
                "the mel, in training by config.data.seconds"
            )
        x = to_patches(image.astype(jnp.dtype(self.cfg.dtype)), self.cfg.patch)
        x = self.encoder(x)
        x = self.quant_conv(x).astype(jnp.float32)
        mean, log_variance = jnp.split(x, 2, axis=-1)
        return Moments(mean, jnp.clip(log_variance, LEAST_LOG_VARIANCE, 20.0))

    def decode(self, z: Array) -> Array:
        """Latents [B, H, W, latent] -> float32 image [B, H f, W f, in_channels].

        Raises:
            UserError: the shape is not that.
        """
        self._check("latents", z, self.cfg.latent)
        x = self.post_quant_conv(z.astype(jnp.dtype(self.cfg.dtype)))
        return from_patches(self.decoder(x), self.cfg.patch).astype(jnp.float32)

    def _check(self, name: str, x: Array, channels: int) -> None:
        if x.ndim != 4 or x.shape[-1] != channels:
            raise UserError(
                f"VAE: expected {name} of shape [B, T, F, {channels}], "
                f"got {list(x.shape)}"
            )


def build_vae(cfg: VAEConfig) -> Network:
    """As functions: ``apply(params, x, method="encode")`` and ``"decode"``."""
    return network_of(VAE, cfg)
