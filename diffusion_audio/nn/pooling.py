"""Pooling of feature maps by squares of two, as PyTorch's: what is odd is dropped."""

from diffusion_audio.aliases import Array


def average_pool(x: Array) -> Array:
    """[B, H, W, C] -> [B, H // 2, W // 2, C], the mean of each square."""
    return _squares(x).mean(axis=(2, 4))


def max_pool(x: Array) -> Array:
    """[B, H, W, C] -> [B, H // 2, W // 2, C], the largest of each square."""
    return _squares(x).max(axis=(2, 4))


def _squares(x: Array) -> Array:
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels)
