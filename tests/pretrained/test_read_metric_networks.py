"""Networks of metrics by name, file and folder: the same, and what is refused."""

import dataclasses
import json
from operator import attrgetter

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.generation.convert import convert
from diffusion_audio.pretrained import metric_catalog, metric_networks, weight_files
from diffusion_audio.pretrained.metric_catalog import NETWORKS
from diffusion_audio.systems import audio_encoders
from diffusion_audio.systems.metric_network import read_encoder
from diffusion_audio.systems.table import configured
from tests.published import torch_zip
from tests.systems.tiny_encoders import TINY, params_of, tiny

OF_KIND = {"cnn14": "cnn14_16k", "vggish": "vggish_8bit", "passt": "passt_s"}
OF_KIND["clap"] = "clap_630k"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The catalog's folder, and the catalog with tiny networks in place of its own."""
    tiny_ones = [
        dataclasses.replace(metric_catalog.find(name), encoder=TINY[kind])
        for kind, name in OF_KIND.items()
    ]
    monkeypatch.setattr(metric_catalog, "NETWORKS", tuple(tiny_ones))
    monkeypatch.setattr(metric_catalog, "FOLDER", tmp_path / "cache")
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def published(kind, folder):
    """Writes the files of a tiny network, and gives its parameters."""
    params = params_of(tiny(kind).network)
    arrays = metric_networks.KINDS[kind].export(TINY[kind], params)
    network = metric_catalog.find(OF_KIND[kind])
    pca = {name: arrays.pop(name) for name in list(arrays) if name.startswith("pca_")}
    torch_zip.save(folder / network.files[0], arrays)
    if pca:
        torch_zip.save(folder / network.files[1], pca)
    return params


def assert_same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


@pytest.mark.parametrize("kind", TINY)
def test_by_name_by_file_and_converted(kind, folder, tmp_path):
    params = published(kind, folder)
    network = metric_catalog.find(OF_KIND[kind])
    by_name = read_encoder(network.name)
    assert_same(by_name.params, params)
    by_file = read_encoder(folder / network.files[0])
    made = read_encoder(convert(network.name, tmp_path / "made"))
    for other in (by_file, made):
        assert_same(other.params, params)
        assert other.weights_hash == by_name.weights_hash
    origin = json.loads((tmp_path / "made" / "config.json").read_text())["origin"]
    assert origin["files"] == list(network.files)
    facts = attrgetter("sample_rate", "width", "classes", "window", "hop", "least")
    assert facts(made.encoder) == facts(by_name.encoder) == facts(tiny(kind))


@pytest.mark.parametrize("kind", ["cnn14", "passt", "clap"])
def test_a_file_under_another_name_is_what_fits(kind, folder):
    params = published(kind, folder)
    path = folder / metric_catalog.find(OF_KIND[kind]).files[0]
    moved = path.rename(folder / "weights.pt")
    assert metric_networks.is_metric_network(moved)
    assert_same(read_encoder(moved).params, params)


def test_what_lacks_is_said_with_the_command_that_brings_it(folder):
    with pytest.raises(UserError, match=r"curl -L .*Cnn14_16k_mAP%3D0.438.pth") as one:
        read_encoder("cnn14_16k")
    assert "\n" not in str(one.value)
    assert str(folder / "Cnn14_16k_mAP=0.438.pth") in str(one.value)
    published("vggish", folder)
    (folder / "vggish_pca_params-970ea276.pth").unlink()
    beside = folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(UserError, match=r"970ea276.pth not found") as one:
        read_encoder(beside / "vggish-10086976.pth")
    assert f"-o '{beside / 'vggish_pca_params-970ea276.pth'}'" in str(one.value)


def test_other_places_are_refused(folder, tmp_path):
    with pytest.raises(UserError, match="unknown network of metrics 'cnn14_16'"):
        read_encoder("cnn14_16")
    with pytest.raises(UserError, match=r"has no encoder.safetensors"):
        read_encoder(tmp_path)
    torch_zip.save(tmp_path / "other.pt", {"weight": np.zeros(3, np.float32)})
    assert not metric_networks.is_metric_network(tmp_path / "other.pt")
    with pytest.raises(UserError, match="of no network of metrics that is known"):
        read_encoder(tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"audio_encoder": None}, "expected a group 'audio_encoder' with a name"),
        ({"audio_encoder": {"name": "cnn15"}}, "known: cnn14, vggish, passt, clap"),
        ({"origin": None}, "says no origin"),
        ({"sha256": "0"}, "is not what was written with its config"),
        ({"audio_encoder": {"name": "cnn14", "mel": 3}}, "audio_encoder: "),
        (
            {"audio_encoder": {"name": "passt", "network": {"depth": 10**9}}},
            "depth is 1000000000; expected a whole number up to",
        ),
        (
            {"audio_encoder": {"name": "cnn14", "network": {"width": 3}}},
            "unknown key in cnn14: network 'width'; did you mean 'widths'",
        ),
    ],
)
def test_configs_that_were_edited_are_refused(change, line, folder, tmp_path):
    published("cnn14", folder)
    path = convert("cnn14_16k", tmp_path / "made") / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=line):
        read_encoder(tmp_path / "made")


def test_vocoders_options_are_refused(folder, tmp_path):
    with pytest.raises(UserError, match=r"network of metrics; --cut is for vocoders"):
        convert("cnn14_16k", tmp_path / "made", cut="end")
    with pytest.raises(UserError, match=r"no whole system; --dtype is for such"):
        convert("cnn14_16k", tmp_path / "made", dtype="bfloat16")


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_the_catalogs_settings_are_those_of_an_encoder(network):
    entry, cfg = configured(audio_encoders.TABLE, network.encoder, network.name)
    encoder = entry.build(cfg)
    rates = {"cnn14_16k": 16_000, "vggish": 16_000, "vggish_8bit": 16_000}
    expected = rates.get(network.name, 48_000 if "clap" in network.name else 32_000)
    assert encoder.sample_rate == expected
    widths = {"cnn14": 2048, "vggish": 128, "passt": 768, "clap": 512}
    assert encoder.width == widths[network.encoder["name"]]
    classes = 527 if network.encoder["name"] in ("cnn14", "passt") else None
    assert encoder.classes == classes
    windows = {"cnn14": None, "vggish": 15_600, "passt": 320_000, "clap": 480_000}
    assert encoder.window == windows[network.encoder["name"]]


def test_a_file_that_is_not_the_published_one_is_said(folder, caplog, monkeypatch):
    published("cnn14", folder)
    read_encoder("cnn14_16k")
    assert "is not the published file of that name, or damaged: its md5" in caplog.text
    caplog.clear()
    [path] = folder.iterdir()
    right = {path.name: f"sha256:{weight_files.sha256(path)[:8]}"}
    monkeypatch.setattr(metric_catalog, "HASHES", right)
    read_encoder("cnn14_16k")
    assert "published file" not in caplog.text


def test_hashes_are_of_files_of_the_catalog():
    files = {file for network in NETWORKS for file in network.files}
    for file, text in metric_catalog.HASHES.items():
        kind, _, digits = text.partition(":")
        assert file in files
        assert len(digits) == {"md5": 32, "sha256": 64}[kind] or f"-{digits}." in file
        int(digits, 16)
