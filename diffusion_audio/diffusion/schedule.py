"""Noise schedules: how much of the data and how much noise each x_t holds."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.errors import UserError, unknown

# Ho et al. 2020 (section 4) and Stable Diffusion; both were chosen for 1000 steps.
BETA_RANGES = {"linear": (1e-4, 0.02), "scaled_linear": (0.00085, 0.012)}
NAMES = (*BETA_RANGES, "cosine")


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """The variances of a forward chain of T steps, a hashable constant under jit.

    The tables are float64 NumPy, so that what is small (1 - alpha_bar early, alpha_bar
    late) keeps its digits; the methods gather from them in float32.

    Attributes:
        name: of the family, for messages.
        betas: variance of the noise that each step adds, float64 [T].
    """

    name: str
    betas: np.ndarray

    def __post_init__(self) -> None:
        betas = np.array(self.betas, np.float64)
        if betas.ndim != 1 or not betas.size or not np.all((betas > 0) & (betas < 1)):
            raise UserError(
                f"{self.name} schedule: expected a list of betas, each between 0 and "
                f"1, got shape {betas.shape}, from {betas.min(initial=np.inf)} to "
                f"{betas.max(initial=-np.inf)}"
            )
        if np.prod(1 - betas) < np.finfo(np.float32).tiny:
            raise UserError(
                f"{self.name} schedule: nothing of the data is left before the last "
                "of its steps; lower beta_end or take fewer steps"
            )
        betas.setflags(write=False)
        object.__setattr__(self, "betas", betas)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and np.array_equal(self.betas, other.betas)

    def __hash__(self) -> int:
        return hash(self.betas.tobytes())

    @property
    def steps(self) -> int:
        """T, the number of steps of the forward chain."""
        return len(self.betas)

    @functools.cached_property
    def alpha_bars(self) -> np.ndarray:
        """Product of (1 - beta) up to each step, float64 [T]; Ho et al., eq. 4."""
        return np.cumprod(1 - self.betas)

    def beta(self, t: Array) -> Array:
        """Variance that step t adds; t int32 of any shape, in 0..T-1."""
        return gather(self.betas, t)

    def alpha_bar(self, t: Array) -> Array:
        """Share of the data's variance in x_t."""
        return gather(self.alpha_bars, t)

    def alpha(self, t: Array) -> Array:
        """Factor on the data in x_t, sqrt(alpha_bar)."""
        return gather(np.sqrt(self.alpha_bars), t)

    def sigma(self, t: Array) -> Array:
        """Factor on the noise in x_t, sqrt(1 - alpha_bar)."""
        return gather(np.sqrt(1 - self.alpha_bars), t)

    def log_snr(self, t: Array) -> Array:
        """Log of alpha^2 / sigma^2; Kingma et al. 2021 (VDM), eq. 4."""
        return gather(np.log(self.alpha_bars) - np.log1p(-self.alpha_bars), t)


def make_schedule(
    name: str = "linear",
    steps: int = 1000,
    *,
    beta_start: float | None = None,
    beta_end: float | None = None,
) -> Schedule:
    """Builds a schedule by name.

    Args:
        name: ``linear``, betas evenly spaced (Ho et al. 2020); ``scaled_linear``,
            their square roots evenly spaced (latent diffusion; AudioLDM takes
            0.0015..0.0195); ``cosine`` (Nichol & Dhariwal 2021, eq. 17).
        steps: T. The published beta ranges belong to T = 1000; a much shorter chain
            needs larger ones to reach noise (see ``process.prior_kl``).
        beta_start: first beta, where not the published one; not for ``cosine``.
        beta_end: last beta, likewise.

    Raises:
        UserError: an unknown name, or a chain that cannot exist.
    """
    if name not in NAMES:
        raise unknown("noise schedule", name, NAMES)
    if not isinstance(steps, int) or steps < 1:
        raise UserError(
            f"{name} schedule: steps must be an integer of 1 or more, got {steps!r}"
        )
    if name == "cosine":
        if beta_start is not None or beta_end is not None:
            raise UserError(
                "cosine schedule: its betas follow from the number of steps; remove "
                "beta_start and beta_end"
            )
        return Schedule(name, _cosine_betas(steps))
    first, last = BETA_RANGES[name]
    first = first if beta_start is None else beta_start
    last = last if beta_end is None else beta_end
    if not 0 < first <= last < 1:
        raise UserError(
            f"{name} schedule: expected 0 < beta_start <= beta_end < 1, got "
            f"beta_start={first} and beta_end={last}"
        )
    if name == "linear":
        return Schedule(name, np.linspace(first, last, steps))
    return Schedule(name, np.linspace(first**0.5, last**0.5, steps) ** 2)


def _cosine_betas(steps: int) -> np.ndarray:
    """Nichol & Dhariwal 2021, eq. 17, with the paper's s = 0.008 and cap of 0.999."""
    s = 0.008
    t = np.arange(steps + 1) / steps
    f = np.cos((t + s) / (1 + s) * np.pi / 2) ** 2
    return np.minimum(1 - f[1:] / f[:-1], 0.999)


def respace(schedule: Schedule, timesteps: np.ndarray) -> Schedule:
    """The shorter chain that visits only some steps; Nichol & Dhariwal, eq. 19.

    Args:
        schedule: the chain of T steps.
        timesteps: the steps to keep, int [n], descending as a sampler walks them.

    Returns:
        A schedule of n steps whose marginals are those of ``schedule`` there.
    """
    alpha_bars = schedule.alpha_bars[timesteps[::-1]]
    return Schedule(schedule.name, 1 - alpha_bars / np.append(1.0, alpha_bars[:-1]))


def gather(table: np.ndarray, t: Array) -> Array:
    """Entries ``t`` of a float64 table, as float32 of the shape of ``t``."""
    return jnp.asarray(table, jnp.float32)[t]


def per_example(values: Array, x: Array) -> Array:
    """Shapes one number per example, [B], to multiply ``x``, [B, ...]."""
    return values.reshape(values.shape + (1,) * (x.ndim - values.ndim))
