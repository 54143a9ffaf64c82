import errno
import json
import os
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusion_audio.data import latents, pipeline
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


def make(directory: Path, source: FolderSource) -> None:
    latents.write(directory, source, encode, META, samples=64, batch_size=4)


def test_round_trip_through_the_pipeline(tmp_path: Path, source: FolderSource) -> None:
    make(tmp_path / "cache", source)
    cached = latents.open(tmp_path / "cache", source, META)
    assert len(cached) == 7
    assert isinstance(cached.moments, np.memmap)
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
    cached = latents.open(tmp_path / "cache", source, META)
    settings = {"batch_size": 7, "samples": 64, "seed": 5}
    audio = next(pipeline.batches(source, **settings))["audio"][:, 0]
    moments = next(pipeline.batches(cached, **settings))["moments"][:, 0, 0, 0]
    np.testing.assert_allclose(moments, audio, atol=1e-4)


def test_bad_clips_stay_bad(tmp_path: Path, source: FolderSource) -> None:
    source.entries[2].path.write_bytes(b"<html>")
    make(tmp_path / "cache", source)
    cached = latents.open(tmp_path / "cache", source, META)
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
        latents.open(tmp_path / "cache", source, other)
    source.entries.pop()
    with pytest.raises(UserError, match="clips: 7 != 6"):
        latents.open(tmp_path / "cache", source, META)


def test_damage_is_noticed(tmp_path: Path, source: FolderSource) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(UserError, match="no latents in"):
        latents.open(cache, source, META)
    make(cache, source)
    whole = (cache / "moments.npy").read_bytes()
    for damaged in (whole[:-4], whole[:50], b"", b"PK" + whole[2:]):
        (cache / "moments.npy").write_bytes(damaged)
        with pytest.raises(UserError, match=r"are damaged .*: delete them"):
            latents.open(cache, source, META)
    (cache / "moments.npy").write_bytes(whole)
    for text in ("", "[]", '{"bad": {}}', '{"made_from": {}, "bad": []}'):
        (cache / "meta.json").write_text(text)
        with pytest.raises(UserError, match="are damaged"):
            latents.open(cache, source, META)


def test_no_pickle_is_loaded(tmp_path: Path, source: FolderSource) -> None:
    make(tmp_path / "cache", source)
    objects = np.array([{"a": 1}] * 7, dtype=object)
    np.save(
        tmp_path / "cache" / "moments.npy", objects, allow_pickle=True
    )  # the attack
    with pytest.raises(UserError, match="are damaged"):
        latents.open(tmp_path / "cache", source, META)


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
        latents.write(
            tmp_path / "cache", source, failing, META, samples=64, batch_size=4
        )

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
