from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusion_audio.audio.files import AudioFileError
from diffusion_audio.data import check, pipeline
from diffusion_audio.data.inventory import clip_hash
from diffusion_audio.data.open import open_source
from diffusion_audio.data.source import drawn_evenly
from diffusion_audio.errors import UserError
from tests.data.folders import write

RATE = 16_000


def sound(
    path: Path, seconds: float = 0.1, rate: int = RATE, channels: int = 1
) -> None:
    """A ramp from 0 to 0.5: the value tells the place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.linspace(0, 0.5, round(seconds * rate), dtype=np.float32)
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for name in ("a.wav", "b.flac", "sub/c.wav"):
        sound(tmp_path / name)
    return tmp_path


def test_any_rate_and_channels_come_as_mono_at_one_rate(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", seconds=0.5, rate=44_100, channels=2)
    wave = open_source(f"folder:{tmp_path}", "train", RATE)[0]["audio"]
    assert wave.shape == (8000,)
    np.testing.assert_allclose(
        wave[100:-100], np.linspace(0, 0.5, 8000)[100:-100], atol=1e-3
    )


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_only_the_crop_is_decoded(tmp_path: Path, monkeypatch, rate: int) -> None:
    sound(tmp_path / "a.flac", seconds=20, rate=rate)
    source = open_source(f"folder:{tmp_path}", "train", RATE)
    decoded = []
    read = soundfile.SoundFile.read

    def counting(self: soundfile.SoundFile, frames: int = -1, *args, **kwargs):
        decoded.append(frames)
        return read(self, frames, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    rng = np.random.default_rng(1)
    waves = [source.draw(0, 1600, rng)["audio"] for _ in range(50)]
    assert max(decoded) < rate  # the crop and what a decoder needs before it
    assert {len(wave) for wave in waves} == {1600}
    places = np.array([wave[800] for wave in waves]) / 0.5
    assert places.min() < 0.1
    assert places.max() > 0.9


def test_short_clips_are_padded(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    clip = open_source(f"folder:{tmp_path}", "train", RATE).draw(
        0, 2000, np.random.default_rng(0)
    )
    assert clip["audio"].shape == (2000,)
    assert not clip["audio"][1600:].any()


def test_bad_files_change_nothing_for_the_others(tmp_path: Path) -> None:
    for i in range(12):
        sound(tmp_path / f"{i:02d}.wav", seconds=0.3)

    def stream() -> list[float]:
        source = open_source(f"folder:{tmp_path}", "train", RATE)
        batches = pipeline.batches(
            source, batch_size=1, samples=200, seed=3, repeat=False
        )
        return [float(batch["audio"].sum()) for batch in batches]

    good = stream()
    bad = tmp_path / "05.wav"
    bad.write_bytes(bad.read_bytes()[:2000])
    left = stream()
    assert len(left) == len(good) - 1
    assert [value for value in good if value in left] == left


@pytest.mark.parametrize("spec", ["tone", "tones:x", "folder:", "tfds:", ""])
def test_unknown_sources_are_named(spec: str) -> None:
    with pytest.raises(UserError, match="data source"):
        open_source(spec)


def test_a_caption_is_drawn_among_several(clips: Path) -> None:
    rows = [{"file_name": "a.wav", "captions": ["one", "eins"], "mood": "sad"}]
    rows += [{"file_name": "b.flac", "captions": "two", "mood": "glad"}]
    path = write(clips / "set.jsonl", *(row | {"split": "train"} for row in rows))
    source = open_source(f"folder:{path}", "train", RATE)
    assert source.captions() == ["one", "eins", "two"]
    assert source.attributes == {"mood": ("glad", "sad")}
    rng = np.random.default_rng(0)
    drawn = {source.draw(0, 100, rng)["caption"] for _ in range(20)}
    assert drawn == {"one", "eins"}
    assert source[0]["caption"] == "one"


def test_attributes_are_those_of_all_splits(clips: Path) -> None:
    rows = ["a.wav,x,train,sad", "b.flac,x,val,glad"]
    write(clips / "metadata.csv", "file_name,caption,split,mood", *rows)
    for split in ("train", "validation", "val", "dev"):
        source = open_source(f"folder:{clips}", split, RATE)
        assert len(source) == 1
        assert source.attributes == {"mood": ("glad", "sad")}


@pytest.mark.parametrize(
    ("split", "hint"),
    [
        ("validation", "--config.data.evaluation_split=train"),
        ("train_2", "--config.data.evaluation_split=train"),
    ],
)
def test_a_split_that_is_not_there_names_those_that_are(
    tmp_path: Path, split: str, hint: str
) -> None:
    sound(tmp_path / "a.wav")
    with pytest.raises(UserError, match=f"no split {split!r}; it has,") as raised:
        open_source(f"folder:{tmp_path}", split, RATE)
    assert ": train (1);" in str(raised.value)
    assert hint in str(raised.value)


def test_a_missing_train_split_names_its_own_option(clips: Path) -> None:
    write(clips / "metadata.csv", "file_name,caption,split", "a.wav,x,test")
    with pytest.raises(UserError, match=r"--config\.data\.train_split=test"):
        open_source(f"folder:{clips}", "train", RATE)


def test_what_is_not_used_is_said_once(clips: Path, caplog) -> None:
    rows = ["a.wav,x", "gone.wav,x", "lost.wav,y", "sub/c.wav,x"]
    write(clips / "metadata.csv", "file_name,caption", *rows)
    write(clips / "captions.json", "[]")
    for split in ("train", "validation"):
        open_source(f"folder:{clips}", split, RATE)
    [record] = [r for r in caplog.records if r.levelname == "WARNING"]
    text = record.getMessage()
    assert text.startswith(f"not used of folder:{clips}: 'captions.json'")
    assert "'b.flac': not among those of 'metadata.csv'" in text
    assert "'gone.wav': no such file" in text
    assert text.endswith("(2 bad clips in all; `data check` names them)")


def test_a_known_fault_is_met_when_it_is_drawn(clips: Path) -> None:
    rows = ["a.wav,x,train", "gone.wav,x,train", f"{'y' * 5000},x,train"]
    write(clips / "metadata.csv", "file_name,caption,split", *rows)
    source = open_source(f"folder:{clips}", "train", RATE)
    assert len(source) == 3
    stream = pipeline.batches(
        source, batch_size=1, samples=100, seed=0, repeat=False, skip_budget=0.7
    )
    assert len([*stream]) == 1
    assert stream.skipped == {"missing": 2}
    assert len(source.inventory()) == 3
    with pytest.raises(AudioFileError, match=r"'gone.wav': no such file; .*line 3"):
        source[1]


def test_a_split_of_which_nothing_can_be_opened_is_refused(clips: Path) -> None:
    write(clips / "metadata.csv", "file_name,caption", "x.wav,one", "y.wav,two")
    with pytest.raises(UserError, match=r"every clip of .* is bad: '..wav': no such"):
        open_source(f"folder:{clips}", "train", RATE)


def test_clips_drawn_evenly_pass_over_bad_ones(tmp_path: Path, caplog) -> None:
    for i in range(6):
        sound(tmp_path / f"{i}.wav")
    (tmp_path / "0.wav").write_bytes(b"RIFF")
    rows = [f"{i}.wav,x,train" for i in range(6)]
    write(tmp_path / "metadata.csv", "file_name,caption,split", *rows)
    source = open_source(f"folder:{tmp_path}", "train", RATE)
    drawn = [clip["id"] for clip in drawn_evenly(source, 2, 100, seed=0)]
    assert drawn == ["1.wav", "5.wav"]
    assert "skipping a bad clip" in caplog.text
    assert len(drawn_evenly(source, 6, 100, seed=0)) == 5
    for path in tmp_path.glob("*.wav"):
        path.write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"no clip of .* is good"):
        drawn_evenly(source, 2, 100, seed=0)


def test_a_file_that_may_not_be_opened_is_not_hashed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.wav"
    outside.write_bytes(b"secret")
    root = tmp_path / "root"
    sound(root / "a.wav")
    (root / "link.wav").symlink_to(outside)
    rows = ["a.wav,x,train", "link.wav,x,train"]
    write(root / "metadata.csv", "file_name,caption,split", *rows)
    source = open_source(f"folder:{root}", "train", RATE)
    assert source.inventory()["link.wav"] == clip_hash(None, ("x",), {})


TABLE = ("file_name,caption", "a.wav,one", "b.wav,two", "c.wav,three")
LINES = tuple(f'{{"file_name": "{clip}.wav", "caption": "x"}}' for clip in "abc")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("metadata.csv", TABLE, f"d.wav,{'x' * 5000}"),
        ("metadata.csv", TABLE, "d.wav,a,b,c"),
        ("metadata.csv", TABLE, ",nameless"),
        ("metadata.jsonl", LINES, '{"file_name": "d.wav", "caption": 3}'),
        ("metadata.jsonl", LINES, "{torn"),
    ],
)
def test_one_bad_line_among_good_ones_is_named_and_passed_over(
    tmp_path: Path, caplog, name: str, good: tuple[str, ...], bad: str
) -> None:
    for number, clip in enumerate("abcd", start=1):
        sound(tmp_path / f"{clip}.wav", seconds=0.1 * number)
    write(tmp_path / name, *good, bad)
    where = f"{name}, line {len(good) + 1}"
    split = open_source(f"folder:{tmp_path}", "train", RATE)
    assert f"{where}: " in caplog.text
    assert 0 < len(split) < 4
    [finding] = check.check(f"folder:{tmp_path}").findings
    assert (finding.file, finding.kind) == (where, "metadata")
    assert str(tmp_path) not in finding.detail
