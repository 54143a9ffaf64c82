"""Makes the figures of docs/mathematics.md: ``python docs/make_figures.py``.

They show schedules, weightings, and a clip that is noised and denoised.
"""

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffusion_audio.aliases import Array
from diffusion_audio.audio.mel import log_mel
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.data.tones import plan, synthesize
from diffusion_audio.diffusion.families import FAMILIES
from diffusion_audio.diffusion.prediction import to_x0_eps
from diffusion_audio.diffusion.process import Process, make_process, q_sample
from diffusion_audio.diffusion.weighting import WEIGHTINGS, loss_weight, make_weighting

PROCESSES: dict[str, dict[str, Any]] = {name: {"name": name} for name in FAMILIES} | {
    "cosine, shift 4": {"name": "cosine", "shift": 4.0},
    "scaled_linear, zero SNR": {"name": "scaled_linear", "zero_terminal_snr": True},
    "rectified_flow": {"name": "rectified_flow"},
}


def schedules() -> Figure:
    """Signal, noise and log SNR over the way from data to noise, for each process."""
    figure = Figure(figsize=(9, 3), layout="constrained", dpi=100)
    panels = figure.subplots(1, 3)
    u = jnp.linspace(0.0, 0.999, 300)
    for name, options in PROCESSES.items():
        process = make_process(**options)
        t = process.time(u)
        panels[0].plot(u, process.alpha(t), label=name)
        panels[1].plot(u, process.sigma(t), label=name)
        panels[2].plot(u, np.clip(process.log_snr(t), -16, 16), label=name)
    titles = ("alpha: signal", "sigma: noise", "log SNR")
    for panel, title in zip(panels, titles, strict=True):
        _label(panel, title, "share of the way to noise")
    panels[2].legend(fontsize=6)
    return figure


def weightings() -> Figure:
    """The weight on the squared error of eps against log SNR, for each weighting."""
    figure = Figure(figsize=(4.5, 3), layout="constrained", dpi=100)
    panel = figure.subplots()
    log_snr = np.linspace(-10, 10, 300)
    process = make_process("linear")
    alpha, sigma = (jnp.asarray(a, jnp.float32) for a in process.levels(log_snr))
    for name in WEIGHTINGS:
        weight = loss_weight(make_weighting(name), "epsilon", alpha, sigma)
        panel.semilogy(log_snr, weight, label=name)
    panel.set_ylim(1e-4, 1e4)
    _label(panel, "weight on the error of eps", "log SNR")
    panel.legend(fontsize=6)
    return figure


def clip(count: int = 48, steps: int = 50) -> Figure:
    """A clip of the embedded set noised, and noise turned into a clip.

    The way back uses no network but the best denoiser there is for ``count`` clips,
    which is known in closed form; so it ends at one of them.

    Args:
        count: clips that make the distribution.
        steps: of the way back.
    """
    process = make_process("cosine")
    clips = _log_mels(count)
    shares = jnp.array([0.0, 0.25, 0.5, 0.75, 0.999])
    noise = jax.random.normal(jax.random.key(0), clips.shape[1:])
    # [5, T, F]: one clip at five times
    same = jnp.broadcast_to(clips[:1], (len(shares), *clips.shape[1:]))
    eps = jnp.broadcast_to(noise[None], same.shape)
    noised = q_sample(process, same, process.time(shares), eps)
    start = jax.random.normal(jax.random.key(4), clips.shape[1:])
    path = denoised(process, clips, start, steps)
    shown = path[jnp.linspace(0, steps, len(shares)).round().astype(int)]

    figure = Figure(figsize=(9, 3.2), layout="constrained", dpi=60)
    rows = figure.subplots(2, len(shares))
    for panels, mels, word in zip(
        rows, (noised, shown), ("noised", "denoised"), strict=True
    ):
        for panel, mel in zip(panels, mels, strict=True):
            panel.imshow(np.asarray(mel).T, origin="lower", aspect="auto")
            panel.set_xticks([])
            panel.set_yticks([])
        panels[0].set_ylabel(word)
    for panel, share in zip(rows[0], shares, strict=True):
        panel.set_title(f"{100 * float(share):.0f} % of the way", fontsize=8)
    return figure


def denoised(process: Process, clips: Array, x: Array, steps: int) -> Array:
    """States [steps + 1, ...] on the way from noise to one of some clips, by DDIM.

    Args:
        process: whose way is walked back.
        clips: the whole distribution, [B, ...].
        x: where to start, shaped like a clip.
        steps: of the way.
    """
    path = [x]
    shares = jnp.linspace(0.999, 0.0, steps + 1)
    for now, after in itertools.pairwise(shares):
        t, following = process.time(now), process.time(after)
        alpha, sigma = process.alpha(t), process.sigma(t)
        gaps = jnp.square(x[None] - alpha * clips).reshape(len(clips), -1).sum(axis=1)
        weights = jax.nn.softmax(-gaps / (2 * jnp.square(sigma)))
        x0, eps = to_x0_eps("x0", jnp.tensordot(weights, clips, 1), x, alpha, sigma)
        x = process.alpha(following) * x0 + process.sigma(following) * eps
        path.append(x)
    return jnp.stack(path)


def _log_mels(count: int) -> Array:
    """Log-mels of clips, of mean 0 and scale 1 over all, [count, T, F]."""
    spec = AudioSpec.from_config({"preset": "tones_16k"})
    waves = [synthesize(clip.attributes, clip.seed) for clip in plan("train")[:count]]
    mels = log_mel(spec, jnp.asarray(np.stack(waves), jnp.float32))
    return (mels - mels.mean()) / mels.std()


def _label(panel: Axes, title: str, x: str) -> None:
    panel.set_title(title, fontsize=9)
    panel.set_xlabel(x, fontsize=8)
    panel.tick_params(labelsize=7)


FIGURES = {f.__name__: f for f in (schedules, weightings, clip)}

if __name__ == "__main__":
    for name, make in FIGURES.items():
        make().savefig(Path(__file__).parent / "figures" / f"{name}.png")
