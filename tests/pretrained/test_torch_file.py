"""Weight files as PyTorch writes them, and as an enemy would."""

import contextlib
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import isolated, torch_file

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = dict(np.load(GOLDEN / "expected.npz"))


@pytest.mark.parametrize("name", ["zip.pt", "stream.pt"])
def test_both_formats_hold_what_pytorch_saved(name):
    found = isolated.read(GOLDEN / name)  # in a process of its own
    assert found.keys() == {f"generator.{key}" for key in EXPECTED}
    for key, array in EXPECTED.items():
        np.testing.assert_array_equal(found[f"generator.{key}"], array)


@pytest.mark.parametrize("name", ["zip.pt", "stream.pt"])
def test_shapes_and_a_part(name):
    shapes = isolated.shapes(GOLDEN / name)
    assert shapes == {f"generator.{key}": a.shape for key, a in EXPECTED.items()}
    found = isolated.read(GOLDEN / name, ("generator.conv_p", "other"))
    assert found.keys() == {key for key in shapes if ".conv_p" in key}


def test_odd_types_views_and_numbers():
    found = torch_file.read(GOLDEN / "odd.pt")
    odd = {k.removeprefix("odd."): v for k, v in found.items() if k.startswith("odd")}
    assert odd["half"].dtype == np.float16
    np.testing.assert_array_equal(odd["wide"], np.float32([1.5, -2.0]))
    np.testing.assert_array_equal(odd["turned"], np.arange(6).reshape(2, 3).T)
    assert odd["none"].shape == (0, 3)
    assert (odd["steps"], odd["nested.0.lr"], odd["nested.1"]) == (7, 0.5, [1.0])


