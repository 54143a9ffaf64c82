"""The published weights of PANNs' Cnn14, by the names of their code.

A file has the front end's constants beside the network: the Fourier transform as two
convolutions, and the mel bands. They are not taken, but must be those of the front end
that the network is given.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.audio.mel import hann_window
from diffusion_audio.audio.panns_mel import PannsMel
from diffusion_audio.errors import UserError
from diffusion_audio.models.cnn14 import Cnn14Config, build_cnn14
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained.find import Found, find
from diffusion_audio.pretrained.kinds import BATCH_NORM, CONV, DENSE
from diffusion_audio.pretrained.rules import (
    Arrays,
    Layer,
    export_params,
    file_names,
    import_params,
)

TRANSFORM = "spectrogram_extractor.stft.conv_{}.weight"
BANDS = "logmel_extractor.melW"
COUNT = "num_batches_tracked"
CLOSE = 1e-5  # of the largest value: their constants were made in float32


def table(cfg: Cnn14Config) -> Iterator[Layer]:
    """The layers of a network."""
    yield Layer("norm_in", "bn0", BATCH_NORM)
    for i in range(len(cfg.widths)):
        for j in (1, 2):
            ours, theirs = f"blocks/{i}", f"conv_block{i + 1}"
            yield Layer(f"{ours}/conv{j}", f"{theirs}.conv{j}", CONV)
            yield Layer(f"{ours}/norm{j}", f"{theirs}.bn{j}", BATCH_NORM)
    yield Layer("embed", "fc1", DENSE)
    yield Layer("classify", "fc_audioset", DENSE)


def find_cnn14(
    cfg: Cnn14Config,
    mel: PannsMel,
    source: Mapping[str, np.ndarray],
    whose: str,
    take: str | None = None,
) -> Found[Params]:
    """The network among all arrays of a file; see `find`.

    Raises:
        UserError: none or several of this config are in it, or its front end is
            another.
    """
    like = abstract_params(build_cnn14(cfg))
    layers = list(table(cfg))
    constants = front_end(mel)

    def fit(arrays: Arrays, where: str) -> Params:
        named = {}
        for name, array in arrays.items():
            if name in constants:
                _require_same(name, array, constants[name], where)
            elif not name.endswith(f".{COUNT}"):
                named[name] = array
        return import_params(layers, named, like, where)

    names = file_names(layers, like) | constants.keys()
    return find(source, names, fit, whose, take)


def export_cnn14(cfg: Cnn14Config, mel: PannsMel, params: Params) -> Arrays:
    """All arrays that a published file has."""
    arrays = export_params(table(cfg), params)
    counts = [name for name in arrays if name.endswith("running_mean")]
    for name in counts:
        stem = name.removesuffix("running_mean")
        arrays[f"{stem}{COUNT}"] = np.zeros((), np.int64)
    return arrays | front_end(mel)


def front_end(mel: PannsMel) -> Arrays:
    """The front end's constants as a file has them, float32."""
    turns = np.outer(np.arange(mel.n_fft // 2 + 1), np.arange(mel.n_fft)) % mel.n_fft
    window = hann_window(mel.n_fft, mel.n_fft)
    waves = window * np.exp(-2j * np.pi / mel.n_fft * turns)
    return {
        TRANSFORM.format("real"): waves.real[:, None].astype(np.float32),
        TRANSFORM.format("imag"): waves.imag[:, None].astype(np.float32),
        BANDS: np.ascontiguousarray(mel.bands.T, np.float32),
    }


def _require_same(name: str, array: np.ndarray, ours: np.ndarray, where: str) -> None:
    same = array.shape == ours.shape and np.allclose(
        array, ours, rtol=0, atol=CLOSE * np.abs(ours).max()
    )
    if not same:
        raise UserError(
            f"{where} has {name} of another front end than {list(ours.shape)} as here; "
            "is it of another sample rate, or does its network take other bands?"
        )
