"""Latent audio diffusion in JAX: train, compare and reproduce text-to-audio models."""

__version__ = "0.1.0"
