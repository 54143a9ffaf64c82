"""Rectified flow: the straight line from data to noise, a process like the others."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.diffusion.choice import positive

EDGE = 1e-7  # float32 tells 1 - EDGE from 1


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class RectifiedFlow:
    """x_t = (1 - t) x_0 + t eps for t in [0, 1]; Esser et al. 2024, eq. 13.

    The straight line of Liu et al. 2023, eq. 1, whose time runs from noise to data.

    Attributes:
        shift: of time towards noise, for data larger than usual: a share u of the
            way is t = shift u / (1 + (shift - 1) u); Esser et al. 2024, eq. 23. It
            lowers log SNR by 2 log(shift), as ``families.shifted`` does to a chain.
    """

    shift: float = 1.0

    def __post_init__(self) -> None:
        positive("rectified_flow", shift=self.shift)

    @property
    def pure_noise(self) -> bool:
        """Nothing of the data is left at t = 1."""
        return True

    def alpha(self, t: Array) -> Array:
        """Factor on the data in x_t."""
        return 1 - t

    def sigma(self, t: Array) -> Array:
        """Factor on the noise in x_t."""
        return t

    def log_snr(self, t: Array) -> Array:
        """Log of alpha^2 / sigma^2, finite also at the ends."""
        inside = jnp.clip(t, EDGE, 1 - EDGE)
        return 2 * (jnp.log1p(-inside) - jnp.log(inside))

    def time_of(self, log_snr: np.ndarray) -> np.ndarray:
        """Inverse of ``log_snr``, float64 on the host."""
        return 1 / (1 + np.exp(np.asarray(log_snr, np.float64) / 2))

    def levels(self, log_snr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Alpha and sigma where log SNR is this, float64 on the host."""
        return self.time_of(-log_snr), self.time_of(log_snr)

    def time(self, u: Array) -> Array:
        """The time at a share ``u`` of the way from data to noise."""
        return self.shift * u / (1 + (self.shift - 1) * u)

    def share(self, t: Array) -> Array:
        """Inverse of ``time``."""
        return t / (self.shift - (self.shift - 1) * t)

    def network_time(self, t: Array) -> Array:
        """The time as the network takes it: in thousandths, as its embedding has it."""
        return 1000 * t
