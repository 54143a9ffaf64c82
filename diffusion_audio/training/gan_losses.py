"""Losses of adversarial vocoder training (Kong et al. 2020, section 2.4).

All sums over sub-discriminators are plain sums, as in the reference code: with twice
as many discriminators the adversarial terms weigh twice as much.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import jax.numpy as jnp

from diffusion_audio.aliases import Array
from diffusion_audio.audio.mel import (
    REFERENCE_FLOOR,
    log_mel,
    mel_triangles,
    stft_magnitude,
)
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.models.discriminators import DiscriminatorOutput

TINY = 1e-7
MEL_WINDOWS = tuple(2**power for power in range(5, 12))


def discriminator_loss(
    real: Sequence[DiscriminatorOutput], fake: Sequence[DiscriminatorOutput]
) -> Array:
    """LSGAN for the discriminators: real to 1, fake to 0 (equation 1)."""
    return _total(
        jnp.mean(jnp.square(1.0 - r.logits.astype(jnp.float32)))
        + jnp.mean(jnp.square(f.logits.astype(jnp.float32)))
        for r, f in zip(real, fake, strict=True)
    )


def adversarial_loss(fake: Sequence[DiscriminatorOutput]) -> Array:
    """LSGAN for the generator: fake to 1 (equation 2)."""
    return _total(
        jnp.mean(jnp.square(1.0 - f.logits.astype(jnp.float32))) for f in fake
    )


def feature_loss(
    real: Sequence[DiscriminatorOutput], fake: Sequence[DiscriminatorOutput]
) -> Array:
    """Mean absolute difference of each layer's output, summed (equation 4)."""
    return _total(
        jnp.mean(jnp.abs(a.astype(jnp.float32) - b.astype(jnp.float32)))
        for r, f in zip(real, fake, strict=True)
        for a, b in zip(r.features, f.features, strict=True)
    )


def mel_loss(spec: AudioSpec, real: Array, fake: Array) -> Array:
    """Mean absolute difference of the log-mels of waveforms [B, N] (equation 3)."""
    return jnp.mean(jnp.abs(log_mel(spec, real) - log_mel(spec, fake)))


def soft_mel_loss(spec: AudioSpec, real: Array, fake: Array) -> Array:
    """Mean squared difference of ``ln(mel + floor)`` of waveforms [B, N].

    The floor is added where `mel_loss` clamps, so a waveform that fell silent is still
    told where to sound, and what is far below the floor does not count. The mels are
    those of the input, so what lies above its ``fmax`` does not count either.
    """
    clear = dataclasses.replace(spec, log="ln", floor=TINY)

    def spectrogram(wave: Array) -> Array:
        return jnp.log(jnp.exp(log_mel(clear, wave)) + spec.floor)

    return jnp.mean(jnp.square(spectrogram(real) - spectrogram(fake)))


def multiscale_mel_loss(sample_rate: int, real: Array, fake: Array) -> Array:
    """`mel_loss` at seven resolutions, summed: DAC (Kumar et al. 2023), section 3.5.

    From 5 bands of windows of 32 samples, which place a click, to 320 bands of 2048,
    which tell tones apart. The small ones have a band or two that no bin falls into;
    those are equal in both waveforms, whatever they are.
    """

    def spectrogram(spec: AudioSpec, wave: Array) -> Array:
        magnitude = stft_magnitude(
            wave, spec.n_fft, spec.hop_length, spec.win_length, pad=spec.pad
        )
        bands = jnp.asarray(mel_triangles(spec).T, magnitude.dtype)
        mel = jnp.matmul(magnitude, bands, precision="highest")
        return jnp.log10(jnp.maximum(mel, spec.floor))

    return _total(
        jnp.mean(jnp.abs(spectrogram(spec, real) - spectrogram(spec, fake)))
        for spec in mel_scales(sample_rate)
    )


def mel_scales(sample_rate: int) -> list[AudioSpec]:
    """The resolutions of `multiscale_mel_loss`."""
    return [
        AudioSpec(
            sample_rate=sample_rate,
            n_fft=window,
            win_length=window,
            hop_length=window // 4,
            n_mels=window * 5 // 32,
            log="log10",
            floor=REFERENCE_FLOOR,
            framing="centre",
        )
        for window in MEL_WINDOWS
    ]


def _total(terms: Iterable[Array]) -> Array:
    return sum(terms, jnp.zeros((), jnp.float32))
