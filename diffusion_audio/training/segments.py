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
        UserError: naming the nearest length that works.
    """
    frames = spec.frames(round(seconds * spec.sample_rate))
    if frames % cfg.factor:
        fitting = max(round(frames / cfg.factor), 1) * cfg.factor
        name = "VAE takes" if isinstance(cfg, VAEConfig) else "patches take"
        raise UserError(
            f"config.data.seconds is a segment of {frames} mel frames, but the {name} "
            f"multiples of {cfg.factor}; set it to "
            f"{spec.samples(fitting) / spec.sample_rate:.8g}"
        )
