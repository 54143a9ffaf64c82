"""Published formats written by PyTorch and transformers themselves, then read by us."""

import argparse
import collections
import json

import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.generation.convert import convert
from diffusion_audio.models.discriminators import MPDConfig, MSDConfig
from diffusion_audio.models.hifigan import build_hifigan
from diffusion_audio.pretrained import (
    folder,
    hifigan,
    hifigan_config,
    isolated,
    published,
    torch_file,
)
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
safetensors_torch = pytest.importorskip("safetensors.torch")
nn = torch.nn

MEL = np.random.default_rng(0).normal(size=(2, 7, 64)).astype(np.float32)


def heard(source, audio, **how):
    found = published.read(source, audio, **how)
    cfg = folder.generator_config(found.config)
    return build_hifigan(cfg).apply(found.params["vocoder"], MEL), cfg


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
    shape = hifigan_config.generator_config(CONFIG, "config.json", "end")
    model = GeneratorV3(shape, nn.utils.weight_norm)
    randomize(model)
    how = {"_use_new_zipfile_serialization": not old}
    torch.save({"generator": model.state_dict()}, tmp_path / name, **how)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    ours, _ = heard(tmp_path, None, cut="end")
    with torch.no_grad():
        theirs = model(torch.from_numpy(MEL).mT)
    assert_close(ours, theirs[:, : ours.shape[1]])
    convert(tmp_path, tmp_path / "out", cut="end")
    back = isolated.read(tmp_path / "out" / folder.GENERATOR)
    again = GeneratorV3(shape, nn.utils.weight_norm)
    again.load_state_dict({k: torch.from_numpy(v) for k, v in back.items()})
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])


class OutputPadding(nn.ConvTranspose1d):
    """A transposed convolution of as many samples as its rate makes, padded so."""

    def __init__(self, inputs, outputs, kernel, rate, padding):
        odd = (kernel - rate) % 2
        super().__init__(
            inputs, outputs, kernel, rate, padding=padding + odd, output_padding=odd
        )


@pytest.mark.parametrize(
    ("cut", "upsample"), [("end", nn.ConvTranspose1d), ("start", OutputPadding)]
)
def test_a_stage_that_is_odd_sounds_as_its_code_with_the_right_cut(
    tmp_path, monkeypatch, cut, upsample
):
    torch.manual_seed(0)
    config = CONFIG | {"upsample_kernel_sizes": [16, 10, 8]}
    shape = hifigan_config.generator_config(config, "config.json", cut)
    monkeypatch.setattr(nn, "ConvTranspose1d", upsample)
    model = GeneratorV3(shape, nn.utils.weight_norm)
    monkeypatch.undo()
    randomize(model)
    torch.save(model.state_dict(), tmp_path / "g_00000001")
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours, _ = heard(tmp_path, None, cut=cut)
    with torch.no_grad():
        theirs = model(torch.from_numpy(MEL).mT)
    assert_close(ours, theirs[:, : ours.shape[1]])
    wrong, _ = heard(tmp_path, None, cut={"end": "start", "start": "end"}[cut])
    off = np.abs(wrong - theirs[:, : ours.shape[1]].numpy()).max()
    assert off > 0.1 * np.abs(ours).max()


def trained(model):
    """A checkpoint as trainers write it: average, optimiser, schedule, options."""
    wrapped = nn.DataParallel(torch.compile(model, backend="eager"))
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5)
    )
    optimizer = torch.optim.AdamW(model.parameters())
    average.update_parameters(model)
    sum(value.square().sum() for value in model.parameters()).backward()
    optimizer.step()
    average.update_parameters(model)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    return average.module, {
        "generator": wrapped.state_dict(),
        "generator_ema": average.state_dict(),
        "optim_g": optimizer.state_dict(),
        "scheduler": schedule.state_dict(),
        "random": (torch.get_rng_state(), np.random.RandomState(0).get_state()),
        "hyper_parameters": {
            "options": argparse.Namespace(lr=1.0, device=torch.device("cpu")),
            "dtype": torch.float32,
            "shape": torch.Size([1, 2]),
            "shapes": collections.defaultdict(list, a=[1]),
            "loss": nn.L1Loss,
            "layer": nn.Linear(2, 2),
        },
        "epoch": 3,
    }


@pytest.mark.parametrize("old", [False, True])
def test_a_whole_checkpoint_of_training(tmp_path, old):
    torch.manual_seed(0)
    shape = hifigan_config.generator_config(CONFIG, "config.json", "end")
    model = GeneratorV3(shape, nn.utils.parametrizations.weight_norm)
    randomize(model)
    average, saved = trained(model)
    how = {"_use_new_zipfile_serialization": not old}
    torch.save(saved, tmp_path / "last.ckpt", **how)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    for take, theirs in ((None, average), ("generator", model)):
        ours, _ = heard(tmp_path, None, cut="end", take=take)
        with torch.no_grad():
            wave = theirs(torch.from_numpy(MEL).mT)
        assert_close(ours, wave[:, : ours.shape[1]])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@pytest.mark.parametrize("safe", [True, False])
def test_weights_of_other_widths(tmp_path, dtype, safe):
    torch.manual_seed(0)
    shape = hifigan_config.generator_config(CONFIG, "config.json", "end")
    model = GeneratorV3(shape, nn.utils.weight_norm)
    randomize(model)
    state = {
        f"module.{name}": value.to(getattr(torch, dtype))
        for name, value in model.state_dict().items()
    }
    if safe:
        safetensors_torch.save_file(state, tmp_path / "a.safetensors", {"format": "pt"})
    else:
        torch.save(state, tmp_path / "a.pt")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    found = published.read(tmp_path, cut="end").params["vocoder"]
    expected = state["module.conv_post.weight_v"].float().numpy().transpose(2, 1, 0)
    np.testing.assert_array_equal(found["conv_post"]["v"], expected)


def test_eight_bit_floats_are_refused(tmp_path):
    state = {"conv_pre.bias": torch.ones(16).to(torch.float8_e4m3fn)}
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"no plain tensors but .*float8_e4m3fn"):
        isolated.read(tmp_path / "a.pt")
    safetensors_torch.save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="F8_E4M3"):
        isolated.read(tmp_path / "a.safetensors")


@pytest.mark.parametrize("old", [False, True])
def test_tensors_of_no_plain_numbers_are_passed_over_and_said(tmp_path, old):
    beside = {
        "freqs_cis": torch.zeros(3, dtype=torch.complex64),
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.zeros(3, device="meta"),
        "unsigned": torch.zeros(2, dtype=torch.uint16),
        "float8": torch.ones(2).to(torch.float8_e4m3fn),
        "layout": torch.strided,
    }
    state = beside | {"generator": {"bias": torch.arange(3.0)}}
    torch.save(state, tmp_path / "a.pt", _use_new_zipfile_serialization=not old)
    said = []
    found = torch_file.read(tmp_path / "a.pt", said.append)
    np.testing.assert_array_equal(found["generator.bias"], [0, 1, 2])
    assert said == [
        "passed over 'freqs_cis' of torch.complex and 4 more; expected float16, "
        "bfloat16, float32 or float64"
    ]
    plain = {name: beside[name] for name in ("float8", "freqs_cis")}
    plain |= {"bias": torch.arange(3.0)}
    safetensors_torch.save_file(plain, tmp_path / "a.safetensors")
    assert isolated.read(tmp_path / "a.safetensors").keys() == {"bias"}


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
    params = hifigan.find_discriminators({"mpd": mpd, "msd": msd}, arrays, "do").model
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
