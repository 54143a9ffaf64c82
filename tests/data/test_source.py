"""Clips drawn from a source of which some are bad."""

import numpy as np
import pytest

from diffusion_audio.audio.file_error import AudioFileError
from diffusion_audio.data.source import drawn_evenly
from diffusion_audio.errors import UserError


class Numbers:
    """Clips that are their own numbers and the first draw of their generator."""

    name = "numbers"

    def __init__(self, clips, bad=()):
        self.clips, self.bad = clips, bad

    def __len__(self):
        return self.clips

    def draw(self, index, samples, rng):
        if index in self.bad:
            raise AudioFileError("empty", f"{index}.wav", "holds no samples")
        return {"id": index, "audio": np.full(samples, rng.random())}


def numbers(clips):
    return [clip["id"] for clip in clips]


def test_clips_are_spread_evenly_and_cropped_by_their_own_seed():
    clips = drawn_evenly(Numbers(11), 3, 4, seed=7)
    assert numbers(clips) == [0, 5, 10]
    assert clips[1]["audio"][0] == np.random.default_rng([7, 5]).random()


@pytest.mark.parametrize(
    ("clips", "count", "bad", "drawn"),
    [
        (11, 3, {5}, [0, 4, 10]),
        (11, 3, {4, 5, 6}, [0, 3, 10]),
        (11, 3, {0, 10}, [1, 5, 9]),
        (4, 4, {2}, [0, 1, 3]),
        (4, 2, {0, 1, 3}, [2]),
    ],
)
def test_the_nearest_good_one_takes_the_place_of_a_bad_one(
    clips, count, bad, drawn, caplog
):
    assert numbers(drawn_evenly(Numbers(clips, bad), count, 4, seed=0)) == drawn
    assert "skipping a bad clip of numbers" in caplog.text


def test_a_source_without_a_good_clip_is_refused():
    with pytest.raises(UserError, match=r"no clip of numbers is good; the last: .*wav"):
        drawn_evenly(Numbers(3, {0, 1, 2}), 2, 4, seed=0)
    with pytest.raises(UserError, match="no clip of numbers is good"):
        drawn_evenly(Numbers(0), 2, 4, seed=0)
