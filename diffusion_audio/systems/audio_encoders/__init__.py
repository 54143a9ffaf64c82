"""Audio encoders: embeddings and logits of waves, which sets of sounds are judged by.

Frozen networks of others, each with its own front end from the wave on.
"""

from collections.abc import Callable
from typing import NamedTuple

from diffusion_audio.aliases import Array, Params
from diffusion_audio.nn.functional import Network
from diffusion_audio.systems.table import Entry, Table, of_module


class Encoded(NamedTuple):
    """What an encoder makes of sounds.

    Attributes:
        embedding: float32 [B, E, D], E vectors a clip.
        logits: float32 [B, E, K] of K classes; None where there are none.
    """

    embedding: Array
    logits: Array | None


class AudioEncoder(NamedTuple):
    """An audio encoder.

    Attributes:
        network: behind the front end; its parameters are a nested dict.
        sample_rate: Hz, of the waves.
        width: D of an embedding.
        classes: K of the logits; None where there are none.
        window: samples that one application sees; None for any number.
        encode: ``encode(params, waves [B, N] float32) -> Encoded``: pure, and for a
            fixed N it can be jitted. Which windows it takes depends on N alone.
        hop: samples from each window to the next, where those of a longer wave follow
            each other from its start on; None where they are spread over it.
        least: the fewest samples of a wave.
        encode_filled: ``encode_filled(params, waves [B, N], samples int32 [B])``, as
            `encode` of the first samples of each wave, ``least`` or more: so that clips
            of many lengths are one program. None where there are windows.
    """

    network: Network
    sample_rate: int
    width: int
    classes: int | None
    window: int | None
    encode: Callable[[Params, Array], Encoded]
    hop: int | None = None
    least: int = 1
    encode_filled: Callable[[Params, Array, Array], Encoded] | None = None


TABLE: Table[Entry[AudioEncoder]] = Table("audio encoder", __name__, of_module)
