import errno
import json
import os
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusion_audio.data import latent_files, latents, pipeline
from diffusion_audio.data.encoding import Encoding
from diffusion_audio.data.folder import FolderSource
from diffusion_audio.data.listing import list_folder
from diffusion_audio.errors import UserError

META = {"audio_spec": "abc", "vae": "123", "source": "f", "samples": 64}


@pytest.fixture
def source(tmp_path: Path) -> FolderSource:
    root = tmp_path / "clips"
    root.mkdir()
    rows = []
    for i in range(7):
        wave = np.full(64, i / 16)
        soundfile.write(root / f"{i}.wav", wave, 16_000)
        rows.append({"file_name": f"{i}.wav", "caption": f"c{i}", "caption_2": f"d{i}"})
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return FolderSource("clips", list_folder(root).entries, {}, 16_000)


def encode(audio: np.ndarray) -> np.ndarray:
    assert audio.shape == (4, 64)  # never another, so that it compiles once
    mean = audio.mean(axis=1)
    return np.stack([mean, -mean], axis=-1)[:, None, None, :] * np.ones((1, 2, 3, 1))


def encoding(source: FolderSource, encode=encode) -> Encoding:
    return Encoding(source, encode, samples=64, batch_size=4)


def make(directory: Path, source: FolderSource) -> None:
    latent_files.write(directory, encoding(source), META)


def opened(directory: Path, source: FolderSource, encode=encode, meta=META):
    return latents.open(directory, encoding(source, encode), meta)


def test_round_trip_through_the_pipeline(tmp_path: Path, source: FolderSource) -> None:
    make(tmp_path / "cache", source)
    cached = opened(tmp_path / "cache", source)
    assert len(cached) == 7
    assert cached.captions() == source.captions()
    assert cached.fingerprint() == source.fingerprint()
    assert cached.inventory() == source.inventory()
    for i in range(7):
        clip = cached[i]
        assert clip["caption"] == f"c{i}"
        assert clip["moments"].shape == (2, 3, 2)
        np.testing.assert_allclose(clip["moments"][..., 0], i / 16, atol=1e-4)
    stream = pipeline.batches(cached, batch_size=7, samples=64, seed=0)
    batch = next(stream)
    assert {k: v.shape for k, v in batch.items()} == {
        "moments": (7, 2, 3, 2),
        "index": (7,),
    }
    assert batch["moments"].dtype == np.float32
    rng = np.random.default_rng(0)
    assert {cached.draw(0, 64, rng)["caption"] for _ in range(9)} == {"c0", "d0"}


def test_order_and_captions_are_those_of_the_audio(
    tmp_path: Path, source: FolderSource
) -> None:
    make(tmp_path / "cache", source)
    cached = opened(tmp_path / "cache", source)
    settings = {"batch_size": 7, "samples": 64, "seed": 5}
    audio = next(pipeline.batches(source, **settings))["audio"][:, 0]
    moments = next(pipeline.batches(cached, **settings))["moments"][:, 0, 0, 0]
    np.testing.assert_allclose(moments, audio, atol=1e-4)


def test_bad_clips_stay_bad(tmp_path: Path, source: FolderSource) -> None:
    source.entries[2].path.write_bytes(b"<html>")
    make(tmp_path / "cache", source)
    cached = opened(tmp_path / "cache", source)
    stream = pipeline.batches(
        cached, batch_size=1, samples=64, seed=0, shuffle=False, repeat=False
    )
    assert len(list(stream)) == 6
    assert stream.skipped == {"unreadable": 1}
    for entry in source.entries:
        entry.path.write_bytes(b"")
    with pytest.raises(UserError, match=r"clips has no good clip: .*0\.wav"):
        make(tmp_path / "other", source)
    assert not (tmp_path / "other").exists()


def test_differing_fields_are_listed(tmp_path: Path, source: FolderSource) -> None:
    make(tmp_path / "cache", source)
    other = META | {"vae": "124", "samples": 128}
    with pytest.raises(
        UserError, match="else \\(samples: 64 != 128; vae: '123' != '12"
    ):
        opened(tmp_path / "cache", source, meta=other)
    source.entries.pop()
    with pytest.raises(UserError, match="clips: 7 != 6"):
        opened(tmp_path / "cache", source)


def test_damage_is_noticed(tmp_path: Path, source: FolderSource) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(UserError, match="no latents in"):
        opened(cache, source)
    make(cache, source)
    whole = (cache / "moments.npy").read_bytes()
    for damaged in (whole[:-4], whole[:50], b"", b"PK" + whole[2:]):
        (cache / "moments.npy").write_bytes(damaged)
        with pytest.raises(UserError, match=r"are damaged, or .*: delete them"):
            opened(cache, source)
    (cache / "moments.npy").write_bytes(whole)
    (cache / "moments.npy").write_bytes(whole.replace(b"(7, 2, 3, 2)", b"(7, 3, 2, 2)"))
    with pytest.raises(UserError, match=r"the header of .* is not what was"):
        opened(cache, source)
    (cache / "moments.npy").write_bytes(whole)
    for text in ("", "[]", '{"bad": {}}', '{"made_from": {}, "bad": []}'):
        (cache / "meta.json").write_text(text)
        with pytest.raises(UserError, match="are damaged"):
            opened(cache, source)


