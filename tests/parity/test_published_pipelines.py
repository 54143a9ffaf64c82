"""Whole systems from folders as published, against the pipelines of their authors.

Diffusers' own pipelines, run from prompts to waveforms, and the originals' ways, with
noise where they add some. `tests.published.folders` writes the folders without us.
"""

import pytest

from tests.published.cases import TRANSCRIPTS

pytestmark = [
    pytest.mark.parity,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from tests.parity import whole_originals as originals  # noqa: E402
from tests.parity import whole_pipelines as theirs  # noqa: E402
from tests.parity.whole_ours import compare  # noqa: E402

WIDE = {"block_out_channels": [16, 32, 64]}  # 1 and 2 heads of 32 channels, not 8


@pytest.mark.parametrize("negative", ["", "techno music"])
def test_audioldm_as_diffusers(folder, ours, negative):
    place = folder("audioldm")
    compare(
        ours(place, "diffusers"),
        lambda **asked: theirs.audioldm(place, negative=negative, **asked),
        negative,
    )


@pytest.mark.parametrize(
    ("kind", "negative"),
    [
        ("audioldm2", ""),
        ("audioldm2", "a man"),
        ("audioldm2", "techno music with a strong beat while water flows by"),
        ("audioldm2_large", ""),
    ],
)
def test_audioldm2_as_diffusers(folder, ours, kind, negative):
    place = folder(kind)
    compare(
        ours(place, "diffusers"),
        lambda **asked: theirs.audioldm2(place, negative=negative, **asked),
        negative,
    )


@pytest.mark.parametrize("negative", ["", "a man"])
def test_speech_as_diffusers(folder, ours, negative):
    """A transcript that is filled up, and one that is cut; no prompt says nothing."""
    place = folder("audioldm2_speech")
    compare(
        ours(place, "diffusers"),
        lambda **asked: theirs.audioldm2_speech(
            place, negative=negative, transcripts=TRANSCRIPTS, **asked
        ),
        negative,
    )


def test_audioldm_as_the_original(folder, ours):
    """With the noise of eta 1, and heads that diffusers has not."""
    place = folder("audioldm", unet=WIDE | {"cross_attention_dim": [16, 32, 64]})
    mine = ours(place, "original")
    assert (mine.eta, mine.heads[1:]) == (1.0, [1, 2])
    compare(mine, lambda **asked: originals.original_audioldm(place, **asked))


def test_audioldm2_as_the_original(folder, ours):
    """And zeros for no prompt, beside the end of an empty text."""
    place = folder("audioldm2", unet=WIDE)
    mine = ours(place, "original")
    assert (mine.eta, mine.heads[1:]) == (1.0, [1, 2])
    compare(mine, lambda **asked: originals.original_audioldm2(place, **asked))


def test_auffusion_without_its_adapter_as_diffusers(folder, ours):
    place = folder("auffusion_no_adapter")
    mine = ours(place, "default")
    compare(mine, lambda **asked: theirs.auffusion_no_adapter(place, **asked))


@pytest.mark.parametrize("negative", ["", "a man speaks"])
def test_auffusion_as_its_own_code(folder, ours, negative):
    place = folder("auffusion")
    compare(
        ours(place, "default"),
        lambda **asked: originals.auffusion(place, negative=negative or None, **asked),
        negative,
    )
