"""What the length of a training segment must fit, checked before anything compiles."""

from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.models.patches import PatchesConfig
from diffusion_audio.models.vae import VAEConfig


def check_latents(
    spec: AudioSpec, cfg: VAEConfig | PatchesConfig, seconds: float
) -> None:
    """Refuses segments that a VAE, or patches, cannot make smaller by its factor.

    Raises:
        UserError: naming the nearest length that works; also if a VAE cannot make
            the mel bands smaller.
    """
    if isinstance(cfg, VAEConfig) and spec.n_mels % cfg.factor:
        raise UserError(
            f"the audio spec has {spec.n_mels} mel bands, but the VAE takes multiples "
            f"of {cfg.factor}; set config.audio.n_mels or config.audio.preset to such"
        )
    frames = spec.frames(round(seconds * spec.sample_rate))
    if frames % cfg.factor:
        fitting = max(round(frames / cfg.factor), 1) * cfg.factor
        name = "VAE takes" if isinstance(cfg, VAEConfig) else "patches take"
        raise UserError(
            f"config.data.seconds is a segment of {frames} mel frames, but the {name} "
            f"multiples of {cfg.factor}; set it to "
            f"{spec.samples(fitting) / spec.sample_rate:.8g}"
        )