def test_no_pickle_is_loaded(tmp_path: Path, source: FolderSource) -> None:
    make(tmp_path / "cache", source)
    objects = np.array([{"a": 1}] * 7, dtype=object)
    np.save(
        tmp_path / "cache" / "moments.npy", objects, allow_pickle=True
    )  # the attack
    with pytest.raises(UserError, match="are damaged"):
        opened(tmp_path / "cache", source)


def test_an_interrupted_write_leaves_nothing(
    tmp_path: Path, source: FolderSource, monkeypatch
) -> None:
    calls = []

    def failing(audio: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode(audio)

    with pytest.raises(KeyboardInterrupt):
        latent_files.write(tmp_path / "cache", encoding(source, failing), META)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"cannot write the latents .*: No space left"):
        make(tmp_path / "cache", source)
    assert [path.name for path in tmp_path.iterdir()] == ["clips"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: Path, source: FolderSource
) -> None:
    host = socket.gethostname()
    ended = subprocess.Popen(["true"])
    ended.wait()
    for process in (ended.pid, os.getppid(), f"elsewhere.{ended.pid}"):
        (tmp_path / f".cache.{host}.{process}.tmp").mkdir()
    make(tmp_path / "cache", source)
    left = {path.name for path in tmp_path.glob(".*")}
    assert left == {
        f".cache.{host}.{os.getppid()}.tmp",
        f".cache.{host}.elsewhere.{ended.pid}.tmp",
    }


def test_who_comes_second_changes_nothing(tmp_path: Path, source: FolderSource) -> None:
    make(tmp_path / "cache", source)
    before = (tmp_path / "cache" / "moments.npy").stat().st_mtime_ns
    make(tmp_path / "cache", source)
    assert (tmp_path / "cache" / "moments.npy").stat().st_mtime_ns == before
    assert not list(tmp_path.glob(".*"))


def clips_of(cached) -> list[bytes]:
    return [cached[i]["moments"].tobytes() for i in range(len(cached))]


def never(audio: np.ndarray) -> np.ndarray:
    raise AssertionError("encoded though all is well")


def test_a_flipped_bit_is_found_where_it_is_read_and_mended(
    tmp_path: Path, source: FolderSource, caplog
) -> None:
    cache = tmp_path / "cache"
    make(cache, source)
    whole = (cache / "moments.npy").read_bytes()
    good = clips_of(opened(cache, source, never))
    data = bytearray(whole)
    data[-1] ^= 64  # of the last clip, the second batch
    (cache / "moments.npy").write_bytes(data)
    cached = opened(cache, source)
    assert clips_of(cached) == good
    assert caplog.text.count("the latent of clip 6.wav in") == 1  # stored again
    assert (cache / "moments.npy").read_bytes() == whole
    assert clips_of(opened(cache, source, never)) == good


def test_a_clip_that_cannot_be_made_again_stops_the_run(
    tmp_path: Path, source: FolderSource
) -> None:
    cache = tmp_path / "cache"
    make(cache, source)
    data = bytearray((cache / "moments.npy").read_bytes())
    data[-1] ^= 64
    (cache / "moments.npy").write_bytes(data)
    cached = opened(cache, source, lambda audio: 2 * encode(audio))
    assert cached[0]["moments"].shape == (2, 3, 2)
    with pytest.raises(UserError, match=r"clip 6.wav .* gives another one: delete"):
        cached[6]
    assert (cache / "moments.npy").read_bytes() == data


def test_what_is_cut_off_while_it_is_read_is_mended_too(
    tmp_path: Path, source: FolderSource
) -> None:
    make(tmp_path / "cache", source)
    cached = opened(tmp_path / "cache", source)
    good = clips_of(cached)
    with (tmp_path / "cache" / "moments.npy").open("r+b") as file:
        file.truncate(200)
    assert clips_of(cached) == good
    (tmp_path / "cache" / "moments.npy").unlink()
    with pytest.raises(UserError, match="were removed while they are used"):
        cached[0]


@pytest.mark.parametrize("name", ["meta.json", "sums.bin"])
def test_each_bit_of_what_vouches_counts(
    tmp_path: Path, source: FolderSource, name: str
) -> None:
    cache = tmp_path / "cache"
    source.entries[2].path.write_bytes(b"<html>")
    make(cache, source)
    whole = (cache / name).read_bytes()
    for place in range(0, len(whole), 7):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        (cache / name).write_bytes(data)
        try:
            cached = opened(cache, source)
        except UserError:
            continue
        assert json.loads(data) == json.loads(whole)  # white space
        assert cached[0]["moments"].shape == (2, 3, 2)


def test_moments_that_are_not_finite_are_never_stored(
    tmp_path: Path, source: FolderSource
) -> None:
    def broken(audio: np.ndarray) -> np.ndarray:
        moments = encode(audio)
        moments[1, 0, 0] = np.nan
        return moments

    with pytest.raises(UserError, match=r"gives NaN or infinity for clip 1\.wav"):
        latent_files.write(tmp_path / "cache", encoding(source, broken), META)
    assert not (tmp_path / "cache").exists()
    source.entries[1].path.write_bytes(b"<html>")  # bad ones are never read
    source.entries[5].path.write_bytes(b"<html>")
    latent_files.write(tmp_path / "cache", encoding(source, broken), META)
