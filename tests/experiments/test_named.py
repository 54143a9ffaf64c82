"""Generated clips under the names of the clips whose captions they were made of."""

import json

import pytest

from diffusion_audio.errors import UserError
from experiments.reproduction.named import copy

CAPTIONS = "file_name,caption\nclips/rain.wav,rain on a roof\ndog.wav,a dog barks\n"
PROMPTS = ("rain on a roof", "a dog barks")


@pytest.fixture
def made(tmp_path):
    """A folder as `generate` writes it; returns its index, to be changed."""
    (tmp_path / "captions.csv").write_text(CAPTIONS)
    (tmp_path / "generated").mkdir()

    def write(candidates=1, ranks=(), complete=True, prompts=PROMPTS):
        repeated = [prompt for prompt in prompts for _ in range(candidates)]
        files = [
            {"file": f"{i:05d}_x.wav", "prompt": prompt, "position": i}
            for i, prompt in enumerate(repeated)
        ]
        for clip, rank in zip(files, ranks, strict=False):
            clip["rank"] = rank
        for clip in files:
            (tmp_path / "generated" / clip["file"]).write_text(clip["file"])
        index = {"files": files, "complete": complete, "num_candidates": candidates}
        (tmp_path / "generated" / "index.json").write_text(json.dumps(index))
        copy(tmp_path / "generated", tmp_path / "captions.csv", tmp_path / "out")
        return {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}

    return write


def test_a_clip_has_the_name_of_its_row(made):
    assert made() == {"rain.wav": "00000_x.wav", "dog.wav": "00001_x.wav"}


def test_of_candidates_the_nearest_is_taken(made):
    found = made(candidates=3, ranks=(2, 1, 3, 3, 2, 1))
    assert found == {"rain.wav": "00001_x.wav", "dog.wav": "00005_x.wav"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": 2}, "candidates without ranks"),
        ({"complete": False}, "to the end"),
        ({"prompts": PROMPTS[:1]}, "expected 2 clips .* got 1"),
        ({"prompts": PROMPTS[::-1]}, "made of 'a dog barks', another caption"),
    ],
)
def test_what_cannot_be_named_is_refused(made, options, message):
    with pytest.raises(UserError, match=message):
        made(**options)


def test_nothing_is_written_over(made, tmp_path):
    made()
    with pytest.raises(UserError, match="is there already"):
        made()


def test_two_rows_of_one_clip_are_refused(made, tmp_path):
    made()
    text = CAPTIONS.replace("dog.wav", "other/rain.wav")
    (tmp_path / "captions.csv").write_text(text)
    with pytest.raises(UserError, match="several rows are of rain"):
        copy(tmp_path / "generated", tmp_path / "captions.csv", tmp_path / "new")