class Runs:
    """What a hostile pickle asks for: to run a command that leaves a file."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def archive(path, pickled, how=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", how) as file:
        file.writestr("archive/data.pkl", pickled)
        for name, content in members.items():
            file.writestr(f"archive/data/{name}", content)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("wrap", [archive, lambda p, data: p.write_bytes(data)])
def test_a_pickle_that_runs_something_is_refused_unrun(tmp_path, protocol, wrap):
    canary = tmp_path / "canary"
    hostile = pickle.dumps({"generator": Runs(f"touch {canary}")}, protocol)
    path = tmp_path / "g_00000001"
    wrap(path, hostile)
    with pytest.raises(UserError) as refused:
        torch_file.read(path)
    assert "\n" not in str(refused.value)
    assert not canary.exists()
    pickle.loads(hostile)  # the pickle does what it is feared for
    assert canary.exists()


def test_the_refusal_names_what_was_asked_for(tmp_path):
    path = tmp_path / "vocoder.pt"
    archive(path, pickle.dumps(Runs("true"), 2))
    with pytest.raises(
        UserError, match=r"vocoder\.pt its pickle names 'posix\.system'"
    ):
        isolated.read(path)


@pytest.mark.parametrize("name", ["zip.pt", "stream.pt"])
def test_a_file_cut_off_anywhere_is_refused(tmp_path, name):
    whole = (GOLDEN / name).read_bytes()
    path = tmp_path / "cut.pt"
    for end in range(1, len(whole), 97):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError):
            torch_file.read(path)


@pytest.mark.parametrize("name", ["zip.pt", "stream.pt"])
def test_flipped_bytes_are_refused_or_read_but_never_crash(tmp_path, name):
    whole = (GOLDEN / name).read_bytes()
    path = tmp_path / "flipped.pt"
    rng = np.random.default_rng(0)
    for place in rng.integers(4, len(whole), 300):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        with contextlib.suppress(UserError):
            torch_file.read(path)


def view(size, shape, strides, offset=0, name="FloatStorage", key=b"0"):
    """The pickle of one tensor, by hand."""

    def number(value):
        return b"J" + struct.pack("<i", value)

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = b"(X\x07\x00\x00\x00storagectorch\n" + name.encode()
    storage += b"\nU\x01" + key + b"U\x03cpu" + number(size) + b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset)
    tensor += numbers(shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)Rt"
    return b"\x80\x02}U\x01t" + tensor + b"Rs."


def test_a_tensor_by_hand(tmp_path):
    path = tmp_path / "a.pt"
    content = np.arange(6, dtype="<f4")
    archive(path, view(6, (2, 2), (1, 3), 1), **{"0": content.tobytes()})
    expected = np.float32([[1, 4], [2, 5]])
    np.testing.assert_array_equal(torch_file.read(path)["t"], expected)


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (view(6, (7,), (1,)), "beyond its numbers"),
        (view(6, (3,), (3,)), "beyond its numbers"),
        (view(6, (2,), (1,), 5), "beyond its numbers"),
        (view(6, (1 << 30, 1 << 30), (0, 0)), "beyond its numbers"),
        (view(6, (-1,), (1,)), "no whole number"),
        (view(9, (9,), (1,)), "is cut off: 24 bytes"),
        (view(6, (6,), (1,), name="Tensor"), "has a tensor of 'torch.Tensor'"),
        (view(1, (1,), (1,), name="ComplexFloatStorage"), "'t' of torch.complex; exp"),
        (view(6, (6,), (1,), key=b"1"), "lacks data/1"),
        (b"\x80\x02" + b"]" * 50 + b"a" * 49 + b".", "nested deeper"),
        (b"\x80\x02}(U\x01aK\x01U\x01a" + b"u.", "damaged"),
        (b"\x80\x04\x82\x01.", "asks for EXT1"),
        (b"\x80\x02(U\x01aios\nsystem\n.", "asks for INST"),
    ],
)
def test_impossible_tensors_are_refused(tmp_path, pickled, message):
    path = tmp_path / "a.pt"
    archive(path, pickled, **{"0": bytes(24)})
    with pytest.raises(UserError, match=message):
        torch_file.read(path)


def test_a_compressed_archive_is_refused(tmp_path):
    path = tmp_path / "bomb.pt"
    archive(path, view(6, (6,), (1,)), zipfile.ZIP_DEFLATED, **{"0": bytes(24)})
    with pytest.raises(UserError, match="compressed"):
        torch_file.read(path)


def test_the_reader_dies_alone(tmp_path):
    """A pickle whose memory grows without end: the limit stops it, and says so."""
    pickled = io.BytesIO()
    pickled.write(b"\x80\x02")
    pickled.write(b"]q\x00")
    for _ in range(40):  # each list holds the one before twice: 2^40 entries
        pickled.write(b"(h\x00h\x00lq\x00")
    pickled.write(b".")
    path = tmp_path / "laughs.pt"
    archive(path, pickled.getvalue())
    with pytest.raises(UserError, match="nested deeper"):
        isolated.read(path)


@pytest.mark.parametrize("last", [b"]q\x00", b"]q\x00K\x01a"], ids=["empty", "full"])
def test_a_few_lists_that_hold_each_other_are_not_followed_for_ever(tmp_path, last):
    """Seven levels of thirty times the one below: 2e10 places in 600 bytes."""
    pickled = b"\x80\x02" + last
    for _ in range(7):
        pickled += b"(" + 30 * b"h\x00" + b"lq\x00"
    path = tmp_path / "laughs.pt"
    archive(path, pickled + b".")
    with pytest.raises(UserError, match="more than 262144 entries"):
        torch_file.read(path)


def test_a_reader_that_takes_too_long_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "SECONDS", 0.01)
    path = tmp_path / "slow.pt"
    archive(path, b"\x80\x02}.")
    with pytest.raises(UserError, match=r"took more than 0.01 s"):
        isolated.read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is the page of a web site"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        (b"\x1f\x8b\x08\x00", "is compressed"),
        (b"\x89HDF\r\n", "is an HDF5 file"),
    ],
)
def test_what_is_no_file_of_weights_is_called_what_it_is(tmp_path, content, message):
    path = tmp_path / "g_02500000"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{message}.*; expected a safetensors file or"):
        isolated.read(path)


@pytest.mark.parametrize(
    "content",
    [
        b"no weights at all",
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 64)
        + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}',
    ],
)
def test_no_safetensors(tmp_path, content):
    path = tmp_path / "generator.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="neither a whole safetensors file nor"):
        isolated.read(path)
