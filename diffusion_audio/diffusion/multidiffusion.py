"""Denoising a long sequence in windows: MultiDiffusion; Bar-Tal et al. 2023.

A network that was trained at one length sees windows of that length, which overlap; at
every step what it predicts of them is averaged, so that they agree before they are
done. Time grows with the length and not with its square, memory hardly at all.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.diffusion.solvers import Denoiser
from diffusion_audio.errors import UserError


class Windows(NamedTuple):
    """Windows of one size that cover an axis, each with weights.

    Attributes:
        starts: int32 [n], where each begins.
        size: of each.
        overlap: places that a window shares with the next at least.
    """

    starts: np.ndarray
    size: int
    overlap: int

    @property
    def length(self) -> int:
        """Of the axis."""
        return int(self.starts[-1]) + self.size

    @property
    def weights(self) -> np.ndarray:
        """Float32 [n, size], smooth; those of a place sum to 1."""
        ramp = np.sin(0.5 * np.pi * (np.arange(self.overlap) + 0.5) / self.overlap) ** 2
        profile = np.ones(self.size)
        profile[: self.overlap] = ramp
        profile[self.size - self.overlap :] *= ramp[::-1]
        places = self.starts[:, None] + np.arange(self.size)  # [n, size]
        total = np.zeros(self.length)
        for here in places:
            total[here] += profile
        return (profile / total[places]).astype(np.float32)

    def scaled(self, factor: int) -> "Windows":
        """The same of an axis with ``factor`` places for each."""
        return Windows(self.starts * factor, self.size * factor, self.overlap * factor)


def overlapping(length: int, size: int, overlap: int) -> Windows:
    """As few windows as cover a length, evenly spaced.

    Args:
        length: of the axis; one that is no longer than a window is one of its own.
        size: of a window.
        overlap: places that neighbours share at least, up to half of the size.

    Raises:
        UserError: the windows do not fit together.
    """
    if not 0 <= overlap <= size / 2:
        raise UserError(
            f"windows: expected an overlap from 0 to half of their size {size}, got "
            f"{overlap}"
        )
    if length <= size:
        return Windows(np.zeros(1, np.int32), length, 0)
    steps = -(-(length - size) // (size - overlap))
    starts = np.round(np.linspace(0, length - size, steps + 1)).astype(np.int32)
    return Windows(starts, size, overlap)


def multidiffusion(denoise: Denoiser, windows: Windows, axis: int) -> Denoiser:
    """A denoiser of any length, from one of windows; Bar-Tal et al. 2023, eq. 5.

    The average of predictions is that of the states they lead to, as every solver is
    linear in them. The windows go one after the other, so memory is that of one. Where
    there is one window it is ``denoise`` itself.

    Args:
        denoise: of windows, [B, ..., size, ...].
        windows: of the axis.
        axis: of ``x`` and of the prediction, 1 or more.

    Returns:
        A denoiser of [B, ..., length, ...].
    """
    if len(windows.starts) == 1:
        return denoise

    def whole(x: Array, t: Array) -> Array:
        shape = [1] * x.ndim
        shape[axis] = windows.size

        def window(start: Array, weights: Array) -> Array:
            part = jax.lax.dynamic_slice_in_dim(x, start, windows.size, axis)
            said = denoise(part, t).astype(jnp.float32)
            return said * weights.reshape(shape)

        def add(total: Array, each: tuple[Array, Array]) -> tuple[Array, None]:
            said = window(*each)
            start = each[0]
            there = jax.lax.dynamic_slice_in_dim(total, start, windows.size, axis)
            new = there + said
            return jax.lax.dynamic_update_slice_in_dim(total, new, start, axis), None

        each = jnp.asarray(windows.starts), jnp.asarray(windows.weights)
        one = jax.eval_shape(window, *(array[0] for array in each))
        sizes = list(one.shape)
        sizes[axis] = windows.length
        return jax.lax.scan(add, jnp.zeros(sizes, jnp.float32), each)[0]

    return whole
