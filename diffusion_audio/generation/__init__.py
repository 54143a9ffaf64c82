"""Text to audio with trained models: `load` one, call it with prompts."""

from diffusion_audio.generation.files import generate
from diffusion_audio.generation.pipeline import Pipeline, load

__all__ = ["Pipeline", "generate", "load"]
