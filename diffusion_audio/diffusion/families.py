"""The published families of noise schedules, as betas in float64.

Each function gives T betas; its keyword arguments are the options of that family.
``shifted`` and ``zero_terminal`` change the betas of any of them.
"""

import numpy as np

from diffusion_audio.diffusion.choice import positive
from diffusion_audio.errors import UserError

MOST = 0.999  # cap on one step's beta; Nichol & Dhariwal 2021, after eq. 17


def linear(steps: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> np.ndarray:
    """Betas evenly spaced; Ho et al. 2020, section 4, for 1000 steps."""
    _ordered("linear", 1, beta_start=beta_start, beta_end=beta_end)
    return np.linspace(beta_start, beta_end, steps)


def scaled_linear(
    steps: int, beta_start: float = 0.00085, beta_end: float = 0.012
) -> np.ndarray:
    """Square roots of the betas evenly spaced; latent diffusion, for 1000 steps.

    Rombach et al. 2022. The defaults are Stable Diffusion's and Auffusion's; AudioLDM
    takes 0.0015..0.0195.
    """
    _ordered("scaled_linear", 1, beta_start=beta_start, beta_end=beta_end)
    return np.linspace(beta_start**0.5, beta_end**0.5, steps) ** 2


def cosine(steps: int) -> np.ndarray:
    """A squared cosine of signal; Nichol & Dhariwal 2021, eq. 17, with s = 0.008."""
    s = 0.008
    u = np.arange(steps + 1) / steps
    return _between(np.cos((u + s) / (1 + s) * np.pi / 2) ** 2)


def sigmoid(
    steps: int, start: float = -3.0, end: float = 3.0, tau: float = 1.0
) -> np.ndarray:
    """A sigmoid of signal; Jabri et al. 2023 and Chen 2023, algorithm 1.

    Args:
        steps: T.
        start: where on the sigmoid the data are.
        end: where the noise is.
        tau: temperature; a higher one is closer to a straight line.
    """
    if not start < end or not tau > 0:
        raise UserError(
            f"sigmoid schedule: expected start < end and tau > 0, got start={start}, "
            f"end={end}, tau={tau}"
        )
    u = np.arange(steps + 1) / steps
    curve = 1 / (1 + np.exp(-(start + (end - start) * u) / tau))
    return _between((curve[-1] - curve) / (curve[-1] - curve[0]))


def karras(
    steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> np.ndarray:
    """EDM's noise levels as a variance-preserving chain; Karras et al. 2022, eq. 5.

    EDM adds noise of deviation s to data of scale 1; here that x is divided by
    sqrt(1 + s^2), which is its c_in for sigma_data = 1. The ratio sigma / alpha is s,
    and v, with its sign turned, is what EDM's network predicts.

    Args:
        steps: T.
        sigma_min: s of the first step.
        sigma_max: s of the last.
        rho: a higher one has more steps at little noise.
    """
    _ordered("karras", np.inf, sigma_min=sigma_min, sigma_max=sigma_max)
    positive("karras schedule", rho=rho)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return from_log_snr(-2 * rho * np.log(np.linspace(low, high, steps)))


def shifted(betas: np.ndarray, shift: float) -> np.ndarray:
    """The chain whose noise stands ``shift`` times higher against the data.

    log SNR falls by 2 log(shift). Hoogeboom et al. 2023 (simple diffusion), section
    3.1: images d times larger than those a schedule was made for need shift = d;
    the same as the time shift of Esser et al. 2024, eq. 23.
    """
    positive("schedule", shift=shift)
    return betas if shift == 1 else from_log_snr(log_snrs(betas) - 2 * np.log(shift))


def zero_terminal(betas: np.ndarray) -> np.ndarray:
    """The chain that ends in pure noise; Lin et al. 2023, algorithm 1.

    sqrt(alpha_bar) keeps its first value and is moved and scaled to end at 0.
    """
    if len(betas) < 2:
        raise UserError(
            "zero_terminal_snr: a chain of one step has no first value to keep; take "
            "2 steps or more"
        )
    alpha = np.sqrt(np.cumprod(1 - betas))
    alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    return 1 - np.append(alpha[0] ** 2, (alpha[1:] / alpha[:-1]) ** 2)


def log_snrs(betas: np.ndarray) -> np.ndarray:
    """Log of alpha_bar / (1 - alpha_bar) after each step; VDM (2021), eq. 5.

    Finite, so that one can interpolate: alpha_bar = 0 counts as the least float32.
    """
    with np.errstate(divide="ignore"):
        kept = np.cumsum(np.log1p(-betas))
    kept = np.maximum(kept, np.log(np.finfo(np.float32).tiny))
    return kept - np.log(-np.expm1(kept))


def from_log_snr(values: np.ndarray) -> np.ndarray:
    """The betas of a chain with these log SNRs, which must fall."""
    log_alpha_bar = -np.logaddexp(0, -values)
    return -np.expm1(np.diff(log_alpha_bar, prepend=0.0))


def _between(alpha_bar: np.ndarray) -> np.ndarray:
    """Betas that lead from each of T + 1 alpha_bars to the next, capped."""
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], MOST)


def _ordered(name: str, below: float, **ends: float) -> None:
    """Refuses the two ends of a range where they are not."""
    (low, first), (high, last) = ends.items()
    if not 0 < first <= last < below:
        raise UserError(
            f"{name} schedule: expected 0 < {low} <= {high} < {below:g}, got "
            f"{low}={first} and {high}={last}"
        )


FAMILIES = {f.__name__: f for f in (linear, scaled_linear, cosine, sigmoid, karras)}
