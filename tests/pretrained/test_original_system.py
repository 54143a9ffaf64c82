"""AudioLDM and AudioLDM 2 from the one file of their original code."""

import json
import os
import pickle
import re
import shutil
import zipfile

import jax
import numpy as np
import pytest
from huggingface_hub import constants

from diffusion_audio.errors import UserError
from diffusion_audio.generation import load
from diffusion_audio.pretrained import isolated, torch_file
from diffusion_audio.pretrained.presets import preset
from diffusion_audio.pretrained.published_system import plain
from diffusion_audio.pretrained.read_system import is_system, read_system
from tests.published import original_systems as originals
from tests.published.original_systems import (
    CLAP,
    GPT2,
    HTSAT,
    JOIN,
    KINDS,
    LANGUAGE,
    SCALE,
    T5,
    VAE,
    make,
)
from tests.published.torch_zip import save

FAST = ("audioldm", "audioldm2_large")  # the other kinds have nothing but theirs
LABEL = {"audioldm": "clap", "audioldm_48k": "clap", "audioldm_16k_t5": "t5"}


@pytest.fixture(autouse=True)
def here(request, monkeypatch):
    """Files are read in this process, but for tests of that name."""
    if "apart" not in request.node.name:
        monkeypatch.setattr(isolated, "shapes", torch_file.shapes)
        monkeypatch.setattr(
            isolated, "read", lambda path, under: torch_file.read(path, under=under)
        )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("originals")
    return {kind: originals.publish(kind, root / kind) for kind in KINDS}


def as_json(value):
    return json.loads(json.dumps(value))


def same(mine, theirs):
    jax.tree.map(np.testing.assert_array_equal, mine, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_configs_are_read_from_shapes(folders, kind):
    assert is_system(folders[kind])
    system = read_system(folders[kind] / f"{kind}.pth")
    unet, vocoder = originals.configs(kind)
    config = system.config
    assert config["denoiser"] == {"name": "unet", **plain(unet)}
    parts = config["components"]
    assert parts["autoencoder"]["autoencoder"] == {"name": "vae", **plain(VAE)}
    assert parts["vocoder"]["vocoder"] == {"name": "hifigan", **plain(vocoder)}
    assert system.latent_scale == np.float32(SCALE)
    label = LABEL.get(kind, "language_of_audio")
    told = {
        "clap": {"text": plain(CLAP)},
        "t5": {"encoder": plain(T5)},
        "language_of_audio": {
            **{"clap": plain(CLAP), "t5": plain(T5), "projection": plain(JOIN)},
            **{"gpt2": plain(GPT2), "tokens": 8},
        },
    }
    assert config["conditioners"] == {label: {"name": label, **told[label]}}
    if label != "t5":
        ranker = config["ranker"]
        assert (ranker["text"], ranker["audio"]) == (plain(CLAP), plain(HTSAT))
    rate = 48_000 if kind == "audioldm_48k" else 16_000
    assert config["audio"]["sample_rate"] == rate
    assert config["audio"]["hop_length"] == rate // 100
    assert config["sampling"]["guidance"] == (2.5 if kind == "audioldm" else 3.5)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=() if k in FAST else pytest.mark.slow) for k in KINDS],
)
def test_parameters_come_back(folders, kind):
    """AudioLDM's denoiser as its average, AudioLDM 2's as its weights."""
    system, trees = read_system(folders[kind]), make(kind)
    whole = {name: trees[name] for name in ("clap", "t5", "gpt2")}
    conditioners = {
        "clap": trees["clap"],
        "t5": trees["t5"],
        "language_of_audio": whole | {"projection": trees["join"]},
    }
    label = LABEL.get(kind, "language_of_audio")
    expected = {
        "denoiser": trees["average" if kind == "audioldm" else "unet"],
        "autoencoder": trees["vae"],
        "vocoder": trees["vocoder"],
        f"conditioners/{label}": conditioners[label],
    }
    if label != "t5":
        expected["ranker"] = {"text": trees["clap"], "audio": trees["htsat"]}
    assert system.parts.keys() == expected.keys()
    for name, tree in expected.items():
        same(system.parts[name](), tree)
    assert len(system.hash("denoiser")) == 64


