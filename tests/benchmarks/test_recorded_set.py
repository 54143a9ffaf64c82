"""What a set of recordings makes of names and texts; no package is downloaded."""

import csv
import gzip

import numpy as np
import pytest
import soundfile

from benchmarks import recorded_set
from diffusion_audio.data.open import open_source

TRANSCRIPTS = """\
\ufeff; Core sounds in English

activated: Activated.
letters/at: at  [@]
digits/1: one
beep: [this is a beep]
long: {long}
no colon here
"""


def test_a_transcript_is_what_is_said():
    said = recorded_set.transcripts(TRANSCRIPTS.format(long="on").encode())
    assert said == {
        "activated": "Activated.",
        "letters/at": "at",
        "digits/1": "one",
        "long": "on",
    }


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("exploBig", "explo big"),
        ("Im-Phone-Ring", "im phone ring"),
        ("ghe5", "ghe 5"),
        ("line_start", "line start"),
    ],
)
def test_words_of_a_name(name, words):
    assert recorded_set.words_of(name) == words


def test_a_sample_is_captioned_by_its_group():
    assert recorded_set.sample_caption("bd_808") == "a bass drum, 808"
    assert recorded_set.sample_caption("elec_hi_snare") == (
        "an electronic sound, hi snare"
    )
    assert recorded_set.sample_caption("zap_x") == "a sound of zap, x"


def test_authors_are_those_of_the_links():
    readme = "* `:bd_808` - http://www.freesound.org/people/menegass/sounds/100061/"
    assert recorded_set.authors(f"## Drums\n\n{readme}\n") == {"bd_808": "menegass"}


def test_a_source_has_one_split_and_some_are_kept_out():
    names = [f"instrument {i}" for i in range(128)]
    found = [recorded_set.split(name) for name in names]
    assert found == [recorded_set.split(name) for name in names]
    assert 80 < found.count("train") < 115
    assert found.count("validation") > 4
    assert found.count("test") > 4
    assert recorded_set.split("voice of Carlo") == "validation"


@pytest.fixture
def packages(tmp_path):
    """Debian's packages with next to nothing in them."""
    wave = np.zeros(1600, np.int16)

    def find(name):
        root = tmp_path / "packages" / name
        licence = root / "usr/share/doc" / name / "copyright"
        if licence.exists():
            return root
        licence.parent.mkdir(parents=True)
        licence.write_text(f"of {name}")
        if name in recorded_set.EFFECTS:
            sounds = root / "usr/share/sounds"
            sounds.mkdir(parents=True)
            wave[0] = len(name)  # or it would be one sound in several splits
            soundfile.write(sounds / "phone-ring.wav", wave, 16_000)
            (sounds / "same.wav").symlink_to("phone-ring.wav")
            (sounds / "notes.txt").write_text("no sound")
        elif name.endswith("-g722"):
            language = name.split("-")[3]
            sounds = root / f"usr/share/asterisk/sounds/{language}_XX_m_Someone"
            (sounds / "digits").mkdir(parents=True)
            for stem in ("activated", "digits/1", "beep", "long"):
                (sounds / f"{stem}.g722").write_bytes(b"")
        else:
            text = TRANSCRIPTS.format(long="word " * 400)
            texts = licence.parent / f"core-sounds-{name[-2:]}.txt.gz"
            texts.write_bytes(gzip.compress(text.encode()))
        return root

    return find


def test_voices_have_captions_of_what_they_say(packages):
    found = {clip.name: clip for clip in recorded_set.voices(packages)}
    assert len(found) == 3 * len(recorded_set.VOICES)
    one = found["voices/it/digits-1.flac"]
    assert one.caption == 'a man says in Italian: "one"'
    assert one.source == "voice of Someone"
    assert max(len(clip.caption) for clip in found.values()) < 1000


def test_the_folder_is_a_data_set_with_its_licences(packages, tmp_path, monkeypatch):
    for maker in ("voices", "music", "samples", "instruments"):
        monkeypatch.setattr(recorded_set, maker, lambda packages: iter(()))
    out = tmp_path / "set"
    recorded_set.gather(out, packages)
    names = sorted(recorded_set.EFFECTS)
    assert sorted(path.name for path in (out / "licences").iterdir()) == names
    with (out / "metadata.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(names)  # links and texts are no sounds
    assert rows[0]["caption"] == "a desktop sound, phone ring"
    test = open_source(f"folder:{out}", "test")
    assert test.captions() == ["a game sound, phone ring"]
