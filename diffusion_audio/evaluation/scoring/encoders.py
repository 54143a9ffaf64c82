"""A metric network with its weights, as scoring takes it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.generation.batches import in_batches, joined
from diffusion_audio.models.roberta import build_clap_text
from diffusion_audio.pretrained import metric_catalog
from diffusion_audio.pretrained.clap_text_file import read_clap_text
from diffusion_audio.systems.audio_encoders import AudioEncoder
from diffusion_audio.systems.metric_network import read_encoder
from diffusion_audio.systems.published_tokens import encode


class OpenEncoder(NamedTuple):
    """A network that is ready to hear.

    Attributes:
        encoder: of the table.
        params: its weights.
        weights: hash of the published file, which tells the network and its settings.
        text: float [n, D] of texts, in the space of its embeddings; None where it takes
            none.
    """

    encoder: AudioEncoder
    params: Params
    weights: str
    text: Callable[[Sequence[str]], np.ndarray] | None = None


Open = Callable[[str], OpenEncoder]
"""Finds a network by the name that a protocol has for it."""


def opener(weights: Mapping[str, str]) -> Open:
    """Finds networks in the catalog, or where they are said to be.

    Args:
        weights: published files or converted folders, by the networks' names.
    """

    def open_encoder(name: str) -> OpenEncoder:
        place = weights.get(name, name)
        read = read_encoder(place, name)
        text = partial(_text, place)
        return OpenEncoder(read.encoder, read.params, read.weights_hash, text)

    return open_encoder


def _text(place: str, texts: Sequence[str]) -> np.ndarray:
    """Embeddings [n, D] of texts by a CLAP that is published at a place."""
    path = Path(place).expanduser()
    if not path.exists():
        network = metric_catalog.find(place)
        path = metric_catalog.locate(network, metric_catalog.FOLDER)[0]
    clap = read_clap_text(path)
    tower = jax.jit(build_clap_text(clap.config).apply)
    arrays = encode("clap", clap.tokenizer, texts)

    def embed(tokens: Any, mask: Any) -> Any:
        return tower(clap.params, tokens, mask)

    batches = in_batches(embed, arrays["clap_tokens"], arrays["clap_mask"])
    found: np.ndarray = joined(batches)
    return found