def variant(tmp_path, named, wrap=("state_dict",), name="model.ckpt"):
    """A place with another file."""
    originals.write_tokenizers(tmp_path)
    save(tmp_path / name, named, wrap)
    return tmp_path


def test_another_order_other_keys_and_no_average(tmp_path):
    named = originals.arrays("audioldm")
    named = {k: a for k, a in reversed(named.items()) if not k.startswith("model_ema")}
    system = read_system(variant(tmp_path, named, ("a", "state_dict", "module")))
    same(system.parts["denoiser"](), make("audioldm")["unet"])
    named = originals.arrays("audioldm2")
    swapped = {}
    for name, array in named.items():  # the stages the other way round
        for old, new in (("0", "7"), ("1", "0")):
            head = f"cond_stage_models.{old}."
            if name.startswith(head):
                name = f"cond_stage_models.{new}.{name.removeprefix(head)}"
                break
        swapped[name] = array
    (tmp_path / "other").mkdir()
    system = read_system(variant(tmp_path / "other", swapped, ()))
    part = system.parts["conditioners/language_of_audio"]()
    same(part["gpt2"], make("audioldm2")["gpt2"])


def test_weight_norm_is_folded(tmp_path):
    named = originals.arrays("audioldm")
    kernel = named.pop("first_stage_model.vocoder.conv_pre.weight")
    norm = np.sqrt(np.square(kernel).sum((1, 2), keepdims=True))
    vocoder = {k: a for k, a in named.items() if ".vocoder." in k}
    for name, array in {"x.conv_pre.weight": kernel, **vocoder}.items():
        if name.endswith(".weight"):
            name = name.replace("x.", "first_stage_model.vocoder.")
            axes = tuple(range(1, array.ndim))
            norm = np.sqrt(np.square(array).sum(axes, keepdims=True))
            named.pop(name, None)
            named |= {f"{name}_g": norm, f"{name}_v": 2 * array}
    found = read_system(variant(tmp_path, named)).parts["vocoder"]()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        found,
        make("audioldm")["vocoder"],
    )


def test_heads_and_epsilon_in_every_way(folders):
    config = as_json(read_system(folders["audioldm2_large"]).config)
    ways = {k: preset(config, k) for k in ("default", "diffusers", "original")}
    heads = {k: way["denoiser"]["heads"] for k, way in ways.items()}
    assert heads["default"] == heads["original"] == [1, 2]
    assert heads["diffusers"] == [8, 8]
    for name, epsilon in {
        "default": 1e-5,
        "diffusers": 1e-12,
        "original": 1e-5,
    }.items():
        group = ways[name]["conditioners"]["language_of_audio"]
        assert group["clap"]["epsilon"] == epsilon
        assert ways[name]["ranker"]["text"]["epsilon"] == epsilon


def test_heads_of_eight_are_not_mended(folders):
    """They are known of an original; of diffusers' folder they are a slip."""
    config = as_json(read_system(folders["audioldm"]).config)
    config["denoiser"] |= {"channels": [256, 512, 768, 1280], "heads": [8] * 4}
    assert preset(config, "default")["denoiser"]["heads"] == [8] * 4


def test_it_is_read_apart_and_loaded(folders):
    pipeline = load(folders["audioldm"])
    assert pipeline.ranking is not None
    assert pipeline.seconds == 10.24


def without(named, begins):
    return {name: a for name, a in named.items() if not name.startswith(begins)}


