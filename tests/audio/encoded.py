"""Small sound files as bytes, and what programs do to them."""

import io

import numpy as np
import soundfile

from diffusion_audio.audio.files import blocks, probe, read

KBPS = {  # of layer III, by version bit
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    0: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def chirp(rate, seconds, channels=1):
    """A rising tone, soft at first, so that no two parts are alike."""
    time = np.arange(round(rate * seconds)) / rate
    wave = np.linspace(0.05, 0.4, len(time)) * np.sin(
        2 * np.pi * (200 + 60 * time) * time
    )
    return np.repeat(wave[:, None], channels, 1).astype(np.float32)


def encode(kind, wave, rate, **options):
    """A file of one container and coding, such as ``"WAV PCM_16"``, as bytes."""
    container, coding = kind.split()
    file = io.BytesIO()
    soundfile.write(file, wave, rate, coding, format=container, **options)
    return file.getvalue()


def decoded(data):
    """What libsndfile makes of a good file: [N] mono."""
    return soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0].mean(1)


def id3(size):
    """A tag with a picture of so many bytes, among which are what looks like frames."""
    digits = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    picture = (b"\xff\xfb\x90\x44" + bytes(range(256))) * (size // 260 + 1)
    return b"ID3\x03\0\0" + digits + picture[:size]


def ape(size):
    """A tag of APE, second version, and an ID3 of the first."""
    items = b"k" * size

    def end(flags):
        words = (2000, size + 32, 1, flags)
        return b"APETAGEX" + b"".join(w.to_bytes(4, "little") for w in words) + bytes(8)

    return end(0xA0000000) + items + end(0x80000000) + b"TAG" + bytes(125)


def frames(data):
    """The frames of an MP3 without tags."""
    found = []
    while data:
        one = data[1] >> 3 & 1
        rate = (44_100, 48_000, 32_000)[data[2] >> 2 & 3]
        rate //= 1 if one else 2 if data[1] >> 4 & 1 else 4
        bits = 1000 * KBPS[one][data[2] >> 4]
        size = (144 if one else 72) * bits // rate + (data[2] >> 1 & 1)
        found.append(data[:size])
        data = data[size:]
    return found


def put(folder, data, name="a.bin"):
    """A file of such bytes; its name says nothing of them."""
    path = folder / name
    path.write_bytes(data)
    return path


def whole(path, atol=1e-4):
    """All samples, of a file that is as long as it says and the same in parts."""
    info = probe(path)
    wave = read(path, info.sample_rate)
    assert len(wave) == info.frames
    for start in (1, info.frames // 3, info.frames // 2 - 100, info.frames - 900):
        offset = start / info.sample_rate
        part = read(path, info.sample_rate, offset=offset, max_seconds=0.05)
        expected = wave[start : start + len(part)]
        np.testing.assert_allclose(part, expected, rtol=0, atol=atol)
    pieces = np.concatenate(list(blocks(path, info.sample_rate)))
    np.testing.assert_array_equal(pieces, wave)
    return wave
