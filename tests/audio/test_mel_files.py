"""Saved mels: every order of axes, and what is refused by one line."""

import contextlib
import io
import random

import numpy as np
import pytest

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.audio.mel_files import finite, open_mel, read_mel
from diffusion_audio.errors import UserError

BANDS = 6
MEL = np.arange(4 * BANDS, dtype=np.float32).reshape(4, BANDS)  # [T, F]


@pytest.fixture
def save(tmp_path):
    def save(array, name="a.npy"):
        np.save(tmp_path / name, array)
        return tmp_path / name

    return save


def refused(kind, path, *args):
    """The text of the refusal, which must be of this kind and one line."""
    with pytest.raises(AudioFileError) as caught:
        read_mel(path, BANDS, *args)
    assert caught.value.kind == kind
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["<f4", "<f2", "<f8", ">f4"])
@pytest.mark.parametrize(
    ("stored", "axes"),
    [(MEL.T, "ft"), (MEL, "tf"), (MEL.T[None], "ft"), (MEL[None, None], "tf")],
)
def test_every_order_and_type_becomes_frames_by_bands(save, stored, axes, kind):
    path = save(np.asarray(stored, kind))
    for given in (None, "", axes):
        mel = read_mel(path, BANDS, given)
        assert mel.dtype == np.float32
        assert mel.flags.c_contiguous
        np.testing.assert_array_equal(mel, MEL)


def test_fortran_order_of_the_file_is_not_the_order_of_its_axes(save):
    np.testing.assert_array_equal(read_mel(save(np.asfortranarray(MEL)), BANDS), MEL)


def test_a_part_is_read_without_the_rest(save):
    path = save(MEL.T)
    mel = open_mel(path, BANDS)
    assert isinstance(mel, np.memmap)
    assert not mel.flags.writeable
    np.testing.assert_array_equal(finite(path, mel[1:3]), MEL[1:3])


def test_a_square_mel_needs_its_order_named(save):
    square = np.arange(BANDS**2, dtype=np.float32).reshape(BANDS, BANDS)
    path = save(square)
    assert "set mel_axes to 'ft'" in refused("order", path)
    np.testing.assert_array_equal(read_mel(path, BANDS, "tf"), square)
    np.testing.assert_array_equal(read_mel(path, BANDS, "ft"), square.T)
    with pytest.raises(UserError, match=r"unknown order mel_axes 'tff'.*'tf'"):
        read_mel(path, BANDS, "tff")


@pytest.mark.parametrize("shape", [(3, 4), (6,), (2, 6, 4), (1, 2, 6, 4), ()])
def test_other_shapes_are_refused_with_the_shape(save, shape):
    assert str(list(shape)) in refused("bands", save(np.zeros(shape)))


def test_the_wrong_order_is_refused_not_believed(save):
    said = refused("bands", save(MEL), "ft")
    assert "read as mel_axes 'ft' has 4 mel bands" in said


@pytest.mark.parametrize(
    "array",
    [MEL.astype(int), MEL.astype(complex), MEL > 2, np.array([["a"] * 6])],
)
def test_what_is_no_float_is_refused(save, array):
    assert "a log-mel is of floats" in refused("unreadable", save(array))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_not_finite_is_refused(save, value):
    mel = MEL.astype(float)
    mel[2, 3] = value
    refused("non-finite", save(mel))


def test_no_frames_no_file_no_array(save, tmp_path):
    refused("empty", save(np.zeros((BANDS, 0))))
    refused("missing", tmp_path / "none.npy")
    refused("unreadable", tmp_path)
    np.savez(tmp_path / "a.npz", mel=MEL)
    refused("unreadable", tmp_path / "a.npz")


def test_a_pickle_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("it was run",))

    np.save(tmp_path / "a.npy", np.array([[Bomb()]], object), allow_pickle=True)
    refused("unreadable", tmp_path / "a.npy")


def test_damage_anywhere_is_one_line_or_another_mel(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, MEL)
    whole = buffer.getvalue()
    rng = random.Random(0)
    path = tmp_path / "a.npy"
    for cut in range(0, len(whole), 3):
        path.write_bytes(whole[:cut])
        refused("unreadable", path)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(128)] = rng.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(AudioFileError):  # and nothing else
            assert read_mel(path, BANDS).shape[1] == BANDS
