"""What training runs keep beside their weights: data, or a name, and never run."""

import argparse
import collections
import datetime
import decimal
import fractions
import functools
import pathlib
import pickle
import random
import types
import zipfile

import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import torch_file
from diffusion_audio.pretrained.torch_file import read


class Options(dict):
    """A dictionary with attributes, as HiFi-GAN's options are."""

    def __init__(self, **items):
        super().__init__(**items)
        self.__dict__ = self


class Whole:
    """A model saved as an object and not as its weights."""

    def __init__(self):
        self.weight = np.ones(3)


RAN = []


class Runs:
    """Would note that it ran."""

    def __reduce__(self):
        return RAN.append, ("it ran",)


class RunsAsState(argparse.Namespace):
    """Would note that it ran, as its state is set."""

    def __setstate__(self, state):
        RAN.append("it ran")


def saved(path, value, protocol=2):
    """As torch.save would, but for tensors."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(value, protocol))
    return path


BESIDE = {
    "namespace": argparse.Namespace(lr=0.1, deep=argparse.Namespace(x=[1])),
    "path": pathlib.PurePosixPath("/a"),
    "when": datetime.datetime(2020, 1, 1),
    "kind": np.float32,
    "function": functools.partial,
    "random": random.getstate(),
    "numpy": np.random.default_rng(0).bit_generator.state,
    "numpy_old": np.random.RandomState(0).get_state(),
    "texts": np.array(["a", "b"]),
    "objects": np.array([None, "a"]),
    "bytes": b"a",
    "bytearray": bytearray(b"a"),
    "complex": 1j,
    "set": {1},
    "frozen": frozenset([1]),
    "own": RunsAsState(x=1),
    "big": 1 << 90,
    "simple": types.SimpleNamespace(a=1),
    "partial": functools.partial(max, 1),
    "fraction": fractions.Fraction(1, 3),
    "decimal": decimal.Decimal("0.1"),
}


@pytest.mark.parametrize("protocol", range(2, 6))
def test_everything_beside_weights_is_passed_over(tmp_path, protocol):
    weights = {"weight": np.arange(6, dtype="f4").reshape(2, 3)}
    found = read(saved(tmp_path / "a", BESIDE | {"generator": weights}, protocol))
    np.testing.assert_array_equal(found["generator.weight"], weights["weight"])
    assert not RAN


@pytest.mark.parametrize("protocol", range(2, 6))
def test_numbers_and_arrays_are_found_in_every_kind_of_dictionary(tmp_path, protocol):
    default = collections.defaultdict(list, a=[np.float64(0.5), np.int64(3)])
    value = {
        "default": default,
        "counter": collections.Counter("aab"),
        "ordered": collections.OrderedDict(a=np.bool_(True)),
        "own": Options(a=np.asfortranarray(np.arange(6.0).reshape(2, 3))),
        "turned": np.arange(6).reshape(2, 3).T,
        "big_endian": np.arange(3, dtype=">f4"),
        "none": np.zeros((0, 2), "f2"),
    }
    found = read(saved(tmp_path / "a", value, protocol))
    assert found["default.a.0"] == 0.5
    assert found["default.a.1"] == 3
    assert found["counter.a"] == 2
    assert found["ordered.a"].dtype == bool
    np.testing.assert_array_equal(found["own.a"], np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(found["turned"], np.arange(6).reshape(2, 3).T)
    np.testing.assert_array_equal(found["big_endian"], np.arange(3, dtype="f4"))
    assert found["big_endian"].dtype == np.dtype("f4")
    assert found["none"].shape == (0, 2)


@pytest.mark.parametrize("value", [Whole(), {"generator": Whole(), "steps": 3}])
def test_a_whole_object_is_no_weights(tmp_path, value):
    with pytest.raises(UserError, match=r"test_inert\.Whole'.*state_dict\(\), NEW\)"):
        read(saved(tmp_path / "a", value))


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("value", [Runs(), {"a": [Runs()]}, Options(a=Runs())])
def test_a_call_is_refused_however_deep(tmp_path, value, protocol):
    with pytest.raises(UserError, match="nothing of it was run"):
        read(saved(tmp_path / "a", value, protocol))
    assert not RAN


def pickled(*parts):
    return b"\x80\x02" + b"".join(parts) + b"."


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n)R"
TYPE = b"cnumpy\ndtype\nU\x02f4\x85R"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # Three numbers promised, and bytes of one.
        (pickled(ARRAY, b"(K\x01K\x03\x85", TYPE, b"\x89U\x04abcdtb"), "damaged"),
        # A shape that multiplies to nothing by being negative, or to ever so much.
        (
            pickled(ARRAY, b"(K\x01J\xff\xff\xff\xff\x85", TYPE, b"\x89U\x04abcdtb"),
            "da",
        ),
        (
            pickled(ARRAY, b"(K\x01J\xff\xff\xff\x7f\x85", TYPE, b"\x89U\x04abcdtb"),
            "da",
        ),
        (pickled(b"c_codecs\nencode\nU\x01aU\x06base64\x86R"), "damaged"),
        (pickled(b"ccopyreg\n_reconstructor\n]\x85R"), "damaged"),
        (pickled(b"]", b")\x81"), "an instance of what is no class"),
        (pickled(b"]", b")R"), "calls what is no constructor"),
        (pickled(b"cbuiltins\neval\nU\x011\x85R"), "names 'builtins.eval' and calls"),
        (pickled(b"c__builtin__\ngetattr\nU\x011\x85R"), "names 'builtins.getattr'"),
        (
            pickled(
                b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nNU\x01a\x85tR"
            ),
            "makes a tensor by 'os.system'",
        ),
        (
            pickled(
                b"ctorch._utils\n_rebuild_tensor_v3\n(NK\x00))\x89N",
                b"ctorch\nfloat8_e4m3fn\ntR",
            ),
            "but .* of torch.float8_e4m3fn; expected float16",
        ),
    ],
)
def test_impossible_data_is_refused(tmp_path, content, message):
    with zipfile.ZipFile(tmp_path / "a", "w") as file:
        file.writestr("archive/data.pkl", content)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "a")


def test_a_torchscript_program_says_how_to_take_its_weights(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}.")
        file.writestr("archive/code/__torch__/model.py", "")
    with pytest.raises(UserError, match="is a TorchScript program; in PyTorch"):
        read(tmp_path / "a")


def test_every_constructor_is_of_this_package():
    for name, make in torch_file.CONSTRUCTORS.items():
        assert make is tuple or make.__module__.startswith("diffusion_audio."), name
