"""A published model of speech from its folder: transcripts that lack, and are heard."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.generation import files, generate, load
from diffusion_audio.generation.convert import convert
from diffusion_audio.generation.pipeline import Pipeline
from diffusion_audio.pretrained.tokenizer import PublishedTokenizer
from diffusion_audio.systems.conditioning import Tokenizers
from diffusion_audio.systems.published_tokens import PublishedTokens
from diffusion_audio.systems.speech_tokens import SpeechTokens
from diffusion_audio.training.prompts import ListenConfig, load_or_create
from diffusion_audio.training.task import Data
from tests.published import tokenizer_files
from tests.published.folders import make
from tests.tasks import Clips

KEY = jax.random.key(0)
LABEL = "language_of_speech"
SETTINGS = {"steps": 2, "duration": 0.16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make("audioldm2_speech", tmp_path_factory.mktemp("speech") / "it")


@pytest.fixture(scope="module")
def pipeline(folder):
    return load(folder)


@pytest.fixture
def asked(tmp_path):
    """What a pipeline of speech, or one of sounds, makes of transcripts."""
    for name, text in tokenizer_files.vits().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    said = PublishedTokenizer.read(tmp_path, "vits")
    parts = {"speech": SpeechTokens(PublishedTokens({}), said, 183, 182), "sounds": {}}
    fields = dict.fromkeys(field.name for field in dataclasses.fields(Pipeline))

    def of(kind="speech", **options):
        tokenizers = Tokenizers({kind: parts[kind]})
        pipeline = Pipeline(**fields | {"tokenizers": tokenizers})
        options = {"transcripts": None} | options
        return pipeline.transcripts(["a man", "a woman"], **options)

    return of


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "this is a model of speech: beside a prompt"),
        ({"phonemes": True}, "this is a model of speech: beside a prompt"),
        ({"transcripts": ["a"]}, "a transcript for each of 2 prompts, or one for all"),
        ({"transcripts": ["a", " "]}, "a transcript is empty"),
        ({"transcripts": [1, 2]}, "expected a transcript as text"),
        ({"kind": "sounds", "transcripts": "a"}, "this is no model of speech"),
        ({"kind": "sounds", "phonemes": True}, "this is no model of speech"),
    ],
)
def test_a_transcript_that_lacks_or_is_too_many(asked, options, message):
    with pytest.raises(UserError, match=message):
        asked(**options)


def test_a_transcript_for_each_prompt_or_one_for_all(asked):
    assert asked(transcripts="a") == ["a", "a"]
    assert asked(transcripts=("a", "b")) == ["a", "b"]
    assert asked(kind="sounds") is None


@pytest.mark.slow
def test_it_is_as_its_folder_says(pipeline, folder):
    group = pipeline.config["conditioners"][LABEL]
    assert group["tokens"] == 512  # whatever its GPT-2's config says
    assert group["projection"]["positions"] == 24
    assert group["null"] == "zeros"
    assert load(folder, preset="diffusers").config["conditioners"][LABEL]["null"] == (
        "generated"
    )


@pytest.mark.slow
def test_no_run_is_trained_on_captions(pipeline):
    data = Data(Clips(["a man"]), Clips(["a man"]), pipeline.tokenizers.files())
    with pytest.raises(UserError, match="has captions and no transcripts"):
        load_or_create(pipeline.system.conditioning, ListenConfig(), data)


@pytest.mark.slow
def test_converted_it_is_the_same(folder, pipeline, tmp_path):
    def leaves(one):
        return jax.tree.leaves((one.params, one.frozen))

    def plain(config):
        return json.loads(json.dumps(config))

    ours = convert(folder, tmp_path / "ours")
    theirs = convert(ours, tmp_path / "theirs", layout="diffusers")
    index = json.loads((theirs / "model_index.json").read_text("utf-8"))
    assert index["text_encoder_2"] == ["transformers", "VitsModel"]
    for place in (ours, theirs):
        again = load(place)
        assert plain(again.config) == plain(pipeline.config)
        assert again.tokenizers.files() == pipeline.tokenizers.files()
        for mine, its in zip(leaves(again), leaves(pipeline), strict=True):
            np.testing.assert_array_equal(mine, its)


@pytest.mark.slow
def test_another_transcript_is_another_sound(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "load", lambda *_, **__: pipeline)
    said = ["həlˈoʊ", "wˈɜːld"]
    options = {"phonemes": True, "num_candidates": 1, **SETTINGS}
    generate("model", ["a man"] * 2, tmp_path, transcripts=said, **options)
    index = json.loads((tmp_path / "index.json").read_text("utf-8"))
    assert index["phonemes"] is True
    assert [entry["transcript"] for entry in index["files"]] == said

    def hear(*transcripts):
        return pipeline(
            ["a man"] * 2, key=KEY, transcripts=transcripts, phonemes=True, **SETTINGS
        )

    first, second = hear(*said), hear(said[1], said[1])
    np.testing.assert_array_equal(first[1], second[1])
    assert np.abs(first[0] - second[0]).max() > 1e-3 * np.abs(first).max()
