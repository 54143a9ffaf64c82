"""Which files of a folder are read, and safetensors in all their forms."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import isolated, weight_files

HALVES = (
    ("model-00001-of-00002.safetensors", {"a": np.ones(2, "f4")}),
    ("model-00002-of-00002.safetensors", {"b": np.zeros(3, "f4")}),
)
INDEX = "model.safetensors.index.json"


def touch(root, *names):
    for name in names:
        (root / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("names", "chosen", "left"),
    [
        (["g_00000002", "g_00000012", "g_02500000"], "g_02500000", 2),
        (["g_999", "g_1000"], "g_1000", 1),
        (["vocoder.pt", "g_00000002", "model.safetensors"], "model.safetensors", 2),
        (["config.json", "README.md", "do_00000002", "net.ckpt"], "net.ckpt", 0),
        (["do_00000002.pt", "generator.pth"], "generator.pth", 0),
    ],
)
def test_the_file_taken_and_those_left(tmp_path, names, chosen, left):
    touch(tmp_path, *names)
    found = weight_files.choose(tmp_path)
    assert found.path == tmp_path / chosen
    assert len(found.left) == left
    assert set(found.left) <= set(names) - {chosen}


def test_where_nothing_says_which_neither_is_taken(tmp_path):
    touch(tmp_path, "a.ckpt", "b.pt")
    with pytest.raises(UserError, match=r"has a\.ckpt, b\.pt; give the file"):
        weight_files.choose(tmp_path)
    assert weight_files.choose(tmp_path / "b.pt").path == tmp_path / "b.pt"


@pytest.fixture
def sharded(tmp_path):
    for name, arrays in HALVES:
        safetensors.numpy.save_file(arrays, tmp_path / name)
    write_index(tmp_path, {"a": HALVES[0][0], "b": HALVES[1][0]})
    return tmp_path


def write_index(root, weight_map):
    text = json.dumps({"metadata": {"total_size": 20}, "weight_map": weight_map})
    (root / INDEX).write_text(text, encoding="utf-8")


def test_weights_in_parts(sharded):
    path, left = weight_files.choose(sharded)
    assert (path.name, left) == (INDEX, ())
    arrays = weight_files.read(path)
    assert {name: array.shape for name, array in arrays.items()} == {
        "a": (2,),
        "b": (3,),
    }


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": "../secret", "b": HALVES[1][0]}, r"names '\.\./secret'; expected names"),
        ({"a": "/etc/passwd"}, "names '/etc/passwd'; expected names"),
        ({"a": "..", "b": HALVES[1][0]}, r"names '\.\.'"),
        ({"a": "absent.safetensors"}, "absent.safetensors: No such file"),
        ({"a": HALVES[0][0], "c": HALVES[1][0]}, "names what its files lack: c"),
        ({str(i): f"{i}.safetensors" for i in range(65)}, "more than 64 files"),
        ({}, "no weight_map"),
        ({"a": 1}, "no weight_map"),
        ([], "no weight_map"),
    ],
)
def test_an_index_that_is_wrong_is_refused(sharded, weight_map, message):
    write_index(sharded, weight_map)
    with pytest.raises(UserError, match=message):
        weight_files.read(sharded / INDEX)


def test_one_array_in_two_parts_is_refused(sharded):
    safetensors.numpy.save_file({"a": np.ones(1, "f4")}, sharded / HALVES[1][0])
    with pytest.raises(UserError, match="has a in two of its files"):
        weight_files.read(sharded / INDEX)


def write(path: Path, header: bytes, content: bytes) -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + content)
    return path


def entry(kind, shape, end, start=0):
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


def test_bfloat16_is_widened(tmp_path):
    header = {"__metadata__": {"format": "pt"}, "a": entry("BF16", [3, 1], 6)}
    wide = np.float32([1.5, -2.0, 3e38])
    content = (wide.view("u4") >> 16).astype("<u2").tobytes()
    path = write(tmp_path / "a.safetensors", json.dumps(header).encode(), content)
    found = isolated.read(path)["a"]
    assert found.shape == (3, 1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 0], wide, rtol=2**-8)
    assert found[0, 0] == 1.5


@pytest.mark.parametrize("kind", ["F16", "F32", "F64", "I8", "U64", "BOOL"])
def test_plain_numbers_and_none(tmp_path, kind):
    size = {"F16": 2, "F32": 4, "F64": 8, "I8": 1, "U64": 8, "BOOL": 1}[kind]
    header = {"a": entry(kind, [2], 2 * size), "b": entry(kind, [0], 0)}
    path = write(tmp_path / "a", json.dumps(header).encode(), b"\1" * 2 * size)
    found = isolated.read(path)
    assert found["a"].dtype.itemsize == size
    assert found["b"].shape == (0,)


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F4", "C64"])
def test_other_numbers_are_refused_by_name(tmp_path, kind):
    shape = {"F4": [16], "C64": [1]}.get(kind, [8])
    header = json.dumps({"a\n": entry(kind, shape, 8)}).encode()
    path = write(tmp_path / "a", header, bytes(8))
    with pytest.raises(UserError, match=f"as {kind}, .*expected BF16, F16") as refused:
        isolated.read(path)
    assert "\n" not in str(refused.value)


def test_the_order_is_that_of_the_names(tmp_path):
    names = sorted(f"{i % 7}.{i}" for i in range(40))
    arrays = {name: np.ones(1, "f4") for name in reversed(names)}
    safetensors.numpy.save_file(arrays, tmp_path / "a")
    assert list(isolated.read(tmp_path / "a")) == names


def test_one_name_twice_is_refused(tmp_path):
    one = json.dumps(entry("F32", [1], 4))
    path = write(tmp_path / "a", f'{{"a": {one}, "a": {one}}}'.encode(), bytes(4))
    with pytest.raises(UserError, match="its header says 'a' twice"):
        isolated.read(path)


def test_a_header_whose_length_begins_like_a_pickle(tmp_path):
    header = json.dumps({"a": entry("F32", [1], 4)}).encode().ljust(0x80)
    path = write(tmp_path / "a", header, np.float32(0.5).tobytes())
    assert path.read_bytes()[:1] == b"\x80"
    assert isolated.read(path)["a"] == 0.5
