"""Noise schedules: how much of the data and how much noise each x_t holds."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.diffusion import families
from diffusion_audio.diffusion.choice import choose
from diffusion_audio.errors import UserError


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """The variances of a forward chain of T steps, a hashable constant under jit.

    The tables are float64 NumPy, so that what is small (1 - alpha_bar early, alpha_bar
    late) keeps its digits; the methods read them in float32. They take any ``t`` in
    0..T-1: an int is a step of the chain; a float lies between two steps, where log SNR
    is interpolated, which makes of the chain a process in continuous time.

    Attributes:
        name: of the family, for messages.
        betas: variance of the noise that each step adds, float64 [T]. The last may be
            1: pure noise, alpha_bar = 0 (Lin et al. 2023).
    """

    name: str
    betas: np.ndarray

    def __post_init__(self) -> None:
        betas = np.array(self.betas, np.float64)
        good = betas.ndim == 1 and betas.size and np.all((betas > 0) & (betas <= 1))
        if not good or np.any(betas[:-1] == 1):
            raise UserError(
                f"{self.name} schedule: expected a list of betas, each between 0 and "
                f"1 (only the last may be 1), got shape {betas.shape}, from "
                f"{betas.min(initial=np.inf)} to {betas.max(initial=-np.inf)}"
            )
        if np.prod(1 - betas[betas < 1]) < np.finfo(np.float32).tiny:
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

    @property
    def pure_noise(self) -> bool:
        """Whether nothing of the data is left at the end: alpha is 0."""
        return bool(self.betas[-1] == 1)

    @functools.cached_property
    def alpha_bars(self) -> np.ndarray:
        """Product of (1 - beta) up to each step, float64 [T]; Ho et al., eq. 4."""
        return np.cumprod(1 - self.betas)

    @functools.cached_property
    def log_snrs(self) -> np.ndarray:
        """Log of alpha^2 / sigma^2 at each step, float64 [T]; finite throughout."""
        return families.log_snrs(self.betas)

    def beta(self, t: Array) -> Array:
        """Variance that step t adds; t int32 of any shape, in 0..T-1."""
        return gather(self.betas, t)

    def alpha_bar(self, t: Array) -> Array:
        """Share of the data's variance in x_t."""
        return self._read(self.alpha_bars, jax.nn.sigmoid, t)

    def alpha(self, t: Array) -> Array:
        """Factor on the data in x_t, sqrt(alpha_bar)."""
        table = np.sqrt(self.alpha_bars)
        return self._read(table, lambda u: jnp.sqrt(jax.nn.sigmoid(u)), t)

    def sigma(self, t: Array) -> Array:
        """Factor on the noise in x_t, sqrt(1 - alpha_bar)."""
        table = np.sqrt(1 - self.alpha_bars)
        return self._read(table, lambda u: jnp.sqrt(jax.nn.sigmoid(-u)), t)

    def log_snr(self, t: Array) -> Array:
        """Log of alpha^2 / sigma^2, finite; Kingma et al. 2021 (VDM), eq. 5."""
        return self._read(self.log_snrs, lambda u: u, t)

    def _read(self, table: np.ndarray, of_log_snr: Any, t: Array) -> Array:
        """A table at steps, or its value between steps from the log SNR there."""
        if jnp.issubdtype(t.dtype, jnp.integer):
            return gather(table, t)
        knots = jnp.arange(self.steps, dtype=jnp.float32)
        log_snrs = jnp.asarray(self.log_snrs, jnp.float32)
        return of_log_snr(jnp.interp(t.astype(jnp.float32), knots, log_snrs))

    def time_of(self, log_snr: np.ndarray) -> np.ndarray:
        """Inverse of ``log_snr``: the real time in 0..T-1, float64 on the host."""
        return np.interp(-log_snr, -self.log_snrs, np.arange(self.steps))

    def levels(self, log_snr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Alpha and sigma where log SNR is this, float64 on the host."""
        log_alpha, log_sigma = (-np.logaddexp(0, v) / 2 for v in (-log_snr, log_snr))
        return np.exp(log_alpha), np.exp(log_sigma)

    def time(self, u: Array) -> Array:
        """The step at a share ``u`` in [0, 1) of the chain, int32."""
        return jnp.minimum((u * self.steps).astype(jnp.int32), self.steps - 1)

    def share(self, t: Array) -> Array:
        """What share of the chain lies before ``t``, float32 in [0, 1)."""
        return t.astype(jnp.float32) / self.steps

    def network_time(self, t: Array) -> Array:
        """The time as the network takes it: the step itself."""
        return t


def make_schedule(
    name: str = "linear",
    steps: int = 1000,
    *,
    shift: float = 1.0,
    zero_terminal_snr: bool = False,
    **options: float | None,
) -> Schedule:
    """Builds a schedule by the name of its family.

    Args:
        name: one of ``families.FAMILIES``: ``linear``, ``scaled_linear``, ``cosine``,
            ``sigmoid``, ``karras``.
        steps: T. The published beta ranges belong to T = 1000; a much shorter chain
            needs larger ones to reach noise (see ``process.prior_kl``).
        shift: raises the noise against the data; see ``families.shifted``.
        zero_terminal_snr: ends in pure noise; see ``families.zero_terminal``.
        **options: of the family, such as ``beta_end``; None for the published value.

    Raises:
        UserError: an unknown name or option, or a chain that cannot exist.
    """
    if not isinstance(steps, int) or steps < 1:
        raise UserError(
            f"{name} schedule: steps must be an integer of 1 or more, got {steps!r}"
        )
    betas = choose(
        "noise schedule",
        families.FAMILIES,
        name,
        options,
        steps,
        common=("steps", "shift", "zero_terminal_snr"),
    )
    betas = families.shifted(betas, shift)
    return Schedule(name, families.zero_terminal(betas) if zero_terminal_snr else betas)


def gather(table: np.ndarray, t: Array) -> Array:
    """Entries ``t`` of a float64 table, as float32 of the shape of ``t``."""
    return jnp.asarray(table, jnp.float32)[t]


def per_example(values: Array, x: Array) -> Array:
    """Shapes one number per example, [B], to multiply ``x``, [B, ...]."""
    return values.reshape(values.shape + (1,) * (x.ndim - values.ndim))
