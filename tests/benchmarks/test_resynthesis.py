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
