"""The tiny published folders are what diffusers and transformers would have written.

Every part is loaded by the class that its model_index.json names: no array is missing,
none is left, and none is of another shape.
"""

import json
import logging

import numpy as np
import pytest

from tests.published.folders import KINDS, make
from tests.published.originals import BUNDLES

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::FutureWarning")]

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from diffusers.pipelines.audioldm2 import modeling_audioldm2  # noqa: E402

FOLDERS = [kind for kind in KINDS if not kind.startswith("original")]
# What an Auffusion with its adapter has of these, which no index names.
AUFFUSION = {
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder_0": ["transformers", "CLIPTextModel"],
}
TOKENIZERS = ("tokenizer", "tokenizer_2", "text_encoder_0")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    return {kind: make(kind, root / kind) for kind in FOLDERS}


def classes(folder):
    """The class of each folder of a system."""
    index = folder / "model_index.json"
    named = AUFFUSION
    if index.is_file():
        named = json.loads(index.read_text(encoding="utf-8"))
    for name, entry in named.items():
        if isinstance(entry, list) and (folder / name).is_dir():
            library, word = entry
            modules = {"diffusers": diffusers, "transformers": transformers}
            yield name, getattr(modules.get(library, modeling_audioldm2), word)


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_part_loads_whole(published, kind):
    found = []
    for name, part in classes(published[kind]):
        place = published[kind] / name
        if not hasattr(part, "load_state_dict"):
            part.from_pretrained(place)
            continue
        _, how = part.from_pretrained(place, output_loading_info=True)
        if part is transformers.VitsModel:  # all but its text encoder is left out
            mine = {x for x in how["missing_keys"] if x.startswith("text_encoder.")}
            how["missing_keys"] = mine
        faults = {k: v for k, v in how.items() if v and k != "error_msgs"}
        assert not faults, (name, faults)
        found.append(name)
    assert {"unet", "vae"} < set(found)


@pytest.mark.parametrize("kind", sorted(BUNDLES))
def test_pytorch_reads_a_bundle_as_it_was_drawn(tmp_path, kind):
    (path,) = make(f"original_{kind}", tmp_path).glob("*.[pc]*t*")
    saved = torch.load(path, weights_only=True)["state_dict"]
    drawn = BUNDLES[kind](lambda name, config: config, 0)
    assert saved.keys() == drawn.keys()
    for name, array in drawn.items():
        assert saved[name].numpy().dtype == array.dtype
        np.testing.assert_array_equal(saved[name], array)


@pytest.mark.parametrize("kind", FOLDERS)
def test_tokenizers_know_their_own_words(published, kind, caplog):
    caplog.set_level(logging.ERROR)
    for name in TOKENIZERS:
        if not (published[kind] / name / "tokenizer_config.json").is_file():
            continue
        tokenizer = transformers.AutoTokenizer.from_pretrained(published[kind] / name)
        if isinstance(tokenizer, transformers.VitsTokenizer):
            assert tokenizer.convert_tokens_to_ids(["_", "ᵻ", "<unk>"]) == [0, 175, 176]
            continue  # letters are all that it has
        ids = tokenizer("a dog barks loudly in the rain").input_ids
        assert len(ids) < len("a dog barks loudly in the rain")  # not letters alone
        text = tokenizer.decode(ids, skip_special_tokens=True)
        assert text.strip() == "a dog barks loudly in the rain"
        size = json.loads(
            (published[kind] / _encoder(name) / "config.json").read_text("utf-8")
        )
        size = size.get("text_config", size)["vocab_size"]
        assert max(ids) < len(tokenizer) <= size


def _encoder(name):
    return name.replace("tokenizer", "text_encoder")
