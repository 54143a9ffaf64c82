"""Networks that metrics are measured with, on both sides; see `benchmarks.components`.

PyTorch's are their definitions, written out in `tests.parity.metric_torch`. Those that
end in ``_wave`` take waves: their front ends compute in float64 on both sides.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.kind import Inputs, Kind, Sizes, normal
from diffusion_audio.audio.panns_mel import PannsMel
from diffusion_audio.audio.passt_mel import PasstMel
from diffusion_audio.models.cnn14 import Cnn14Config, build_cnn14
from diffusion_audio.models.passt import PasstConfig, build_passt
from diffusion_audio.models.vggish import VGGishConfig, build_vggish
from diffusion_audio.nn.functional import Network
from diffusion_audio.pretrained.cnn14 import find_cnn14
from diffusion_audio.pretrained.passt import find_passt
from diffusion_audio.pretrained.vggish import find_vggish
from diffusion_audio.settings import of_group
from diffusion_audio.systems.audio_encoders import TABLE


def _mels(cfg: Any, sizes: Sizes, rng: np.random.Generator) -> Inputs:
    return {"mel": normal(rng, sizes["batch"], sizes["frames"], cfg.n_mels)}


def _settings(cfg: Any) -> tuple[Any, ...]:
    """All of a config but its compute type, which comes last."""
    return dataclasses.astuple(cfg)[:-1]


def _cnn14_model(cfg: Cnn14Config) -> Any:
    from tests.parity import metric_torch

    return metric_torch.Cnn14(*_settings(cfg))


def _cnn14_read(cfg: Cnn14Config, mel: PannsMel, arrays: Mapping[str, Any]) -> Any:
    return find_cnn14(cfg, mel, arrays, "it").model


def _vggish_model(cfg: VGGishConfig) -> Any:
    from tests.parity import metric_torch

    sizes = cfg.stages, cfg.frames, cfg.n_mels, cfg.hidden, cfg.embedding
    return metric_torch.VGGish(*sizes, cfg.activation)


def _passt_model(cfg: PasstConfig) -> Any:
    from tests.parity import metric_torch

    return metric_torch.Passt(*_settings(cfg))


def _network(build: Any, model: Any, read: Any) -> Kind:
    """A network alone, from mels."""
    return Kind(
        build,
        _mels,
        lambda network, params, inputs: network.apply(params, inputs["mel"]),
        model,
        lambda model, inputs: model(inputs["mel"]),
        read,
    )


def _wave(
    name: str,
    shape: type,
    mel: type,
    alone: Callable[[Any], Any],
    shown: str,
    read: Callable[[Any, Any, Mapping[str, Any]], Any],
) -> Kind:
    """A whole encoder of our table, from waves.

    Args:
        name: of its entry.
        shape: config of its network.
        mel: config of its front end.
        alone: PyTorch's network of a ``shape``.
        shown: name of PyTorch's front end.
        read: parameters of a ``shape``, a ``mel`` and PyTorch's arrays.
    """

    def configs(cfg: Any) -> tuple[Any, Any]:
        return of_group(shape, cfg.network, name), of_group(mel, cfg.mel, name)

    def build(cfg: Any) -> Network:
        encoder = TABLE[name].build(cfg)
        return encoder.network._replace(apply=encoder.encode)

    def inputs(cfg: Any, sizes: Sizes, rng: np.random.Generator) -> Inputs:
        del cfg
        return {"waves": 0.1 * normal(rng, sizes["batch"], sizes["samples"])}

    def model(cfg: Any) -> Any:
        found = alone(configs(cfg)[0])
        found.mel = dataclasses.astuple(configs(cfg)[1])
        return found

    def theirs(model: Any, inputs: Any) -> Any:
        from tests.parity import metric_torch

        mel = getattr(metric_torch, shown)(inputs["waves"], *model.mel)
        return model(mel.float())

    return Kind(
        build,
        inputs,
        lambda network, params, x: tuple(
            found[:, 0] for found in network.apply(params, x["waves"])
        ),
        model,
        theirs,
        lambda cfg, arrays: read(*configs(cfg), arrays),
        half=False,  # no Fourier transform there
    )


def _passt_read(cfg: PasstConfig, mel: PasstMel, arrays: Mapping[str, Any]) -> Any:
    del mel
    return find_passt(cfg, arrays, "it").model


ENCODER_KINDS = {
    "cnn14": _network(
        build_cnn14,
        _cnn14_model,
        lambda cfg, arrays: _cnn14_read(cfg, PannsMel(n_mels=cfg.n_mels), arrays),
    ),
    "vggish": _network(
        build_vggish,
        _vggish_model,
        lambda cfg, arrays: find_vggish(cfg, arrays, "it").model,
    ),
    "passt": _network(
        build_passt,
        _passt_model,
        lambda cfg, arrays: find_passt(cfg, arrays, "it").model,
    ),
    "cnn14_wave": _wave(
        "cnn14", Cnn14Config, PannsMel, _cnn14_model, "decibels", _cnn14_read
    ),
    "passt_wave": _wave(
        "passt", PasstConfig, PasstMel, _passt_model, "passt_mels", _passt_read
    ),
}
