"""Text to audio with trained models: `load` one, call it with prompts."""

from diffusion_audio.generation.files import generate
from diffusion_audio.generation.load import load
from diffusion_audio.generation.pipeline import Pipeline

__all__ = ["Pipeline", "generate", "load"]
