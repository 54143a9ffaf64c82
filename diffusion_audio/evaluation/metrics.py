"""Metrics on waveforms: one number a clip, no network and no file.

Every function takes waveforms [B, N] and gives [B], so that intervals can be made
over clips. Clips of unequal length are measured one by one: padding would count.
"""

import itertools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array
from diffusion_audio.audio.mel import hann_window, log_mel, stft_magnitude
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.audio.stft_distance import require_pairs

LSD_EPS = 1e-12
BANDS = (0.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0)  # Hz, edges


def mel_l1(spec: AudioSpec, ref: Array, est: Array) -> Array:
    """Mean absolute difference of log-mels, in the spec's logarithm.

    With the spec of a HiFi-GAN this is the validation error it reports.

    Args:
        spec: of the mel spectrograms.
        ref: [B, N] reference waveforms.
        est: [B, N] waveforms to compare.

    Returns:
        [B], 0 for equal spectrograms.
    """
    require_pairs(ref, est)
    return jnp.abs(log_mel(spec, ref) - log_mel(spec, est)).mean((1, 2))


def log_spectral_distance(ref: Array, est: Array, sample_rate: int) -> np.ndarray:
    """Log-spectral distance (LSD) as ssr_eval defines it: frames of 46 ms every 10 ms.

    ``mean_t sqrt(mean_f log10(|R|^2 / (|E| + eps)^2 + eps)^2)`` with eps 1e-12, in
    float64: with so small an eps, float32 would measure its own rounding in the
    empty parts of a clean spectrum. Not symmetric, and ruled by frames of digital
    silence in one of the two.

    Args:
        ref: [B, N] reference waveforms.
        est: [B, N] waveforms to compare.
        sample_rate: Hz.

    Returns:
        [B], in units of log10 of power (1 is 10 dB).
    """
    require_pairs(ref, est)
    n_fft, hop = int(2048 / (44100 / sample_rate)), int(sample_rate / 100)

    def magnitude(wave: Array) -> np.ndarray:
        sides = ((0, 0), (n_fft // 2, n_fft // 2))
        padded = np.pad(np.asarray(wave, np.float64), sides, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, 1)[:, ::hop]
        return np.abs(np.fft.rfft(frames * hann_window(n_fft, n_fft)))

    ratio = np.square(magnitude(ref)) / np.square(magnitude(est) + LSD_EPS)
    squares = np.square(np.log10(ratio + LSD_EPS))
    return np.sqrt(squares.mean(-1)).mean(-1)


def band_errors(ref: Array, est: Array, sample_rate: int) -> np.ndarray:
    """Log-spectral error by band: where in the spectrum two sounds differ.

    Mean over frames of 46 ms and bins of ``|20 log10 ((|E| + floor) / (|R| + floor))|``
    with a periodic Hann window and a floor 80 dB below a full-scale sine. Lines that a
    vocoder adds at multiples of its frame rate show in the upper bands.

    Args:
        ref: [B, N] reference waveforms.
        est: [B, N] waveforms to compare.
        sample_rate: Hz.

    Returns:
        [B, bands] in dB, of ``BANDS`` up to half the rate.
    """
    require_pairs(ref, est)
    n_fft = int(2048 / (44100 / sample_rate))
    real, made = (
        np.asarray(
            stft_magnitude(jnp.asarray(x), n_fft, n_fft // 4, n_fft, pad=n_fft // 2)
        )
        for x in (ref, est)
    )  # [B, T, F]
    floor = 1e-4 * n_fft / 4  # the peak of a full-scale sine under a Hann window
    error = np.abs(20 * np.log10((made + floor) / (real + floor)))
    hertz = np.arange(error.shape[-1]) * sample_rate / n_fft
    edges = [edge for edge in BANDS if edge < sample_rate / 2] + [sample_rate / 2]
    return np.stack(
        [
            error[:, :, (hertz >= low) & (hertz < high)].mean((1, 2))
            for low, high in itertools.pairwise(edges)
        ],
        axis=1,
    )


def si_sdr(ref: Array, est: Array) -> Array:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al., 2019), zero-mean.

    An alarm for flipped signs and shifts. It follows phases, so a good vocoder may
    stay below 0 dB: do not rank with it.

    Args:
        ref: [B, N] reference waveforms.
        est: [B, N] waveforms to compare.

    Returns:
        [B] in dB; beyond 100 for a scaled copy, NaN for a silent reference.
    """
    require_pairs(ref, est)
    ref = ref - ref.mean(1, keepdims=True)
    est = est - est.mean(1, keepdims=True)
    scale = (ref * est).sum(1, keepdims=True) / jnp.square(ref).sum(1, keepdims=True)
    target = scale * ref
    noise = est - target
    return 10 * jnp.log10(jnp.square(target).sum(1) / jnp.square(noise).sum(1))


class Health(NamedTuple):
    """What shows that a clip is broken, whatever it should sound like; each [B].

    Attributes:
        finite: whether no sample is NaN or infinite.
        peak: largest magnitude, full scale 1.
        clipped: share of samples at full scale or beyond.
        level: root mean square, dB re full scale; -inf for digital silence.
        dc: mean.
    """

    finite: Array
    peak: Array
    clipped: Array
    level: Array
    dc: Array

    def faults(self) -> list[tuple[str, ...]]:
        """The faults of each clip, by name; an empty tuple for a sound one.

        ``"non-finite"``; ``"silent"`` below -60 dB; ``"clipped"`` with more than one
        sample in a thousand at full scale; ``"dc"`` for a mean beyond 0.01.
        """
        tests = {
            "non-finite": ~self.finite,
            "silent": self.level < -60,
            "clipped": self.clipped > 1e-3,
            "dc": jnp.abs(self.dc) > 0.01,
        }
        clips = range(len(self.finite))
        return [tuple(name for name in tests if tests[name][i]) for i in clips]


def health(wave: Array) -> Health:
    """Peak, clipping, silence and offset of waveforms [B, N]."""
    magnitude = jnp.abs(wave)
    return Health(
        finite=jnp.isfinite(wave).all(1),
        peak=magnitude.max(1),
        clipped=(magnitude >= 0.999).mean(1),
        level=10 * jnp.log10(jnp.square(wave).mean(1)),
        dc=wave.mean(1),
    )
