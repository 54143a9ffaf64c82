"""Whole systems of people who mean harm: refused in a line, at once, and nothing runs.

Each attack changes one file of a small system that is read well as it is.
"""

import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from diffusion_audio.pretrained import isolated, torch_file
from diffusion_audio.pretrained.read_system import is_system
from tests.pretrained.hostile import (
    EVERY,
    LAYOUTS,
    PARTS,
    change,
    read_whole,
    refused,
    vouch,
    weights_of,
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_as_they_are_they_are_read(system, layout):
    folder = system(layout)
    assert is_system(folder)
    assert {"denoiser", "autoencoder", "vocoder"} < read_whole(folder).keys()


class Runs:
    """Leaves a file where it is unpickled."""

    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return os.mkdir, (self.place,)


def pickled(path, value, archive=True):
    if not archive:
        path.write_bytes(pickle.dumps(value, 2))
        return
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(value, 2))


def test_the_canary_sings(world):
    pickled(world / "it.bin", Runs(world / "ran"), archive=False)
    pickle.loads((world / "it.bin").read_bytes())
    (world / "ran").rmdir()


@pytest.mark.parametrize(("layout", "part"), EVERY)
def test_a_pickle_that_executes_in_the_place_of_each_part(
    system, world, monkeypatch, layout, part
):
    def in_this_process(source, target, *under):  # as the process apart, but at once
        safetensors.numpy.save_file(torch_file.read(source), target)

    monkeypatch.setattr(isolated, "_apart", in_this_process)
    folder = system(layout)
    weights_of(folder / part).unlink()
    for name in ("pytorch_model.bin", "vocoder.pt", "weights.pth"):
        for archive in (True, False):
            pickled(folder / part / name, {"a": Runs(world / "ran")}, archive)
            assert "mkdir" in refused(folder)
        (folder / part / name).unlink()


@pytest.mark.parametrize("layout", PARTS)
def test_a_pickle_under_the_name_of_safetensors_and_modules_where_we_stand(
    system, world, monkeypatch, layout
):
    folder = system(layout)
    pickled(weights_of(folder / "unet"), {"a": Runs(world / "ran")})
    for place in (folder, folder / "unet"):
        for name in ("numpy", "json", "safetensors", "sitecustomize", "unet"):
            (place / f"{name}.py").write_text(
                f"import os; os.mkdir({str(world / 'ran')!r})"
            )
    monkeypatch.chdir(folder)
    assert "mkdir" in refused(folder)


