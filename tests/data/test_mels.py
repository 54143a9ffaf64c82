"""Recordings with saved mels: pairing, alignment to the sample, and what is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusion_audio.audio import files
from diffusion_audio.audio.files import AudioFileError
from diffusion_audio.audio.mel import log_mel
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.data import mel_pairs, pipeline
from diffusion_audio.data.mel_pairs import pair
from diffusion_audio.data.mels import excerpt
from diffusion_audio.data.open import open_source
from diffusion_audio.errors import UserError

RATE, HOP, BANDS = 8000, 64, 8
SPEC = AudioSpec(RATE, n_fft=256, win_length=256, hop_length=HOP, n_mels=BANDS)
NAMES = ("ann/1.wav", "ann/2.wav", "bo/1.wav", "bo/long.name.wav")
HOPS = (40, 50, 60, 70)  # of each recording


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Four recordings, the last for validation, and their mels as HiFi-GAN has them."""
    rng = np.random.default_rng(0)
    rows = ["file_name,caption,split"]
    for name, hops in zip(NAMES, HOPS, strict=True):
        # Frames of random loudness: no two excerpts have the same mel.
        loudness = np.repeat(rng.uniform(0.01, 0.5, hops), HOP)
        wave = loudness * rng.uniform(-1, 1, hops * HOP)
        save_clip(tmp_path / "clips" / name, wave)
        mel = np.asarray(log_mel(SPEC, wave.astype(np.float32)))
        save_mel(tmp_path / "mels" / Path(name).with_suffix(".npy"), mel.T)
        split = "validation" if "long" in name else "train"
        rows.append(f"{name},says {name},{split}")
    (tmp_path / "clips" / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path


def save_clip(path: Path, wave: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, "FLOAT")


def save_mel(path: Path, mel: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, mel)


def change(clips: Path, edit) -> None:
    """Every mel of the set made anew from what it was."""
    for path in (clips / "mels").rglob("*.npy"):
        np.save(path, edit(np.load(path)))


def opened(clips: Path, **options):
    folder = f"folder:{clips / 'clips'}"
    splits = [open_source(folder, name, RATE) for name in ("train", "validation")]
    return pair(splits, clips / "mels", SPEC, **options)


def refused(clips: Path, message: str, **options) -> str:
    with pytest.raises(UserError, match=message) as caught:
        opened(clips, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_clips_are_paired_by_name_and_sub_folder(clips):
    train, held = opened(clips)
    assert [train[i]["id"] for i in range(3)] == list(NAMES[:3])
    assert held[0]["id"] == NAMES[3]
    for clip, hops in zip([*train, held[0]], HOPS, strict=False):
        assert clip["mel"].shape == (hops, BANDS)
        assert clip["mel"].dtype == np.float32
        np.testing.assert_allclose(
            clip["mel"], log_mel(SPEC, clip["audio"]), rtol=1e-4, atol=1e-4
        )


def test_a_crop_is_some_frames_and_exactly_their_samples(clips):
    (train, _), borders = opened(clips), SPEC.n_fft // HOP
    starts = set()
    for seed in range(12):
        clip = train.draw(1, 20 * HOP, np.random.default_rng(seed))
        whole = train[1]["audio"].reshape(-1, HOP)
        start = int(np.flatnonzero(whole[:, 0] == clip["audio"][0])[0])
        starts.add(start)
        np.testing.assert_array_equal(
            clip["audio"], whole[start : start + 20].reshape(-1)
        )
        mine = np.asarray(log_mel(SPEC, clip["audio"]))[borders:-borders]
        np.testing.assert_allclose(
            clip["mel"][borders:-borders], mine, rtol=1e-4, atol=1e-4
        )
    assert len(starts) > 6


def test_both_ends_of_a_clip_are_drawn(clips):
    class Fixed(np.random.Generator):
        def __init__(self, value):
            super().__init__(np.random.PCG64(0))
            self.value = value

        def random(self):
            return self.value

    train, _ = opened(clips)
    mel = train[0]["mel"]
    for position, start in ((0.0, 0), (1 - 2**-53, 30), (0.5, 15)):
        clip = train.draw(0, 10 * HOP, Fixed(position))
        np.testing.assert_array_equal(clip["mel"], mel[start : start + 10])


def test_the_choice_does_not_depend_on_the_files(clips):
    """A damaged mel moves no other choice: the generator is as far as without it."""
    train, _ = opened(clips)
    (clips / "mels/ann/1.npy").write_bytes(b"gone")
    good, bad = np.random.default_rng(3), np.random.default_rng(3)
    train.draw(1, 10 * HOP, good)
    with pytest.raises(AudioFileError):
        train.draw(0, 10 * HOP, bad)
    assert good.random() == bad.random()


@pytest.mark.parametrize("rate", [4000, 7999, 11_025, 16_000, 44_100])
def test_a_part_of_a_recording_of_another_rate_is_that_of_the_whole(tmp_path, rate):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * rate)
    save_clip(tmp_path / "a.wav", noise, rate)
    whole = files.read(tmp_path / "a.wav", RATE)
    for start in (0, 5 * HOP, 77 * HOP, len(whole) - 30 * HOP):
        part = excerpt(tmp_path / "a.wav", rate, RATE, start, 30 * HOP)
        np.testing.assert_allclose(part, whole[start:][: 30 * HOP], atol=2e-3)


def test_a_clip_shorter_than_the_segment_ends_in_silence_in_both(clips):
    train, _ = opened(clips)
    clip = train.draw(0, 100 * HOP, np.random.default_rng(0))
    assert clip["audio"].shape == (100 * HOP,)
    assert not clip["audio"][40 * HOP :].any()
    silent = np.asarray(log_mel(SPEC, np.zeros(40 * HOP, np.float32)))
    np.testing.assert_allclose(clip["mel"][40:], np.tile(silent[0], (60, 1)), rtol=1e-6)
    np.testing.assert_array_equal(clip["mel"][:40], train[0]["mel"])


@pytest.mark.parametrize("log", ["ln", "log10"])
def test_silence_is_what_log_mel_makes_of_it(clips, log):
    loud = dataclasses.replace(SPEC, power_eps=1e-2, log=log)
    folder = open_source(f"folder:{clips / 'clips'}", "train", RATE)
    (train,) = pair([folder], clips / "mels", loud)
    clip = train.draw(0, 41 * HOP, np.random.default_rng(0))
    silent = np.asarray(log_mel(loud, np.zeros(40 * HOP, np.float32)))
    np.testing.assert_allclose(clip["mel"][40], silent[0], rtol=1e-5)


def test_frames_that_the_recording_lacks_are_not_used(clips):
    """Centred frames are one more; the two ends stay together."""
    change(clips, lambda mel: np.concatenate([mel, mel[:, -1:] + 9], axis=1))
    train, _ = opened(clips)
    assert train[0]["mel"].shape == (40, BANDS)
    assert train[0]["audio"].shape == (40 * HOP,)


def test_batches_have_mels_beside_audio(clips):
    train, _ = opened(clips)
    stream = pipeline.batches(train, batch_size=3, samples=10 * HOP, seed=0)
    batch = next(stream)
    assert {name: value.shape for name, value in batch.items()} == {
        "audio": (3, 10 * HOP),
        "mel": (3, 10, BANDS),
        "index": (3,),
    }
    assert batch["mel"].dtype == batch["audio"].dtype == np.float32


@pytest.mark.parametrize(
    "edit", [lambda mel: mel.T, lambda mel: mel[None], lambda mel: mel.T[None]]
)
def test_the_order_is_found(clips, edit):
    change(clips, edit)
    np.testing.assert_allclose(
        opened(clips)[0][0]["mel"],
        log_mel(SPEC, opened(clips)[0][0]["audio"]),
        rtol=1e-4,
        atol=1e-4,
    )


def test_a_square_mel_has_the_order_of_the_others(clips):
    """One recording as long as there are bands does not stop a training."""
    wave = np.random.default_rng(1).uniform(-0.3, 0.3, BANDS * HOP)
    save_clip(clips / "clips/ann/1.wav", wave)
    mel = np.asarray(log_mel(SPEC, wave.astype(np.float32)))
    save_mel(clips / "mels/ann/1.npy", mel.T)
    clip = opened(clips)[0][0]
    np.testing.assert_allclose(clip["mel"], mel, rtol=1e-5)


def test_only_square_mels_need_the_order(tmp_path):
    wave = np.random.default_rng(1).uniform(-0.3, 0.3, BANDS * HOP)
    save_clip(tmp_path / "clips/a.wav", wave)
    mel = np.asarray(log_mel(SPEC, wave.astype(np.float32)))
    save_mel(tmp_path / "mels/a.npy", mel.T)
    folder = open_source(f"folder:{tmp_path / 'clips'}", "train", RATE)
    with pytest.raises(UserError, match="set mel_axes to 'ft' for bands first"):
        pair([folder], tmp_path / "mels", SPEC)
    (source,) = pair([folder], tmp_path / "mels", SPEC, axes="ft")
    np.testing.assert_array_equal(source[0]["mel"], mel)


def test_two_orders_in_one_set_are_refused(clips):
    path = clips / "mels/bo/1.npy"
    np.save(path, np.load(path).T)
    refused(clips, r"not of one order.*ann/1\.npy has its bands first and .*bo/1\.npy")


def test_what_lacks_its_other_half_is_named_and_counted(clips, caplog):
    (clips / "mels/ann/2.npy").unlink()
    save_mel(clips / "mels/ann/3.npy", np.zeros((BANDS, 40)))
    save_mel(clips / "mels/zoe/9.npy", np.zeros((BANDS, 40)))
    train, held = opened(clips)
    assert (len(train), len(held)) == (2, 1)
    assert [train[i]["id"] for i in range(2)] == [NAMES[0], NAMES[2]]
    assert train.captions() == [f"says {NAMES[0]}", f"says {NAMES[2]}"]
    lacking, unused = (record.message for record in caplog.records)
    assert "no mel for 1 of the 3 clips of" in lacking
    assert "left out; the first: ann/2.wav (expected " in lacking
    assert " for 2 of the 5 mels in" in unused
    assert "not used; the first: ann/3.npy" in unused


def test_a_whole_set_says_nothing(clips, caplog):
    opened(clips)
    assert not caplog.records


def test_a_split_without_any_mel_is_refused(clips):
    (clips / "mels/bo/long.name.npy").unlink()
    said = refused(clips, "none of the 1 clips of folder:.*/validation has a mel in")
    assert "expected " + str(clips / "mels/bo/long.name.npy") in said
    assert "one that is there: " + str(clips / "mels/ann/1.npy") in said


def test_two_recordings_of_one_name_are_refused(clips):
    """Also across splits: which of them was the mel made from?"""
    (clips / "clips/bo/long.name.flac").write_bytes(b"never opened")
    with (clips / "clips/metadata.csv").open("a", encoding="utf-8") as file:
        file.write("\nbo/long.name.flac,x,train")
    refused(clips, r"would both have the mel bo/long\.name\.npy")


def test_no_folder_no_mels_no_files_to_pair(clips, tmp_path):
    (tmp_path / "none").mkdir()
    folder = open_source(f"folder:{clips / 'clips'}", "train", RATE)
    with pytest.raises(UserError, match=r"config\.data\.mels: no folder '.*nowhere'"):
        pair([folder], tmp_path / "nowhere", SPEC)
    with pytest.raises(UserError, match=r"holds no \.npy file; the mel of NAME\.wav"):
        pair([folder], tmp_path / "none", SPEC)

    class Other:
        name = "tones/train"

    with pytest.raises(UserError, match=r"but the data source is tones/train: set"):
        pair([Other()], clips / "mels", SPEC)


@pytest.mark.parametrize("hop", [32, 80])
def test_mels_of_another_hop_are_refused_with_the_ratio(clips, hop):
    change(clips, lambda mel: np.zeros((BANDS, mel.shape[1] * HOP // hop)))
    said = refused(clips, "3 of the 3 pairs of .*/train and its mels are bad")
    assert f"is about {hop} samples, {hop / HOP:g} times the audio spec's" in said
    assert "hop_length of 64" in said


def test_one_of_another_length_is_a_bad_clip_with_both_lengths(clips):
    save_mel(clips / "mels/ann/2.npy", np.zeros((BANDS, 30)))
    train, _ = opened(clips)
    with pytest.raises(AudioFileError) as caught:
        train.draw(1, 10 * HOP, np.random.default_rng(0))
    assert caught.value.kind == "length"
    assert "30 frames of 64 samples are 0.24 s, but ann/2.wav is 0.40 s" in str(
        caught.value
    )
    stream = pipeline.batches(
        train, batch_size=1, samples=640, seed=0, shuffle=False, repeat=False
    )
    assert len(list(stream)) == 2
    assert stream.skipped == {"length": 1}


@pytest.mark.parametrize("off", [-mel_pairs.TOLERANCE, mel_pairs.TOLERANCE])
def test_a_frame_or_two_more_or_less_are_framing(clips, off):
    path = clips / "mels/ann/1.npy"
    mel = np.load(path)
    np.save(path, np.pad(mel, ((0, 0), (0, 2)))[:, : 40 + off])
    assert len(opened(clips)[0][0]["mel"]) == min(40, 40 + off)
    np.save(path, np.zeros((BANDS, 40 + off + np.sign(off))))
    with pytest.raises(AudioFileError):
        opened(clips)[0][0]


def test_more_bad_pairs_than_the_budget_are_refused_at_once(clips):
    (clips / "mels/ann/1.npy").write_bytes(b"damaged")
    (clips / "clips/ann/2.wav").write_bytes(b"damaged")
    said = refused(clips, r"2 of the 3 pairs of .*\{'unreadable': 2\}.*skip_budget")
    assert "ann/1.npy" in said
    train, _ = opened(clips, skip_budget=0.7)
    assert train[2]["id"] == NAMES[2]


def test_mels_of_other_bands_are_refused(clips):
    change(clips, lambda mel: mel[:5])
    refused(clips, r"\{'bands': 3\}.* \[5, 40\] has no axis of 8 mel bands")


def test_nan_makes_a_bad_clip_when_it_is_drawn(clips):
    path = clips / "mels/ann/1.npy"
    mel = np.load(path)
    mel[3, 20] = np.nan
    np.save(path, mel)
    train, _ = opened(clips)
    with pytest.raises(AudioFileError, match="NaN") as caught:
        train.draw(0, 40 * HOP, np.random.default_rng(0))
    assert caught.value.kind == "non-finite"


def test_centred_frames_are_warned_of(clips, caplog):
    change(clips, lambda mel: np.pad(mel, ((0, 0), (0, 1))))
    opened(clips)
    assert "one frame more than its recording has hops" in caplog.text


def test_the_fingerprint_is_of_the_mels_content(clips):
    train, _ = opened(clips)
    before, inventory = train.fingerprint(), train.inventory()
    assert before == opened(clips)[0].fingerprint()
    assert before != open_source(f"folder:{clips / 'clips'}", "train").fingerprint()
    assert list(inventory) == list(NAMES[:3])
    path = clips / "mels/ann/2.npy"
    np.save(path, np.load(path) + 1)  # of the same size
    train, _ = opened(clips)
    assert train.fingerprint() != before
    changed = train.inventory()
    assert {name for name in changed if changed[name] != inventory[name]} == {NAMES[1]}
    save_clip(clips / "clips/bo/1.wav", np.zeros(60 * HOP))
    assert opened(clips)[0].inventory()[NAMES[2]] != inventory[NAMES[2]]
    path.unlink()
    assert opened(clips)[0].fingerprint() != before


def test_accents_pair_however_they_are_coded(clips):
    (clips / "mels/ann/1.npy").rename(clips / "mels/ann/e\u0301.npy")
    (clips / "clips/ann/1.wav").rename(clips / "clips/ann/\u00e9.wav")
    metadata = clips / "clips/metadata.csv"
    rows = metadata.read_text(encoding="utf-8").replace("ann/1.wav", "ann/\u00e9.wav")
    metadata.write_text(rows, encoding="utf-8")
    assert len(opened(clips)[0]) == 3
