"""Files that nobody wrote: whatever they hold, they are samples or a named bad file."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusion_audio.audio import decoders, files
from diffusion_audio.audio.decoders import decoding
from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.audio.hearing import hear_file

FORMATS = {
    "wav": {"subtype": "PCM_16"},
    "float.wav": {"subtype": "FLOAT"},
    "flac": {},
    "ogg": {},
    "mp3": {},
    "aiff": {},
    "au": {},
    "caf": {},
    "w64": {},
}


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Other bytes, mostly in the header; or a part that is cut out or repeated."""
    changed = bytearray(data)
    kind = rng.integers(4)
    end = len(data) if kind == 0 else min(len(data), 200)
    place = int(rng.integers(end))
    if kind < 2:
        for place in rng.integers(end, size=rng.integers(1, 5)):
            changed[place] = rng.integers(256)
    elif kind == 2:
        size = 1 << rng.integers(4)
        changed[place : place + size] = bytes([rng.choice([0, 127, 255])]) * size
    else:
        stop = int(rng.integers(place, len(data)))
        changed[place:stop] = data[place:stop] * int(rng.integers(3))
    return bytes(changed)


def survived(root: Path, count: int, decode) -> set[str]:
    """What became of files that are mutations of each format."""
    rng = np.random.default_rng(0)
    wave = rng.uniform(-0.5, 0.5, (3000, 2))
    found = set()
    for name, options in FORMATS.items():
        whole, path = root / f"whole.{name}", root / f"case.{name}"
        soundfile.write(whole, wave, 16_000, **options)
        for _ in range(count):
            path.write_bytes(mutated(whole.read_bytes(), rng))
            try:
                samples = decode(files.excerpt, path, 16_000, 1000, rng.random())
                assert samples.dtype == np.float32
                assert np.isfinite(samples).all()
                assert 0 < len(samples) <= 1000
                found.add("good")
            except AudioFileError as error:
                found.add(error.kind)
    return found


def test_no_mutation_ends_the_process(tmp_path):
    with decoding(1) as decode:
        found = survived(tmp_path, 60, decode)
    assert {"good", "unreadable", "truncated"} <= found


@pytest.mark.slow
def test_no_mutation_of_ten_thousand_ends_the_process(tmp_path):
    with decoding(1) as decode:
        survived(tmp_path, 1200, decode)


def test_silence_of_a_thousand_times_its_size_is_bounded(tmp_path, monkeypatch):
    """Ten minutes in 90 kB: heard block by block, and refused where it is too much."""
    path = tmp_path / "silence.flac"
    soundfile.write(path, np.zeros(600 * 16_000, np.int16), 16_000)
    monkeypatch.setattr(decoders, "MEMORY", 60 << 20)
    with decoding(1) as decode:
        with pytest.raises(
            AudioFileError, match="than the 60 MB that it may"
        ) as caught:
            decode(files.read, path, 16_000)
        assert caught.value.kind == "too-large"
        assert decode(hear_file, path).peak == 0
        assert len(decode(files.excerpt, path, 16_000, 1000, 0.5)) == 1000
