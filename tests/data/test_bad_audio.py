"""A set of which twelve files are bad in twelve ways: all named, none ends the run."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusion_audio.audio import decoders
from diffusion_audio.audio.decoders import decoding
from diffusion_audio.data import check, pipeline
from diffusion_audio.data.open import open_source
from diffusion_audio.data.skipped import allowed
from tests.audio.test_decoders import FAULTY
from tests.data.test_check import header

RATE = 16_000
CLIPS = 200
KINDS = {
    "cut.flac": "truncated",
    "flipped.flac": "truncated",
    "page.wav": "unreadable",
    "nothing.wav": "empty",
    "no_samples.wav": "empty",
    "nan.wav": "non-finite",
    "rate.wav": "rate",
    "channels.wav": "channels",
    "gone.wav": "missing",
    "crash.wav": "crashed",
    "hang.wav": "too-slow",
    "bomb.wav": "too-large",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """188 good clips, one of them ten minutes of silence in 90 kB, and 12 bad ones."""
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for i in range(CLIPS - len(KINDS) - 1):
        soundfile.write(root / f"good{i:03}.wav", rng.uniform(-0.5, 0.5, 1600), RATE)
    soundfile.write(root / "silence.flac", np.zeros(600 * RATE, np.int16), RATE)
    soundfile.write(root / "whole.flac", rng.uniform(-0.5, 0.5, 3 * RATE), RATE)
    whole = (root / "whole.flac").read_bytes()
    (root / "whole.flac").unlink()
    (root / "cut.flac").write_bytes(whole[: len(whole) // 2])
    middle = len(whole) // 2
    flipped = bytes(255 ^ byte for byte in whole[middle : middle + 9])
    (root / "flipped.flac").write_bytes(whole[:middle] + flipped + whole[middle + 9 :])
    (root / "page.wav").write_text("<html>404</html>")
    (root / "nothing.wav").write_bytes(b"")
    (root / "no_samples.wav").write_bytes(header(RATE, 1, b""))
    nan = rng.uniform(-0.5, 0.5, 1600)
    nan[800:] = np.nan
    soundfile.write(root / "nan.wav", nan, RATE, "FLOAT")
    (root / "rate.wav").write_bytes(header(2**31 - 1, 1, b"12" * 99))
    (root / "channels.wav").write_bytes(header(RATE, 1000, b"12" * 5000))
    for name in ("crash", "hang", "bomb"):
        (root / f"{name}.wav").write_bytes((root / "good000.wav").read_bytes())
    names = sorted({path.name for path in root.iterdir()} | KINDS.keys())
    rows = [f"{name},a sound,train" for name in names]
    (root / "metadata.csv").write_text("\n".join(["file_name,caption,split", *rows]))
    return root


@pytest.fixture
def faulty(monkeypatch):
    monkeypatch.setattr(decoders, "WORKER", FAULTY)


def epoch(folder: Path, workers: int):
    """All batches of an epoch, by the default budget, and what was skipped."""
    with decoding(workers) as decode:
        source = open_source(f"folder:{folder}", "train", RATE, decode=decode)
        stream = pipeline.batches(
            source, batch_size=8, samples=3 * RATE, seed=1, repeat=False
        )
        audio = np.concatenate([batch["audio"] for batch in stream])
        names = {source.entries[int(i)].name: kind for i, kind in kinds(stream)}
        peaks = [peak_memory(w._process.pid) for w in decode._all if w.alive]
    return audio, names, max(peaks)


def peak_memory(process: int) -> int:
    """The most memory that a process has had, MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def kinds(stream):
    return stream.get_state()["skipped"].items()


def test_each_is_named_and_two_runs_skip_the_same(folder, faulty, caplog):
    with caplog.at_level(logging.WARNING):
        audio, names, memory = epoch(folder, 2)
    assert names == KINDS
    for name in KINDS:
        assert sum(name in record.message for record in caplog.records) >= 1, name
    assert len(audio) == CLIPS - len(KINDS)
    again, others, _ = epoch(folder, 1)
    assert others == names
    assert np.array_equal(audio, again)
    assert memory < 200  # MB


def test_the_check_names_the_same_and_the_silence(folder, faulty):
    report = check.check(f"folder:{folder}", workers=2)
    found = {finding.file: finding.kind for finding in report.findings}
    assert found == KINDS | {"silence.flac": "silent"}


@pytest.mark.parametrize(
    ("clips", "most"),
    [(1, 1), (9, 1), (20, 2), (76, 7), (200, 20), (5000, 20), (10**6, 1000)],
)
def test_the_budget_is_one_for_small_sets_and_large_ones(clips, most):
    assert allowed(clips, 0.001) == most
    assert allowed(clips, 0.5) == max(1, clips // 2)
