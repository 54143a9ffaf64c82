"""The conditional UNet of latent diffusion: Stable Diffusion, AudioLDM, AudioLDM 2.

Rombach et al. 2022, with the settings of Liu et al. 2023 and 2024: they differ in
widths, in heads, and in how many transformer stacks stand at each place and what they
read. Names of parameters follow diffusers, so a weight table is short.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.models.condition import Condition, Context
from diffusion_audio.nn.embeddings import TimestepEmbedding, timestep_embedding
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.layers import conv, dense
from diffusion_audio.nn.norm import GroupNorm
from diffusion_audio.nn.resnet import Downsample, ResnetBlock, Upsample
from diffusion_audio.nn.transformer import SpatialTransformer

PROJECTIONS = ("conv", "linear")
DTYPES = ("float32", "bfloat16")
Streams = tuple[Context | None, ...]
_UNCONDITIONAL = Condition()


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a UNet; lists are taken for tuples.

    Attributes:
        in_channels: channels of the noisy latents.
        out_channels: channels of the prediction.
        channels: width at each level, highest resolution first; each level but the
            last halves both axes.
        blocks: residual blocks a level (the way up has one more).
        attention: whether each level has transformers (the middle always has).
        heads: attention heads at each level; the middle takes the last.
        contexts: one transformer stack per entry wherever there is attention. None:
            both its attentions look at the image itself. A width: the second looks
            at the next context of the condition.
        depth: transformer blocks per stack.
        vector_dim: width of the condition's vector, joined to the time embedding
            (AudioLDM's FiLM); None for no vector.
        scale_shift: whether time and vector scale and shift the features in each
            residual block, rather than being added to them as in the originals.
        projection: ``"conv"`` or ``"linear"``, the stacks' projections.
        groups: groups of every GroupNorm; divides every width.
        dtype: compute type; parameters, statistics and softmax stay float32.
        remat: whether the backward pass computes each block again, from its input, in
            place of keeping all that is in it (Chen et al. 2016).
    """

    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    heads: tuple[int, ...]
    blocks: int = 2
    contexts: tuple[int | None, ...] = (None,)
    depth: int = 1
    vector_dim: int | None = None
    scale_shift: bool = False
    projection: str = "conv"
    groups: int = 32
    dtype: str = "float32"
    remat: bool = False

    def __post_init__(self) -> None:
        for name in ("channels", "attention", "heads", "contexts"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        levels = len(self.channels)
        for name in ("attention", "heads"):
            if len(getattr(self, name)) != levels:
                raise UserError(
                    f"UNet: expected one value of {name} for each of the {levels} "
                    f"channels {self.channels}, got {getattr(self, name)}"
                )
        for width, heads in zip(self.channels, self.heads, strict=True):
            if width % self.groups or width % heads:
                raise UserError(
                    f"UNet: channels must be divisible by the groups and by their "
                    f"level's heads, got {width} with groups={self.groups} and "
                    f"heads={heads}"
                )
        if self.channels[0] % 2:
            raise UserError(f"UNet: channels[0] must be even, got {self.channels[0]}")
        if self.projection not in PROJECTIONS:
            raise unknown("projection", self.projection, PROJECTIONS)
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)

    @property
    def time_width(self) -> int:
        """Width of the time embedding, joined vector included."""
        return self.channels[0] * (4 if self.vector_dim is None else 8)


class Level(nnx.Module):
    """One resolution: residual blocks, transformer stacks, resampling.

    Args:
        cfg: the network's config.
        index: which of its levels gives width and heads.
        widths: channels into each residual block; all give the level's width.
        sites: places with transformers; each holds one stack per context.
        down: whether it ends by halving both axes.
        up: whether it ends by doubling them.
        rngs: random streams for the initial values.
    """

    def __init__(
        self,
        cfg: UNetConfig,
        index: int,
        widths: Sequence[int],
        sites: int,
        *,
        down: bool = False,
        up: bool = False,
        rngs: nnx.Rngs,
    ):
        dtype = jnp.dtype(cfg.dtype)
        width = cfg.channels[index]
        self.resnets = nnx.List(
            ResnetBlock(
                c_in,
                width,
                time=cfg.time_width,
                scale_shift=cfg.scale_shift,
                groups=cfg.groups,
                epsilon=1e-5,
                zero=True,
                dtype=dtype,
                rngs=rngs,
            )
            for c_in in widths
        )
        self.attentions = nnx.List(
            SpatialTransformer(
                width,
                cfg.heads[index],
                context,
                depth=cfg.depth,
                groups=cfg.groups,
                projection=cfg.projection,
                dtype=dtype,
                rngs=rngs,
            )
            for _ in range(sites)
            for context in cfg.contexts
        )
        self.downsampler = (
            Downsample(width, symmetric=True, dtype=dtype, rngs=rngs) if down else None
        )
        self.upsampler = Upsample(width, dtype=dtype, rngs=rngs) if up else None

    def attend(self, site: int, x: Array, streams: Streams) -> Array:
        """The stacks of one site in turn; the identity at a level without any."""
        if len(self.attentions):
            for i, stream in enumerate(streams):
                stack = self.attentions[site * len(streams) + i]
                x = stack(x) if stream is None else stack(x, *stream)
        return x


