"""Where a sampler stops on its way from noise to data, and at what noise level.

A `Grid` is all that a solver knows of the process it runs backwards. State i of the
walk is x = alpha[i] x_0 + sigma[i] eps; step i calls the network at t[i] and leads to
state i + 1. Noise levels are compared by the ratio sigma / alpha: the sigma of EDM
(Karras et al. 2022), exp(-log_snr / 2), infinite where nothing of the data is left.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from diffusion_audio.diffusion.process import Process
from diffusion_audio.diffusion.schedule import Schedule
from diffusion_audio.errors import UserError, unknown

SPACINGS = ("leading", "trailing", "linspace", "karras", "logsnr")
FINALS = ("data", "first")
CONTINUOUS_STEPS = 1000
"""What a process in continuous time is cut into, as ``timesteps`` counts them."""

Locate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""From ratios [n] to the network time, alpha and sigma [n] at which they are."""


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """The noise levels of a walk of n steps, float64 NumPy.

    Attributes:
        t: the times that the network takes, [n]; integers stay integers.
        alpha: factor on the data of each state, [n + 1]; the last is where one lands.
        sigma: factor on the noise of each state, [n + 1].
        locate: finds levels between those of the grid, which churn needs.
    """

    t: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray
    locate: Locate | None = None

    def __post_init__(self) -> None:
        t = np.asarray(self.t)
        states = np.shape(self.alpha), np.shape(self.sigma)
        if t.ndim != 1 or not t.size or set(states) != {(len(t) + 1,)}:
            raise UserError(
                "grid: expected t [n] with alpha and sigma [n + 1], got shapes "
                f"{t.shape}, {states[0]} and {states[1]}"
            )
        levels = np.array([self.alpha, self.sigma], np.float64)
        if not (np.isfinite(levels).all() and np.isfinite(t).all()):
            raise UserError("grid: t, alpha and sigma must be finite")
        if np.any(levels < 0) or np.any(levels.sum(axis=0) == 0):
            raise UserError(
                "grid: alpha and sigma must not be negative, nor both be 0 at a time"
            )
        object.__setattr__(self, "t", t)
        object.__setattr__(self, "alpha", levels[0])
        object.__setattr__(self, "sigma", levels[1])

    @property
    def n(self) -> int:
        """Number of steps."""
        return len(self.t)

    @property
    def ratio(self) -> np.ndarray:
        """Noise-to-data ratio sigma / alpha of each state, [n + 1]."""
        with np.errstate(divide="ignore"):
            return np.divide(self.sigma, self.alpha)

    @property
    def log_snr(self) -> np.ndarray:
        """Log of alpha^2 / sigma^2 of each state, [n + 1]; VDM (2021), eq. 5."""
        with np.errstate(divide="ignore"):
            return -2 * np.log(self.ratio)


def make_grid(
    process: Process,
    n: int,
    *,
    spacing: str = "leading",
    steps_offset: int = 0,
    endpoint: bool = True,
    final: str = "data",
    rho: float = 7.0,
) -> Grid:
    """A grid of n steps down a process.

    Args:
        process: a noise schedule of T steps, or a process in continuous time, which
            is taken at the shares 1/T, 2/T .. 1 of its way, T = 1000.
        n: number of steps.
        spacing: ``leading``, multiples of T // n, which never reach T - 1;
            ``trailing``, from T - 1 down; ``linspace``, both ends (Lin et al. 2023,
            table 2; each rounds as diffusers does); ``karras``, even steps of
            ratio^(1 / rho) (Karras et al. 2022, eq. 5); ``logsnr``, even steps of the
            log-SNR (Lu et al. 2022). The last two ask at fractional times.
        steps_offset: added to ``leading`` (published latent models take 1).
        endpoint: ask also at the last time of the spacing. False makes a grid of n + 1
            and lands from its last time but one, as DPM-Solver and UniPC of diffusers
            do; for ``leading`` and ``linspace``.
        final: where the last step lands: ``data``, or ``first``, the noise level of
            timestep 0, as latent diffusion models were published.
        rho: of ``karras``.

    Raises:
        UserError: an unknown name, n outside 1..T, or settings that exclude another.
    """
    if spacing not in SPACINGS:
        raise unknown("timestep spacing", spacing, SPACINGS)
    if final not in FINALS:
        raise unknown("final noise level", final, FINALS)
    if steps_offset and spacing != "leading":
        raise UserError(
            f"steps_offset={steps_offset} moves leading timesteps only; with spacing "
            f"{spacing!r} set it to 0"
        )
    if not endpoint and spacing not in ("leading", "linspace"):
        raise UserError(
            f"endpoint=False shortens leading and linspace timesteps only; with "
            f"spacing {spacing!r} leave it out"
        )
    steps = process.steps if isinstance(process, Schedule) else CONTINUOUS_STEPS
    most = steps if endpoint else steps - 1
    if not isinstance(n, int) or not 1 <= n <= most:
        raise UserError(
            f"sampling steps must be an integer in 1..{most} (the steps of the noise "
            f"schedule), got {n!r}"
        )
    locate = _locator(process)
    _, alpha_first, sigma_first = _levels(process, np.array([0]))
    if spacing in ("karras", "logsnr"):
        t, alpha, sigma = locate(_ratios(process, steps, n, spacing, rho))
    else:
        index = timesteps(steps, n, spacing, steps_offset, endpoint)
        t, alpha, sigma = _levels(process, index)
    end = (1.0, 0.0) if final == "data" else (alpha_first[0], sigma_first[0])
    return Grid(t, np.append(alpha, end[0]), np.append(sigma, end[1]), locate)


