import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusion_audio.audio import files
from diffusion_audio.audio.hearing import hear
from diffusion_audio.data import check, pipeline, tones
from diffusion_audio.data.listing import list_folder
from diffusion_audio.data.names import Fault
from diffusion_audio.data.open import open_source
from diffusion_audio.errors import UserError
from tests.audio.encoded import chirp, encode, frames, id3

RATE = 16_000


def noise(seed: int, seconds: float = 0.2) -> np.ndarray:
    size = round(seconds * RATE)
    return np.random.default_rng(seed).uniform(-0.5, 0.5, size).astype(np.float32)


def header(rate: int, channels: int, samples: bytes) -> bytes:
    """A 16-bit WAV file by hand: libsndfile would not write these."""
    fmt = struct.pack("<HHIIHH", 1, channels, rate, 0, 2 * channels, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + fmt
    body += b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Four good files and twelve bad ones."""
    for i in range(3):
        soundfile.write(tmp_path / f"good{i}.wav", noise(i), RATE)
    soundfile.write(tmp_path / "good3.flac", noise(3), 44_100)

    soundfile.write(tmp_path / "cut.wav", noise(10), RATE)
    whole = (tmp_path / "cut.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    soundfile.write(tmp_path / "cut.flac", noise(11, 2.0), RATE)
    whole = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.wav").write_text("<html>404</html>")
    (tmp_path / "nothing.wav").write_bytes(b"")
    (tmp_path / "no_samples.wav").write_bytes(header(RATE, 1, b""))
    soundfile.write(tmp_path / "silent.wav", np.zeros(3000), RATE)
    soundfile.write(tmp_path / "clipped.wav", np.clip(6 * noise(12), -1, 1), RATE)
    bad = noise(13)
    bad[77] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, RATE, "FLOAT")
    (tmp_path / "rate.wav").write_bytes(header(2**31 - 1, 1, b"12" * 99))
    (tmp_path / "channels.wav").write_bytes(header(RATE, 1000, b"12" * 5000))
    same, _ = soundfile.read(tmp_path / "good0.wav", dtype="int16")
    soundfile.write(tmp_path / "again.flac", same, RATE)

    rows = ["file_name,caption,split"]
    for path in sorted(tmp_path.iterdir()):
        split = "validation" if path.name == "again.flac" else "train"
        rows.append(f"{path.name},a sound,{split}")
    rows.append("gone.wav,a sound,train")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    return tmp_path


BAD = {
    "cut.wav": "truncated",
    "cut.flac": "truncated",
    "page.wav": "unreadable",
    "nothing.wav": "empty",
    "no_samples.wav": "empty",
    "silent.wav": "silent",
    "clipped.wav": "clipped",
    "nan.wav": "non-finite",
    "rate.wav": "rate",
    "channels.wav": "channels",
    "gone.wav": "missing",
}


def test_twelve_planted_bad_files_are_named_and_no_other(planted: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = check.check(
        f"folder:{planted}", progress=lambda done, total: seen.append((done, total))
    )
    found = {finding.file: finding.kind for finding in report.findings}
    # Of two equal files the one that sorts later is named.
    assert found == BAD | {"good0.wav": "duplicate"}
    assert report.clips == {"train": 15, "validation": 1}
    assert report.counts["truncated"] == report.counts["empty"] == 2
    assert sum(report.counts.values()) == 12
    assert seen == [(i, 16) for i in range(1, 17)]
    details = {finding.file: finding.detail for finding in report.findings}
    assert details["good0.wav"] == "train has the audio of again.flac in validation"
    assert all(details.values())


def test_a_run_over_them_skips_what_cannot_be_heard(planted: Path) -> None:
    def run() -> tuple[list[bytes], dict[str, int]]:
        source = open_source(f"folder:{planted}", "train", RATE)
        stream = pipeline.batches(
            source, batch_size=1, samples=32_000, seed=0, repeat=False, skip_budget=0.6
        )
        waves = [batch["audio"].tobytes() for batch in stream]
        return waves, stream.skipped

    waves, skipped = run()
    assert len(waves) == 6  # the good, the silent and the clipped
    heard = set(BAD.values()) - {"silent", "clipped"}
    assert skipped == {kind: list(BAD.values()).count(kind) for kind in heard}
    assert run() == (waves, skipped)


def test_equal_files_of_one_split_are_no_finding(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, noise(0), RATE)
    rows = ["file_name,caption,split", "a.wav,x,train", "b.wav,x,train"]
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    report = check.check(f"folder:{tmp_path}")
    assert report.clips == report.captions == {"train": 2}
    assert (report.uncaptioned, report.findings) == (0, ())


def test_a_long_file_is_heard_to_its_end_in_pieces(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(files, "BLOCK", 4000)
    long = np.concatenate([np.zeros(5 * 4000), np.ones(100)])
    for name in ("a.flac", "b.flac"):
        soundfile.write(tmp_path / name, long, 4000)
    report = check.check(f"folder:{tmp_path}")
    assert report.counts == {"clipped": 2}
    assert "100 samples" in report.findings[0].detail


def test_a_peak_at_full_scale_is_not_clipping() -> None:
    wave = np.sin(2 * np.pi * 440 * np.arange(8000) / RATE)
    assert hear([wave / np.abs(wave).max()]).clipped == 0
    assert hear([np.clip(1.5 * wave, -1, 1)]).clipped > 100


def test_tones_are_all_good(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tones, "SPLITS", {"held_out": 1})
    report = check.check("tones", data_dir=tmp_path)
    count = {"held_out": 24}
    assert report == check.Report(count, count, 0, (), ())


def test_captions_are_counted_by_split_and_clips_without(tmp_path: Path) -> None:
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.wav", noise(i), RATE)
    rows = [
        "0.wav,a,b,validation",
        "1.wav,a,,train",
        "2.wav,c,d,train",
        "3.wav,,,test",
    ]
    text = "\n".join(["file_name,caption_1,caption_2,split", *rows])
    (tmp_path / "metadata.csv").write_text(text, encoding="utf-8")
    report = check.check(f"folder:{tmp_path}")
    assert [*report.clips.items()] == [("train", 2), ("validation", 1), ("test", 1)]
    assert [*report.captions.items()] == [("train", 3), ("validation", 2)]
    assert (report.uncaptioned, report.findings, report.notes) == (1, (), ())


def test_odd_names_and_nodes_are_findings_beside_the_others(tmp_path: Path) -> None:
    for i in range(2):
        soundfile.write(tmp_path / f"{i}.wav", noise(i), RATE)
    os.mkfifo(tmp_path / "pipe.wav")
    bad = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.wav")
    Path(bad).write_bytes((tmp_path / "0.wav").read_bytes())
    (tmp_path / "x.m4a").write_bytes(b"x")
    report = check.check(f"folder:{tmp_path}")
    assert report.findings == (
        ("bad\\xff.wav", "unreadable", "its name is not UTF-8 text: rename it"),
        ("pipe.wav", "unreadable", "a named pipe, not a file"),
    )
    assert sum(report.clips.values()) == 4
    [note] = report.notes
    assert note.startswith("not used: 'x.m4a': of a format that cannot be decoded")


def test_a_long_name_is_a_short_finding(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(0), RATE)
    rows = ["file_name,caption", "a.wav,x", f"{'y' * 5000}.wav,x"]
    (tmp_path / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    [finding] = check.check(f"folder:{tmp_path}").findings
    assert finding.kind == "missing"
    assert len(finding.file) < 320
    assert "line 3" in finding.detail


def test_a_folder_that_cannot_be_read_is_a_finding(tmp_path: Path, monkeypatch) -> None:
    soundfile.write(tmp_path / "a.wav", noise(0), RATE)
    listing = list_folder(tmp_path)._replace(faults={"sub": Fault("unreadable", "no")})
    monkeypatch.setattr(check, "list_folder", lambda place: listing)
    assert check.check("folder:x").findings == (("sub", "unreadable", "no"),)


def test_a_mistake_in_the_metadata_stops_the_check(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("name,caption\na.wav,x")
    with pytest.raises(UserError, match="expected the columns"):
        check.check(f"folder:{tmp_path}")
    with pytest.raises(UserError, match="unknown data source"):
        check.check("folders:x")
    with pytest.raises(UserError, match="names nothing after the colon"):
        check.check("folder:")


def test_lengths_are_those_of_training(tmp_path):
    """Headers that say nothing or too little: all of the sound is heard."""
    wave = chirp(44_100, 3.0)
    mp3 = encode("MP3 MPEG_LAYER_III", wave, 44_100, bitrate_mode="VARIABLE")
    bare = b"".join(frames(mp3)[1:])
    (tmp_path / "bare.mp3").write_bytes(id3(300_000) + bare)
    (tmp_path / "joined.mp3").write_bytes(mp3 + bare)
    flac = encode("FLAC PCM_16", wave, 44_100)
    (tmp_path / "joined.flac").write_bytes(flac + flac)
    # What only the second half holds: had it not been heard, it would not be found.
    loud = np.ones(22_050)
    clipped = flac + encode("FLAC PCM_16", loud, 44_100)
    (tmp_path / "clipped.flac").write_bytes(clipped)
    report = check.check(f"folder:{tmp_path}")
    assert {(f.file, f.kind) for f in report.findings} == {("clipped.flac", "clipped")}
    split = open_source(f"folder:{tmp_path}", "train", 44_100)
    seconds = {
        split.describe(i)["id"]: len(split[i]["audio"]) / 44_100
        for i in range(len(split))
    }
    for name, length in seconds.items():
        assert length == pytest.approx(6.0 if "joined" in name else 3.0, abs=0.6)