FAULTS = {
    "an unknown conditioner": (
        lambda n: (
            without(n, "cond_stage_models") | {"cond_stage_models.0.x": np.ones(1)}
        ),
        "conditioners are not known; expected an AudioLDM",
    ),
    "speech": (
        lambda n: (
            without(n, f"{LANGUAGE}cond_stage_models.1")
            | {
                f"{LANGUAGE}cond_stage_models.1.text_encoder.emb.weight": np.ones(
                    (3, 4)
                )
            }
        ),
        "goes on from AudioMAE and CLAP and phonemes; expected CLAP and T5",
    ),
    "two T5s": (
        lambda n: n | {"cond_stage_models.1.model.shared.weight": np.ones((150, 32))},
        r"those under cond_stage_models\.1\.model\. and .* differ",
    ),
    "another vocoder": (
        lambda n: n | {"first_stage_model.vocoder.ups.0.weight": np.ones((32, 16, 4))},
        r"kernels \[4, 16, 8, 4, 4\]; expected \[16, 16, 8, 4, 4\] or",
    ),
    "another latent": (
        lambda n: (
            n | {"first_stage_model.post_quant_conv.weight": np.ones((4, 5, 1, 1))}
        ),
        "and 4 channels, and its other parts give .* and 5",
    ),
    "no scale": (lambda n: without(n, "scale_factor"), "scale_factor.*got none"),
    "no autoencoder": (
        lambda n: without(n, "first_stage_model.encoder"),
        r"first_stage_model\.encoder\.conv_in\.weight with 4 axes, and it lacks that",
    ),
    "two models": (
        lambda n: n | {"copy.model.diffusion_model.out.2.weight": np.ones(1)},
        r"has state_dict\., state_dict\.copy\. with a denoiser",
    ),
    "a wrong shape": (
        lambda n: n | {"model.diffusion_model.out.0.weight": np.ones(5)},
        r"another shape: out\.0\.weight",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_no_original_has_is_refused_in_a_line(tmp_path, fault):
    change, message = FAULTS[fault]
    named = change(originals.arrays("audioldm2"))
    place = variant(tmp_path, named)
    assert is_system(place)
    with pytest.raises(UserError, match=message) as refused:
        [part() for part in read_system(place).parts.values()]
    assert "\n" not in str(refused.value)


def test_what_lacks_beside_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    save(tmp_path / "a.pth", originals.arrays("audioldm2"))
    files = "tokenizer.json tokenizer_config.json"
    line = (
        f"{tmp_path / 'a.pth'} holds no tokenizers, as no original does: `hf download "
        f"FacebookAI/roberta-base {files} --local-dir {tmp_path}/tokenizer` and `hf "
        f"download google/flan-t5-large {files} --local-dir {tmp_path}/tokenizer_2`, "
        "then try again"
    )
    with pytest.raises(UserError, match=f"^{re.escape(line)}$"):
        read_system(tmp_path)
    (tmp_path / "b.ckpt").write_bytes((tmp_path / "a.pth").read_bytes())
    with pytest.raises(UserError, match=r"has a\.pth, b\.ckpt; give the one file"):
        read_system(tmp_path)


def test_a_file_alone_and_of_any_name(folders, tmp_path, monkeypatch):
    """Its tokenizers are those that were downloaded, by whichever program."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "audioldm-s-full"  # as it is called on Zenodo
    path.write_bytes((folders["audioldm"] / "audioldm.pth").read_bytes())
    assert is_system(path)
    cache = tmp_path / "cache" / "models--FacebookAI--roberta-base"
    commit = "ab" * 20
    shutil.copytree(folders["audioldm"] / "tokenizer", cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit, encoding="utf-8")
    assert read_system(path).extras == read_system(folders["audioldm"]).extras


class Runs:
    """What a hostile pickle asks for: to run a command that leaves a file."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_pickle_runs_nothing_apart(tmp_path, zipped):
    canary = tmp_path / "canary"
    name = "model.diffusion_model.out.2.weight"
    hostile = pickle.dumps({name: Runs(f"touch {canary}")}, 2)
    path = tmp_path / "model.pth"
    if zipped:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", hostile)
    else:
        path.write_bytes(hostile)
    assert is_system(tmp_path)
    with pytest.raises(UserError) as refused:
        read_system(tmp_path)
    assert "\n" not in str(refused.value)
    assert not canary.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02}.", b"text"])
def test_other_files_are_no_original(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    assert not is_system(tmp_path)
    assert not is_system(tmp_path / "a.pth")
    assert not is_system(tmp_path / "nowhere.pth")