def timesteps(
    train_steps: int,
    n: int,
    spacing: str = "leading",
    steps_offset: int = 0,
    endpoint: bool = True,
) -> np.ndarray:
    """Which n of T timesteps a grid visits, int32 [n], descending; see `make_grid`."""
    grid: np.ndarray
    if spacing == "leading":
        stride = train_steps // (n if endpoint else n + 1)
        first = steps_offset if endpoint else steps_offset + stride
        grid = np.arange(n)[::-1] * stride + first
    elif spacing == "trailing":
        # diffusers' own expression, for its rounding; it may run one step too far.
        grid = np.round(np.arange(train_steps, 0, -train_steps / n)[:n]) - 1
    elif endpoint:
        grid = np.linspace(0, train_steps - 1, n).round()[::-1]
    else:
        grid = np.linspace(0, train_steps - 1, n + 1).round()[:0:-1]
    if not 0 <= grid[-1] <= grid[0] < train_steps:
        raise UserError(
            f"{n} leading timesteps with steps_offset={steps_offset} run from "
            f"{grid[-1]} to {grid[0]}, outside 0..{train_steps - 1}; lower one of them"
        )
    return grid.astype(np.int32)


def tail(grid: Grid, n: int) -> Grid:
    """The last n steps of a grid."""
    return Grid(grid.t[-n:], grid.alpha[-n - 1 :], grid.sigma[-n - 1 :], grid.locate)


def _levels(process: Process, index: np.ndarray) -> tuple[np.ndarray, ...]:
    """Network time, alpha and sigma [n] at timesteps int [n], float64."""
    if isinstance(process, Schedule):
        alpha_bars = process.alpha_bars[index]
        return index, np.sqrt(alpha_bars), np.sqrt(1 - alpha_bars)
    share: Any = (index + 1) / CONTINUOUS_STEPS
    t: Any = process.time(share)
    levels: Any = process.network_time(t), process.alpha(t), process.sigma(t)
    return levels


def _locator(process: Process) -> Locate:
    """Finds the levels of ratios between the timesteps of a process."""

    def locate(ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        t: Any = process.time_of(-2 * np.log(ratio))
        chain = isinstance(process, Schedule)  # of variance 1
        alpha = 1 / (np.hypot(1, ratio) if chain else 1 + ratio)
        time: Any = process.network_time(t)
        return time, alpha, alpha * ratio

    return locate


def _ratios(
    process: Process, steps: int, n: int, spacing: str, rho: float
) -> np.ndarray:
    """Ratios [n] from the largest of a process to its smallest."""
    if process.pure_noise:
        raise UserError(
            f"spacing {spacing!r} needs a process whose end still holds something of "
            "the data; here alpha is 0 there: take 'trailing'"
        )
    _, alpha, sigma = _levels(process, np.array([steps - 1, 0]))
    highest, lowest = sigma / alpha
    if spacing == "logsnr":
        return np.geomspace(highest, lowest, n)
    return np.linspace(highest ** (1 / rho), lowest ** (1 / rho), n) ** rho
