"""Activations by the names that published configs give them."""

from collections.abc import Callable

import jax

from diffusion_audio.aliases import Array


def gelu(x: Array) -> Array:
    """The exact GELU (Hendrycks and Gimpel 2016, section 2)."""
    return jax.nn.gelu(x, approximate=False)


def gelu_new(x: Array) -> Array:
    """The GELU by tanh of the same section; BERT's, GPT-2's and T5 1.1's."""
    return jax.nn.gelu(x, approximate=True)


def quick_gelu(x: Array) -> Array:
    """The GELU by a sigmoid of the same section; CLIP's."""
    return x * jax.nn.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "gelu": gelu,
    "gelu_new": gelu_new,
    "quick_gelu": quick_gelu,
}