def header(entries, data=b"", length=None):
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(start, end, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HEADERS = {
    "no end": header({}, length=2**64 - 1),
    "longer than the file": header({"a": tensor(0, 4, [1])}, bytes(4), length=1 << 40),
    "large": header(b"{" + b" " * (1 << 20), length=1 << 30),
    "overlap": header({"a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, bytes(12)),
    "the same": header({"a": tensor(0, 8, [2]), "b": tensor(0, 8, [2])}, bytes(8)),
    "a hole": header({"a": tensor(0, 4, [1]), "b": tensor(8, 12, [1])}, bytes(12)),
    "beyond": header({"a": tensor(0, 1 << 40, [1 << 38])}, bytes(8)),
    "another size": header({"a": tensor(0, 8, [3])}, bytes(8)),
    "backwards": header({"a": tensor(8, 0, [2])}, bytes(8)),
    "negative": header({"a": tensor(-8, 0, [-2])}, bytes(8)),
    "overflow": header({"a": tensor(0, 8, [1 << 62, 1 << 62])}, bytes(8)),
    "none": header({"a": tensor(0, 0, [0, 1 << 60])}),
    "rest": header({"a": tensor(0, 4, [1])}, bytes(400)),
    "a type": header({"a": tensor(0, 8, [1], "OBJECT")}, bytes(8)),
    "a list": header([1]),
    "deep": header(b'{"a":' + b"[" * 100_000, bytes(8)),
    "no JSON": header(b"{" + b"\xff" * 40),
    "empty": b"",
    "zeros": bytes(4096),
}


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("layout", ["auffusion", "ours"])
def test_a_header_of_safetensors_that_lies(system, layout, kind):
    folder = system(layout)
    path = folder / "weights" / "denoiser.safetensors"
    if layout != "ours":
        path = weights_of(folder / "unet")
    path.write_bytes(HEADERS[kind])
    if layout == "ours":
        vouch(folder)
    assert ("denoiser" if layout == "ours" else path.name) in refused(folder)


@pytest.mark.parametrize("names", [["a", "a/b"], ["a/b", "a"], ["a//b"], ["x" * 1000]])
def test_names_of_tensors_in_a_folder_of_ours(system, names):
    folder = system("ours")
    arrays = {name: np.zeros(1, np.float32) for name in names}
    path = folder / "weights" / "denoiser.safetensors"
    safetensors.numpy.save_file(arrays, path)
    vouch(folder)
    assert "denoiser" in refused(folder)


def test_a_sparse_file_of_a_terabyte(system):
    folder = system("auffusion")
    with weights_of(folder / "unet").open("r+b") as file:
        file.truncate(1 << 40)
    assert "safetensors" in refused(folder)


def device(path):
    path.symlink_to("/dev/zero")


def pipe(path):
    os.mkfifo(path)


def directory(path):
    path.mkdir()


def loop(path):
    path.symlink_to(path)


SPECIAL = (device, pipe, directory, loop)


@pytest.mark.parametrize("put", SPECIAL)
@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("audioldm2", "unet/config.json"),
        ("audioldm2", "scheduler/scheduler_config.json"),
        ("audioldm2", "feature_extractor/preprocessor_config.json"),
        ("audioldm2", "unet/diffusion_pytorch_model.safetensors"),
        ("audioldm2", "model_index.json"),
        ("auffusion", "condition_adapter_0/model.safetensors"),
        ("auffusion", "condition_config.json"),
        ("ours", "config.json"),
        ("ours", "weights.json"),
        ("ours", "weights/vocoder.safetensors"),
    ],
)
def test_what_is_no_file(system, layout, name, put):
    folder = system(layout)
    (folder / name).unlink()
    put(folder / name)
    refused(folder)


TRICKS = (
    "/etc/passwd",
    "../outside/secret.safetensors",
    "a/../../outside/secret.safetensors",
    "..",
    "",
    ".",
    "a\0b",
    "~/x",
    "x" * 5000,
    3,
    None,
    ["a"],
    {},
)


@pytest.mark.parametrize("name", TRICKS, ids=lambda name: repr(name)[:12])
def test_paths_in_an_index(system, name):
    folder = system("audioldm2")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    index = path.with_name("diffusion_pytorch_model.safetensors.index.json")
    path.rename(folder / "unet" / "a.safetensors")
    index.write_text(json.dumps({"weight_map": {"x": "a.safetensors", "y": name}}))
    refused(folder)


@pytest.mark.parametrize("put", SPECIAL)
def test_what_an_index_names_is_no_file(system, put):
    folder = system("audioldm2") / "unet"
    path = folder / "diffusion_pytorch_model.safetensors"
    path.rename(folder / "a.safetensors")
    put(folder / "b.safetensors")
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
    path.with_name(f"{path.name}.index.json").write_text(json.dumps(index))
    assert "b.safetensors" in refused(folder.parent)


@pytest.mark.parametrize("name", TRICKS, ids=lambda name: repr(name)[:12])
@pytest.mark.parametrize("key", ["text_encoder_name", "condition_adapter_name"])
def test_paths_of_auffusions_parts(system, key, name):
    folder = system("auffusion")
    path = folder / "condition_config.json"
    (listed,) = json.loads(path.read_text())
    path.write_text(json.dumps([listed | {key: name}]))
    refused(folder)


@pytest.mark.parametrize("name", TRICKS, ids=lambda name: repr(name)[:12])
@pytest.mark.parametrize("where", ["parts", "extras"])
def test_paths_in_a_manifest_of_ours(system, where, name):
    folder = system("ours")
    entry = {"path": name, "sha256": "0" * 64}
    if where == "parts":
        change(
            folder / "weights.json", parts=lambda parts: parts | {"denoiser": [entry]}
        )
    else:
        change(folder / "weights.json", extras={str(name): "0" * 64})
    refused(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"parts": 3},
        {"parts": {}},
        {"parts": {"denoiser": 3}},
        {"parts": {"denoiser": [3]}},
        {"parts": {"denoiser": [{}]}},
        {"parts": {"denoiser": [{"path": "weights/vocoder.safetensors"}]}},
        {"extras": ["a"]},
        {"extras": {"a": 3}},
        {"extras": None},
        {"config": None},
        {"form": []},
    ],
    ids=str,
)
def test_a_manifest_of_ours_that_is_made_up(system, changes):
    folder = system("ours")
    change(folder / "weights.json", **changes)
    refused(folder)


CODE = {
    "auto_map": {"AutoModel": "evil.Model"},
    "trust_remote_code": True,
    "custom_pipelines": {"x": "y"},
}


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize(
    "path", ["model_index.json", "unet/config.json", "text_encoder/config.json"]
)
def test_configs_that_ask_for_code(system, path, name):
    folder = system("audioldm2")
    change(folder / path, **{name: CODE[name]})
    assert "code of its own" in refused(folder)


@pytest.mark.parametrize(
    "entry",
    [
        ["unet", "UNet"],
        ["evil", "UNet2DConditionModel"],
        ["os", "system"],
        ["../evil", "UNet"],
        [["diffusers"], "UNet"],
        ["diffusers"],
        "diffusers",
    ],
    ids=str,
)
def test_a_part_whose_class_is_in_a_module_of_the_folder(system, world, entry):
    folder = system("audioldm2")
    for path in (folder / "unet" / "unet.py", folder / "evil.py"):
        path.write_text(f"import os; os.mkdir({str(world / 'ran')!r})")
    change(folder / "model_index.json", unet=entry)
    assert "model_index.json" in refused(folder)


@pytest.mark.parametrize(
    "name", [["evil", "Pipeline"], {"a": 1}, None, 3, "EvilPipeline"], ids=str
)
def test_a_pipeline_of_its_own(system, name):
    folder = system("audioldm2")
    change(folder / "model_index.json", _class_name=name)
    assert "AudioLDM2Pipeline" in refused(folder)
