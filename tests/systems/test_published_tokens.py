"""Tokens of published tokenizers: of prompts, and of what to lead away from."""

import numpy as np
import pytest

from diffusion_audio.pretrained.tokenizer import PublishedTokenizer
from diffusion_audio.systems.conditioning import Tokenizers
from diffusion_audio.systems.published_tokens import reader
from tests.published import tokenizer_files

LONG = "techno music with a strong beat while water flows by"
PROMPTS = ["rain", "a dog barks loudly"]
KINDS = {"clap": "roberta", "t5": "t5"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """What a run keeps of CLAP's and T5's tokenizers."""
    texts = {}
    for name, kind in KINDS.items():
        folder = tmp_path_factory.mktemp(name)
        for file, text in getattr(tokenizer_files, kind)().items():
            (folder / file).write_text(text, encoding="utf-8")
        texts[f"{name}.json"] = PublishedTokenizer.read(folder, kind).to_json()
    return texts


def lengths(arrays, name):
    return arrays[f"{name}_mask"].sum(axis=-1).tolist()


@pytest.mark.parametrize("cut", [(), ("t5",)])
def test_a_negative_prompt_that_is_longer_than_all_prompts(kept, cut, caplog):
    """Its last token is the end of a text, cut or not; CLAP's is never cut."""
    tokens = reader(cut=cut, clap=40, t5=40)(kept)
    asked = tokens.arrays(PROMPTS)
    whole, made = tokens.arrays([LONG]), tokens.negative(LONG, asked)
    assert {name: a.shape for name, a in made.items()} == {
        name: a.shape for name, a in whole.items()
    }
    np.testing.assert_array_equal(made["clap_tokens"], whole["clap_tokens"])
    length = max(lengths(asked, "t5")) if cut else lengths(whole, "t5")[0]
    assert lengths(made, "t5") == [length]
    end = made["t5_tokens"][0, length - 1]
    np.testing.assert_array_equal(
        made["t5_tokens"][0, :length],
        [*whole["t5_tokens"][0, : length - 1], end],
    )
    assert end == asked["t5_tokens"][0, lengths(asked, "t5")[0] - 1]
    said = f"1 of 1 prompts cut to the {length} tokens that t5 takes"
    assert any(said in line for line in caplog.messages) == bool(cut)


def test_a_shorter_one_is_as_it_is(kept):
    tokens = reader(cut=("t5",), clap=40, t5=40)(kept)
    made, whole = (
        tokens.negative("rain", tokens.arrays([LONG])),
        tokens.arrays(["rain"]),
    )
    for name, array in whole.items():
        np.testing.assert_array_equal(made[name], array)


class Plain:
    """A tokenizer to which neighbours are nothing."""

    def arrays(self, prompts):
        return {"length": np.array([len(p) for p in prompts])}

    def null(self):
        return self.arrays([""])

    def files(self):
        return {}


def test_tokenizers_that_know_no_neighbours_and_those_that_do(kept):
    parts = {"a": Plain(), "b": reader(cut=("t5",), clap=40, t5=40)(kept)}
    tokenizers = Tokenizers(parts)
    made = tokenizers.negative(LONG, tokenizers.prompt(["rain"]))
    assert made["a"]["length"] == [len(LONG)]
    assert lengths(made["b"], "t5") == lengths(parts["b"].arrays(["rain"]), "t5")
