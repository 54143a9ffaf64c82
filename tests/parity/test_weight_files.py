"""Published formats written by PyTorch and transformers themselves, then read by us."""

import json

import numpy as np
import pytest

from diffusion_audio.generation.convert import convert
from diffusion_audio.models.discriminators import MPDConfig, MSDConfig
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.pretrained import folder, hifigan, isolated, published
from tests.parity.hifigan_torch import (
    GeneratorV3,
    Period,
    Scale,
    assert_close,
    layer,
    layers,
    randomize,
)

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
nn = torch.nn

MEL = np.random.default_rng(0).normal(size=(2, 7, 64)).astype(np.float32)


def heard(source, audio):
    found = published.read(source, audio)
    cfg = HiFiGANConfig(**found.config["generator"])
    return build_hifigan(cfg).apply(found.params["generator"], MEL), cfg


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize("safe", [True, False])
def test_a_folder_of_speecht5_hifigan(tmp_path, weight_norm, safe):
    torch.manual_seed(0)
    model = transformers.SpeechT5HifiGan(
        transformers.SpeechT5HifiGanConfig(
            model_in_dim=64,
            sampling_rate=16000,
            upsample_initial_channel=32,
            upsample_rates=[5, 4, 2, 2, 2],
            upsample_kernel_sizes=[16, 16, 8, 4, 4],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1, 3]],
            normalize_before=False,
        )
    ).eval()
    if weight_norm:
        model.apply_weight_norm()
    randomize(model)
    if safe:
        model.save_pretrained(tmp_path)
    else:
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "config.json").write_text(model.config.to_json_string())
    ours, cfg = heard(tmp_path, "audioldm_16k")
    assert cfg.weight_norm == weight_norm
    with torch.no_grad():
        theirs = model(torch.from_numpy(MEL))
    assert_close(ours, theirs[:, : ours.shape[1]])


CONFIG = {
    "resblock": "2",
    "num_mels": 64,
    "upsample_initial_channel": 16,
    "upsample_rates": [8, 5, 4],
    "upsample_kernel_sizes": [16, 11, 8],
    "resblock_kernel_sizes": [3, 5],
    "resblock_dilation_sizes": [[1, 2], [2, 6]],
    "sampling_rate": 16000,
    "n_fft": 1024,
    "win_size": 1024,
    "hop_size": 160,
    "fmin": 0,
    "fmax": 8000,
    "segment_size": 8000,
}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", ["g_02500000", "vocoder.pt"])
def test_original_files(tmp_path, old, name):
    """And the safetensors that we write, which PyTorch loads back."""
    torch.manual_seed(0)
    shape = hifigan.generator_config(CONFIG, "config.json")
    model = GeneratorV3(shape, nn.utils.weight_norm)
    randomize(model)
    how = {"_use_new_zipfile_serialization": not old}
    torch.save({"generator": model.state_dict()}, tmp_path / name, **how)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    ours, _ = heard(tmp_path, None)
    with torch.no_grad():
        theirs = model(torch.from_numpy(MEL).mT)
    assert_close(ours, theirs[:, : ours.shape[1]])
    convert(tmp_path, tmp_path / "out")
    back = isolated.read(tmp_path / "out" / folder.GENERATOR)
    again = GeneratorV3(shape, nn.utils.weight_norm)
    again.load_state_dict({k: torch.from_numpy(v) for k, v in back.items()})
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])


class Many(nn.Module):
    def __init__(self, parts):
        super().__init__()
        self.discriminators = nn.ModuleList(parts)


def test_original_discriminators_with_their_optimisers(tmp_path):
    torch.manual_seed(0)
    mpd = {"periods": (2, 3), "channels": (4, 8)}
    msd = {
        "scales": 2,
        "channels": (4, 8),
        "kernels": (5, 9),
        "strides": (1, 2),
        "groups": (1, 2),
    }
    norms = [nn.utils.spectral_norm, nn.utils.weight_norm]
    models = {
        "mpd": Many(Period(p, mpd["channels"]) for p in MPDConfig(**mpd).periods),
        "msd": Many(Scale(MSDConfig(**msd), norm) for norm in norms),
    }
    optimizer = torch.optim.AdamW(
        [p for model in models.values() for p in model.parameters()]
    )
    wave = torch.randn(1, 64)
    sum(d(wave)[-1].mean() for d in models["mpd"].discriminators).backward()
    optimizer.step()
    saved = {name: model.state_dict() for name, model in models.items()}
    saved |= {"optim_g": optimizer.state_dict(), "optim_d": optimizer.state_dict()}
    torch.save(saved | {"steps": 25, "epoch": 1}, tmp_path / "do_00000025")
    arrays = isolated.read(tmp_path / "do_00000025")
    params = hifigan.import_discriminators({"mpd": mpd, "msd": msd}, arrays, "do")
    for kind, model in models.items():
        for i, part in enumerate(model.discriminators):
            expected = {
                "convs": layers(part.convs),
                "conv_post": layer(part.conv_post),
            }
            np.testing.assert_equal(params[kind]["parts"][str(i)], expected)
    back = hifigan.export_discriminators(params)
    for kind, model in models.items():
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(back[f"{kind}.{name}"], value.numpy())
