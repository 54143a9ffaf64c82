"""Which clips are copied, and what is said of them."""

import numpy as np
import pytest

from benchmarks import resynthesis
from diffusion_audio.audio.spec import PRESETS
from diffusion_audio.errors import UserError


class Voices:
    """Clips of two speakers, every third of them short."""

    def __init__(self):
        self.attributes = {"speaker": ("a", "b", "c")}

    def __len__(self):
        return 20

    def describe(self, index):
        speaker = "c" if index == 19 else "ab"[index % 2]
        return {"attributes": {"speaker": speaker}}

    def __getitem__(self, index):
        return {"audio": np.full(100 if index % 3 else 50, index, np.float32)}


def test_clips_of_each_group_that_are_long_enough():
    found = dict(resynthesis.chosen(Voices(), "speaker", clips=4, samples=80))
    assert set(found) == {"a", "b"}  # of c there is one, which has no interval
    assert found["a"].shape == (4, 80)
    assert found["a"][:, 0].tolist() == [2, 4, 8, 10]
    with pytest.raises(UserError, match=r"no column 'accent'.* one of speaker"):
        list(resynthesis.chosen(Voices(), "accent", clips=4, samples=80))


def test_a_perfect_copy_has_no_error_and_a_mean_its_interval():
    wave = np.random.default_rng(0).normal(0, 0.1, (3, 4000)).astype(np.float32)
    for values in resynthesis.measured(PRESETS["audioldm_16k"], wave, wave):
        assert np.abs(values).max() < 1e-5
    assert resynthesis.interval(np.array([1.0, 2.0, 3.0])) == "2 ± 2.5"


def test_a_vae_stands_before_the_vocoder():
    """Of as many clips as there are, whatever the batches."""
    spec, waves = PRESETS["tones_16k"], np.ones((5, 2048), np.float32)
    heard = []

    def vocode(mels):
        heard.append(np.asarray(mels))
        return np.full((len(mels), 2560), heard[-1].max(), np.float32)

    voice = resynthesis.Voice(spec, None, {}, vocode, None)
    off = np.full((resynthesis.BATCH, 8, spec.n_mels), 3.0)
    copies = dict(resynthesis.both(voice, waves, lambda x: (off - 1, off)))
    assert list(copies) == ["vocoder", "VAE and vocoder", "Griffin-Lim"]
    assert {copy.shape for copy in copies.values()} == {waves.shape}
    assert (copies["VAE and vocoder"] == 3).all()
    assert (copies["vocoder"] != 3).all()
