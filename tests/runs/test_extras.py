"""What belongs to a run's weights: damaged or gone, it is one line, never made anew."""

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.runs import extras, side_files
from diffusion_audio.systems import classifier
from diffusion_audio.systems.conditioning import build_conditioning

DAMAGED = [b"", b"[1]", b"null", b"{", b"\xff\xfe", b"[" * 100_000]
CONDITIONERS = {
    "conditioners": {
        "text": {"name": "text", "vocabulary": 300, "max_tokens": 8, "vector_dim": 4}
    }
}
CLASSIFIER = {
    "task": "classifier",
    "audio": {"preset": "tones_16k"},
    "data": {"labels": ["pitch"]},
    "classifier": {"n_mels": 64, "classes": (2,)},
}


def run_with(tmp_path, name, data):
    path = tmp_path / "extras" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return extras.Extras(tmp_path)


def test_what_is_written_is_read(tmp_path):
    files = {"a/b.json": "1\n", "c.json": "2\n"}
    side_files.write(tmp_path, extras.in_run(files))
    assert dict(extras.Extras(tmp_path)) == files
    (tmp_path / "extras/c.json").unlink()
    kept = extras.Extras(tmp_path)
    assert list(kept) == ["a/b.json", "c.json"]  # that it was there is known
    with pytest.raises(UserError, match=r"lacks extras/c\.json"):
        kept["c.json"]


@pytest.mark.parametrize("data", [*DAMAGED, b"{}", b'{"version": "1.0"}'])
def test_a_damaged_tokenizer_is_one_line(tmp_path, data):
    kept = run_with(tmp_path, "conditioners/text/tokenizer.json", data)
    with pytest.raises(
        UserError, match=r"text/tokenizer\.json( of the run)? is damaged"
    ):
        build_conditioning(CONDITIONERS).read(kept)


@pytest.mark.parametrize("data", [*DAMAGED, b"{}", b'{"pitch": 3}', b'{"pitch": "ab"}'])
def test_damaged_labels_are_one_line(tmp_path, data):
    kept = run_with(tmp_path, "labels.json", data)
    with pytest.raises(UserError, match=r"labels\.json .*restore"):
        classifier.read_labels(classifier.build(CLASSIFIER), kept)


def test_what_a_saved_step_was_trained_with_is_not_made_anew(tmp_path):
    kept = extras.Extras(tmp_path)
    missing = r"lacks extras/.*tokenizer\.json, which its saved steps were"
    with pytest.raises(UserError, match=missing):
        build_conditioning(CONDITIONERS).read(kept)
    with pytest.raises(UserError, match=r"lacks extras/labels\.json, which its saved"):
        classifier.read_labels(classifier.build(CLASSIFIER), kept)
