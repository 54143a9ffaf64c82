"""Data of which the optimal denoiser is known, in continuous time.

The network time of these grids is log(sigma / alpha), from which a denoiser has its
level, between the states of a grid too.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate

from diffusion_audio.diffusion.grid import Grid
from diffusion_audio.diffusion.noise import example_keys, example_noise
from diffusion_audio.diffusion.prediction import target
from diffusion_audio.diffusion.sampling import sample

KEY = jax.random.key(1)
MEAN = np.array([1.5, -0.5])
COVARIANCE = np.array([[0.5, 0.3], [0.3, 0.4]])
# A mixture in one dimension: weights, means, standard deviations.
MIXTURE = np.array([[0.3, 0.7], [-1.0, 0.8], [0.3, 0.5]])

# How alpha follows from the ratio sigma / alpha.
FRAMES = {
    "preserving": lambda ratio: 1 / np.hypot(1, ratio),  # DDPM and its kin
    "exploding": np.ones_like,  # EDM
    "flow": lambda ratio: 1 / (1 + ratio),  # rectified flow
}


def log_grid(n, frame="preserving", highest=20.0, lowest=0.05):
    """Even steps of the log-SNR, from one ratio to another."""
    ratio = np.geomspace(highest, lowest, n + 1)
    alpha = FRAMES[frame](ratio)

    def locate(ratio):
        alpha = FRAMES[frame](ratio)
        return np.log(ratio), alpha, alpha * ratio

    return Grid(np.log(ratio[:-1]), alpha, alpha * ratio, locate)


def gaussian(prediction="epsilon", frame="preserving"):
    """The optimal denoiser of data N(MEAN, COVARIANCE), [B, 2]."""

    def denoise(x, t):
        ratio = jnp.exp(t)[:, None]
        alpha = _alpha(frame, ratio)
        values, vectors = np.linalg.eigh(COVARIANCE)
        vectors = jnp.asarray(vectors, x.dtype)
        mean = jnp.asarray(MEAN, x.dtype)[None]
        gain = jnp.asarray(values, x.dtype)[None]
        gain = gain / (gain + ratio**2)
        x0 = mean + ((x / alpha - mean) @ vectors * gain) @ vectors.T
        eps = (x / alpha - x0) / ratio
        return target(prediction, x0, eps, alpha, alpha * ratio)

    return denoise


def gaussian_flow(x, start, end, frame="preserving"):
    """Where the probability flow carries x from one ratio to another, exactly."""
    values, vectors = np.linalg.eigh(COVARIANCE)
    gain = np.sqrt((values + end**2) / (values + start**2))
    y = x / FRAMES[frame](np.array(start)) - MEAN
    return FRAMES[frame](np.array(end)) * (MEAN + (y @ vectors * gain) @ vectors.T)


def mixture(frame="preserving"):
    """The optimal denoiser of MIXTURE, predicting x_0, [B, 1]."""

    def denoise(x, t):
        ratio = jnp.exp(t)[:, None]
        weight, mean, std = (jnp.asarray(row, x.dtype)[None] for row in MIXTURE)
        variance = std**2 + ratio**2
        y = x / _alpha(frame, ratio)
        logits = jnp.log(weight) - ((y - mean) ** 2 / variance + jnp.log(variance)) / 2
        share = jnp.exp(logits - logits.max(axis=1, keepdims=True))
        share = share / share.sum(axis=1, keepdims=True)
        x0 = mean + std**2 / variance * (y - mean)
        return (share * x0).sum(axis=1, keepdims=True)

    return denoise


def mixture_flow(x, start, end):
    """Where the probability flow carries x, as SciPy integrates it."""
    weight, mean, std = MIXTURE[:, :, None]

    def slope(log_ratio, y):  # of y = x / alpha, by the logarithm of the ratio
        variance = std**2 + np.exp(2 * log_ratio)
        density = weight * np.exp(-((y - mean) ** 2) / variance / 2) / np.sqrt(variance)
        x0 = mean + std**2 / variance * (y - mean)
        return y - (density * x0).sum(0) / density.sum(0)

    first, last = FRAMES["preserving"](np.array([start, end]))
    span = np.log([start, end])
    way = scipy.integrate.solve_ivp(
        slope, span, x[:, 0] / first, "DOP853", rtol=1e-11, atol=1e-11
    )
    return last * way.y[:, -1:]


def _alpha(frame, ratio):
    if frame == "preserving":
        return 1 / jnp.sqrt(1 + ratio**2)
    return jnp.ones_like(ratio) if frame == "exploding" else 1 / (1 + ratio)


def normal(seed, n, size=2):
    return example_noise(example_keys(jax.random.key(seed), jnp.arange(n)), (size,))


def walk(solver, denoise, x):
    """As ``sample``, not compiled as a whole, which for few steps takes longer."""
    state = solver.init(x)
    for i in jnp.arange(solver.evaluations):
        keys = example_keys(jax.random.fold_in(KEY, i), jnp.arange(len(x)))
        x, state = solver.step(denoise, x, state, i, keys)
    return np.asarray(x)


def run(solver, denoise, x, key=KEY):
    return np.asarray(jax.jit(lambda x: sample(solver, denoise, x, key))(x))