class UNet(nnx.Module):
    """See :class:`UNetConfig`.

    The second convolution of each residual block, the output projection of each
    transformer stack and the last convolution start at zero, as in the originals
    (Dhariwal and Nichol 2021): a new network predicts zero.
    """

    def __init__(self, cfg: UNetConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        first, last = cfg.channels[0], len(cfg.channels) - 1
        self.cfg = cfg
        self.conv_in = conv(cfg.in_channels, first, dtype=dtype, rngs=rngs)
        self.time_embedding = TimestepEmbedding(
            first, 4 * first, dtype=dtype, rngs=rngs
        )
        if cfg.vector_dim is not None:
            self.class_embedding = dense(
                cfg.vector_dim, 4 * first, dtype=dtype, rngs=rngs
            )
        skips, width = [first], first
        self.down_blocks: nnx.List[Level] = nnx.List()
        for i, channels in enumerate(cfg.channels):
            widths = [width] + [channels] * (cfg.blocks - 1)
            sites = cfg.blocks * cfg.attention[i]
            self.down_blocks.append(
                Level(cfg, i, widths, sites, down=i < last, rngs=rngs)
            )
            skips += [channels] * (cfg.blocks + (i < last))
            width = channels
        self.mid_block = Level(cfg, last, [width, width], 1, rngs=rngs)
        self.up_blocks: nnx.List[Level] = nnx.List()
        for i, channels in reversed(list(enumerate(cfg.channels))):
            widths = []
            for _ in range(cfg.blocks + 1):
                widths.append(width + skips.pop())
                width = channels
            sites = (cfg.blocks + 1) * cfg.attention[i]
            self.up_blocks.append(Level(cfg, i, widths, sites, up=i > 0, rngs=rngs))
        self.conv_norm_out = GroupNorm(first, cfg.groups, dtype=dtype)
        self.conv_out = conv(first, cfg.out_channels, zero=True, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Array, t: Array, condition: Condition = _UNCONDITIONAL
    ) -> Array:
        """Predicts from a noisy image, a time and a condition.

        Any height and width will do: what halves unevenly is cropped on the way up.

        Args:
            x: [B, H, W, in_channels].
            t: [B], integer or float, in steps.
            condition: with what the config has.

        Returns:
            float32 [B, H, W, out_channels].

        Raises:
            UserError: the image or the condition is not what the config says.
        """
        streams = _streams(self.cfg, x, condition)
        dtype = jnp.dtype(self.cfg.dtype)
        features = timestep_embedding(t, self.cfg.channels[0])
        time = self.time_embedding(features.astype(dtype))
        if condition.vector is not None:
            time = jnp.concatenate([time, self.class_embedding(condition.vector)], -1)

        def block(level: Level, site: int, x: Array) -> Array:
            def inside(x: Array, time: Array, streams: Streams) -> Array:
                return level.attend(site, level.resnets[site](x, time), streams)

            again = jax.checkpoint(inside) if self.cfg.remat else inside
            return again(x, time, streams)

        x = self.conv_in(x.astype(dtype))
        skips = [x]
        for level in self.down_blocks:
            for site in range(len(level.resnets)):
                x = block(level, site, x)
                skips.append(x)
            if level.downsampler is not None:
                x = level.downsampler(x)
                skips.append(x)

        before, after = self.mid_block.resnets
        x = after(self.mid_block.attend(0, before(x, time), streams), time)

        for level in self.up_blocks:
            for site in range(len(level.resnets)):
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = block(level, site, x)
            if level.upsampler is not None:
                x = level.upsampler(x, like=skips[-1])
        return self.conv_out(jax.nn.silu(self.conv_norm_out(x))).astype(jnp.float32)


def build_unet(cfg: UNetConfig) -> Network:
    """The UNet as pure functions: ``apply(params, x, t, condition) -> prediction``."""
    return network_of(UNet, cfg)


def _streams(cfg: UNetConfig, x: Array, condition: Condition) -> Streams:
    """Checks the inputs and gives each stack its context, or None for the image."""
    if x.ndim != 4 or x.shape[-1] != cfg.in_channels:
        raise UserError(
            f"UNet: expected latents [B, H, W, {cfg.in_channels}], got {list(x.shape)}"
        )
    expected = [width for width in cfg.contexts if width is not None]
    got = [context.tokens.shape[-1] for context in condition.contexts]
    if got != expected:
        raise UserError(
            f"UNet: expected contexts of widths {expected}, got {got}; make the text "
            f"encoder's contexts equal to the UNet's"
        )
    vector = None if condition.vector is None else condition.vector.shape[-1]
    if vector != cfg.vector_dim:
        raise UserError(
            f"UNet: expected a condition vector of width {cfg.vector_dim}, got {vector}"
        )
    contexts = iter(condition.contexts)
    return tuple(None if width is None else next(contexts) for width in cfg.contexts)
