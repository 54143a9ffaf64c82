"""Whole originals from their one file, against their own code written out in PyTorch.

Ours finds out from shapes what a network is and calls its arrays by our names; theirs
reads them by the names that they have in the file, once by their code's classes.
"""

import functools

import pytest

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("one_thread")]

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.parity import whole_bundles as theirs  # noqa: E402
from tests.parity.whole_ours import compare  # noqa: E402
from tests.published.encoder_configs import CLAP  # noqa: E402

# Widths that 32 groups divide, and more heads than one, of 32 and of 64 channels.
WIDTHS = [32, 64, 96]
SIZES = {
    "unet": {"block_out_channels": WIDTHS},
    "vae": {"block_out_channels": [32, 64, 64]},
    "text_encoder": {"text_config": CLAP["text_config"] | {"hidden_size": 128}},
}
CONTEXTS = [None, 128, 24]
LANGUAGE = {
    "language_model": {"n_embd": 128},
    "projection_model": {"langauge_model_dim": 128},
    "unet": SIZES["unet"] | {"cross_attention_dim": [CONTEXTS] * 3},
}
LARGE = {
    "cross_attention_dim": [[*CONTEXTS, None]] * 3,
    "transformer_layers_per_block": 2,
}
KINDS = {
    "audioldm": (
        "original_audioldm",
        theirs.audioldm,
        SIZES | {"unet": SIZES["unet"] | {"cross_attention_dim": WIDTHS}},
    ),
    "48k": (
        "original_48k",
        theirs.audioldm_48k,
        SIZES
        | {
            "vae": {"block_out_channels": [32, 64, 64, 64]},
            "vocoder": {"model_in_dim": 32},
        },
    ),
    "t5": ("original_t5", theirs.audioldm_t5, SIZES),
    "audioldm2": ("original_audioldm2", theirs.audioldm2, SIZES | LANGUAGE),
    "large": (
        "original_audioldm2",
        theirs.audioldm2,
        SIZES | LANGUAGE | {"unet": LANGUAGE["unet"] | LARGE},
    ),
}


@pytest.fixture
def both(folder, ours):
    """Ours of a kind in a preset, and theirs of the same file."""

    def of(kind, preset):
        name, reference, sizes = KINDS[kind]
        place = folder(name, **sizes)
        return ours(place, preset), functools.partial(reference, place)

    return of


@pytest.mark.parametrize("kind", KINDS)
def test_as_the_original(both, kind):
    """With the noise of eta 1."""
    mine, reference = both(kind, "original")
    assert (mine.eta, mine.heads) == (1.0, [1, 2, 3])
    compare(mine, reference)


@pytest.mark.parametrize("kind", ["audioldm", "t5"])
def test_in_the_default_way(both, kind):
    mine, reference = both(kind, "default")
    assert (mine.eta, mine.heads) == (0.0, [1, 2, 3])
    compare(mine, reference, eta=0.0)


def test_a_prompt_by_itself_in_the_default_way(both):
    """What GPT-2 says does not depend on the prompt beside it."""
    mine, reference = both("audioldm2", "default")
    compare(mine, reference, eta=0.0, alone=True)
