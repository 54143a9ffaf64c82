"""Vocoders: waveforms of log-mels."""

from collections.abc import Callable
from typing import NamedTuple

from diffusion_audio.aliases import Params
from diffusion_audio.nn.functional import Network
from diffusion_audio.systems.table import Entry, Table, of_module


def same(params: Params) -> Params:
    """The parameters as they are."""
    return params


def as_saved(saved: Params, fresh: Params) -> Params:
    """The saved parameters as they are, whatever fresh ones are like."""
    del fresh
    return saved


class Vocoder(NamedTuple):
    """A vocoder.

    Attributes:
        network: as it is trained: ``apply(params, mel [B, T, F]) -> [B, T * hop]``.
        inference: the same function as it is used, such as without weight norm.
        n_mels: F, bands that it takes.
        hop_length: samples that it makes of a frame.
        margin: mel frames to either side that a sample depends on, at most.
        to_inference: parameters of ``network`` to those of ``inference``; these stay.
        to_training: ``to_training(used, fresh)``: those of ``inference`` to train on,
            in the form of fresh ones.
    """

    network: Network
    inference: Network
    n_mels: int
    hop_length: int
    margin: int
    to_inference: Callable[[Params], Params] = same
    to_training: Callable[[Params, Params], Params] = as_saved


TABLE: Table[Entry[Vocoder]] = Table("vocoder", __name__, of_module)
