"""CLAP's audio tower: HTS-AT over a log-mel, and the projection to the shared space.

Chen et al. 2022 (a Swin transformer over a mel that is folded into a square), as LAION
trained it for CLAP (Wu et al. 2023). With feature fusion it also looks at three crops
of a clip that is longer than the square.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.nn.batch_norm import FixedBatchNorm
from diffusion_audio.nn.functional import Network, network_of
from diffusion_audio.nn.interpolate import bicubic_matrix
from diffusion_audio.nn.layers import dense
from diffusion_audio.nn.norm import LayerNorm
from diffusion_audio.nn.swin import PatchMerging, SwinBlock

DTYPES = ("float32", "bfloat16")
CROPS = 3  # beside the whole clip, with fusion


@dataclass(frozen=True)
class HTSATConfig:
    """Shape of the tower; lists are taken for tuples. The defaults are HTSAT-tiny.

    Attributes:
        width: channels of the first stage; each stage after it has twice as many and
            half of both axes.
        depths: blocks of each stage.
        heads: attention heads of each stage.
        window: side of the attention's windows, in patches.
        n_mels: mel bands of the input.
        side: of the square that the mel is folded into; a multiple of ``patch``.
        patch: side of a patch.
        fusion: whether there is a second way for crops of a longer clip.
        reduction: how many times narrower the fusion is inside.
        embedding: width of the result.
        dtype: compute type; parameters, statistics and softmax stay float32.
    """

    width: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    window: int = 8
    n_mels: int = 64
    side: int = 256
    patch: int = 4
    fusion: bool = False
    reduction: int = 4
    embedding: int = 512
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("depths", "heads"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.depths) != len(self.heads) or not self.depths:
            raise UserError(
                f"HTSAT: expected as many heads as depths, got {self.heads} and "
                f"{self.depths}"
            )
        for stage, heads in enumerate(self.heads):
            if self.width * 2**stage % heads:
                raise UserError(
                    f"HTSAT: expected heads that divide {self.width * 2**stage}, the "
                    f"width of stage {stage}, got {heads}"
                )
        if not 1 <= self.n_mels <= self.side or self.side % (self.side // self.n_mels):
            raise UserError(
                f"HTSAT: expected n_mels up to side={self.side}, and side divisible "
                f"by side // n_mels, got {self.n_mels}"
            )
        least = self.patch * 2 ** (len(self.depths) - 1)
        if self.side % least or self.side // least < self.window:
            raise UserError(
                f"HTSAT: expected a side that is a multiple of {least}, {self.window} "
                f"times (its window) or more, got {self.side}"
            )
        if self.fusion and self.width < self.reduction:
            raise UserError(
                f"HTSAT: expected a width of reduction={self.reduction} or more, got "
                f"{self.width}"
            )
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)

    @property
    def folds(self) -> int:
        """Into how many pieces the time is cut, which are laid above each other."""
        return self.side // self.n_mels

    @property
    def frames(self) -> int:
        """Most frames of a mel; fewer are stretched to as many."""
        return self.side * self.folds

    @property
    def inputs(self) -> int:
        """Inputs of a clip: the clip, and with fusion its crops."""
        return 1 + CROPS * self.fusion


class Gate(nnx.Module):
    """Two dense layers with batch norms, to C channels: half of a fusion's gate."""

    def __init__(self, width: int, inner: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.dense1 = dense(width, inner, dtype=dtype, rngs=rngs)
        self.norm1 = FixedBatchNorm(inner, dtype=dtype)
        self.dense2 = dense(inner, width, dtype=dtype, rngs=rngs)
        self.norm2 = FixedBatchNorm(width, dtype=dtype)

    def __call__(self, x: Array) -> Array:
        """[..., C] -> [..., C]."""
        x = jax.nn.relu(self.norm1(self.dense1(x)))
        return self.norm2(self.dense2(x))


class Fusion(nnx.Module):
    """Attentional feature fusion (Dai et al. 2021) of two feature maps."""

    def __init__(self, width: int, reduction: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        inner = width // reduction
        self.local_gate = Gate(width, inner, dtype=dtype, rngs=rngs)
        self.global_gate = Gate(width, inner, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array, y: Array) -> Array:
        """Two [B, H, W, C] -> [B, H, W, C]."""
        both = x + y
        mean = both.mean(axis=(1, 2), keepdims=True)
        gate = jax.nn.sigmoid(self.local_gate(both) + self.global_gate(mean))
        return 2 * x * gate + 2 * y * (1 - gate)


class PatchEmbedding(nnx.Module):
    """Patches of the square to features; with fusion those of the crops as well.

    A crop is seen in patches three times as long, so that three of them side by side
    are as long as the clip.
    """

    def __init__(self, cfg: HTSATConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        self.fusion = cfg.fusion
        self.proj = _patches(cfg.width, cfg.patch, cfg.patch, dtype, rngs)
        if cfg.fusion:
            self.crops = _patches(cfg.width, cfg.patch, CROPS * cfg.patch, dtype, rngs)
            self.fuse = Fusion(cfg.width, cfg.reduction, dtype=dtype, rngs=rngs)
        self.norm = LayerNorm(cfg.width, dtype=dtype)

    def __call__(self, x: Array, longer: Array) -> Array:
        """[B, H, W, inputs] and bool [B] -> [B, H / patch, W / patch, width]."""
        y = self.proj(x[..., :1])
        if self.fusion:
            parts = [self.crops(x[..., i : i + 1]) for i in range(1, 1 + CROPS)]
            beside = jnp.concatenate(parts, axis=2)
            lacking = y.shape[2] - beside.shape[2]
            beside = jnp.pad(beside, ((0, 0), (0, 0), (0, lacking), (0, 0)))
            fused = self.fuse(y, beside)
            y = jnp.where(longer[:, None, None, None], fused, y)
        return self.norm(y)


class Stage(nnx.Module):
    """Swin blocks, every second one shifted, and all but at the last a merging."""

    def __init__(self, cfg: HTSATConfig, index: int, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        width = cfg.width * 2**index
        # A window that is the whole feature map has nothing to be shifted to.
        whole = cfg.side // (cfg.patch * 2**index) <= cfg.window
        self.blocks = nnx.List(
            SwinBlock(
                width,
                cfg.heads[index],
                cfg.window,
                cfg.window // 2 if i % 2 and not whole else 0,
                dtype=dtype,
                rngs=rngs,
            )
            for i in range(cfg.depths[index])
        )
        last = index == len(cfg.depths) - 1
        self.merging = None if last else PatchMerging(width, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """[B, H, W, C] -> [B, H / 2, W / 2, 2 C], or the same shape at the last."""
        for block in self.blocks:
            x = block(x)
        return x if self.merging is None else self.merging(x)


class HTSAT(nnx.Module):
    """See :class:`HTSATConfig`; ``features`` is what is projected."""

    def __init__(self, cfg: HTSATConfig, rngs: nnx.Rngs):
        dtype = jnp.dtype(cfg.dtype)
        width = cfg.width * 2 ** (len(cfg.depths) - 1)
        self.cfg = cfg
        self.norm_in = FixedBatchNorm(cfg.n_mels, dtype=jnp.float32)
        self.patches = PatchEmbedding(cfg, rngs)
        self.stages = nnx.List(Stage(cfg, i, rngs) for i in range(len(cfg.depths)))
        self.norm_out = LayerNorm(width, dtype=dtype)
        self.linear1 = dense(width, cfg.embedding, dtype=dtype, rngs=rngs)
        self.linear2 = dense(cfg.embedding, cfg.embedding, dtype=dtype, rngs=rngs)

    def features(self, mel: Array, longer: Array | None = None) -> Array:
        """Log-mels to one vector a clip, before the projection.

        Args:
            mel: [B, T, n_mels, inputs], decibels as `clap_mel` makes them; T at most
                ``frames``.
            longer: bool [B], which clips are longer than the mel and have crops that
                count; None for none. Without fusion it has no influence.

        Returns:
            float32 [B, D], D the width of the last stage.

        Raises:
            UserError: the mels are not that.
        """
        cfg = self.cfg
        if mel.ndim != 4 or mel.shape[2:] != (cfg.n_mels, cfg.inputs):
            raise UserError(
                f"HTSAT: expected mels [B, T, {cfg.n_mels}, {cfg.inputs}], got "
                f"{list(mel.shape)}"
            )
        if not 1 <= mel.shape[1] <= cfg.frames:
            raise UserError(
                f"HTSAT: expected 1 to {cfg.frames} frames, got {mel.shape[1]}"
            )
        if longer is None:
            longer = jnp.zeros(mel.shape[0], bool)
        x = self.norm_in(mel.swapaxes(2, 3)).swapaxes(2, 3)
        x = self._square(x).astype(jnp.dtype(cfg.dtype))
        x = self.patches(x, longer)
        for stage in self.stages:
            x = stage(x)
        return self.norm_out(x).astype(jnp.float32).mean(axis=(1, 2))

    def __call__(self, mel: Array, longer: Array | None = None) -> Array:
        """Log-mels to CLAP's embedding of length 1; takes what ``features`` takes.

        Returns:
            float32 [B, embedding].
        """
        x = self.features(mel, longer).astype(jnp.dtype(self.cfg.dtype))
        x = self.linear2(jax.nn.relu(self.linear1(x))).astype(jnp.float32)
        length = jnp.sqrt(jnp.square(x).sum(axis=-1, keepdims=True))
        return x / jnp.maximum(length, 1e-12)

    def _square(self, x: Array) -> Array:
        """[B, T, F, C] -> [B, side, side, C]: time stretched, cut and laid in rows."""
        cfg = self.cfg
        rows = cfg.side // cfg.folds
        for axis, size in ((1, cfg.frames), (2, rows)):
            if x.shape[axis] < size:
                matrix = jnp.asarray(bicubic_matrix(x.shape[axis], size))
                y = jnp.tensordot(matrix, x, (1, axis), precision="highest")
                x = jnp.moveaxis(y, 0, axis)
        batch, _, _, channels = x.shape
        x = x.reshape(batch, cfg.folds, cfg.side, rows, channels)
        return x.transpose(0, 1, 3, 2, 4).reshape(batch, cfg.side, cfg.side, channels)


def build_htsat(cfg: HTSATConfig) -> Network:
    """As functions: ``apply(params, mel, longer) -> embedding``, or ``features``."""
    return network_of(HTSAT, cfg)


def _patches(
    width: int, rows: int, columns: int, dtype: DTypeLike, rngs: nnx.Rngs
) -> nnx.Conv:
    """A convolution of one channel whose steps are as long as its kernel."""
    return nnx.Conv(
        1,
        width,
        (rows, columns),
        (rows, columns),
        padding="VALID",
        kernel_init=nnx.initializers.zeros,
        kernel_metadata={"std": (rows * columns) ** -0.5},
        dtype=dtype,
        rngs=rngs,
    )
