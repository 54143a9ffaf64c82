"""A spec that cannot be answered is refused in one line that says why."""

import dataclasses
import re

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.study import plan, spec
from diffusion_audio.study.spec import Experiment
from tests.recipes import CONFIGS

BASE = f"{CONFIGS / 'diffusion.py'}:tones"
EXPERIMENT = Experiment(
    question="Does more dropout help?",
    base=BASE,
    baseline="0.1",
    variants={"0.2": {"loss.condition_dropout": 0.2}},
    metrics={"adherence": "higher"},
)


def changed(**fields):
    return dataclasses.replace(EXPERIMENT, **fields)


def test_the_difference_is_the_ablation():
    made = spec.configs(
        changed(
            common={"train.steps": 7},
            components={"autoencoder": "configs/vae.py:tones"},
            variants={
                "a": {"sampling.guidance": 5},
                "b": {"components.autoencoder": ""},
            },
        )
    )
    assert list(made) == ["0.1", "a", "b"]
    assert {config.train.steps for config in made.values()} == {7}
    assert [c.sampling.guidance for c in made.values()] == [3.0, 5.0, 3.0]
    assert [c.components.autoencoder for c in made.values()] == [
        "configs/vae.py:tones",
        "configs/vae.py:tones",
        "",
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seeds": 2}, r"seeds: expected whole numbers such as \(0, 1, 2\), got 2"),
        ({"seeds": (0, 1.5)}, "seeds: expected whole numbers"),
        ({"prompts": 4}, "16 clips or more.* prompts=16"),
        ({"prompts": 48.5}, "prompts: expected a whole number, got 48.5"),
        ({"examples": -1}, "examples: expected a whole number, got -1"),
        ({"variants": {"x": 3}}, "variant x: expected overrides such as"),
    ],
)
def test_a_field_of_another_kind_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        changed(**fields)


def test_a_field_that_there_is_not_is_named_with_those_there_are(tmp_path):
    (tmp_path / "spec.py").write_text(
        "from diffusion_audio.study.spec import Experiment\n"
        "experiment = Experiment(question='?', seed=(0, 1))\n"
    )
    with pytest.raises(UserError, match=r"'seed' \(fields: question, base, .*seeds"):
        spec.load(tmp_path)


def test_an_experiment_elsewhere_is_not_found_but_those_here_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no blocks/spec\.py; .*from the repository's"):
        spec.load("blocks")
    (tmp_path / "experiments" / "blocks").mkdir(parents=True)
    (tmp_path / "experiments" / "blocks" / "spec.py").touch()
    (tmp_path / "package" / "audio").mkdir(parents=True)
    (tmp_path / "package" / "audio" / "spec.py").touch()  # of another kind
    with pytest.raises(UserError, match=r"known: experiments/blocks\)"):
        spec.load("blocks")


def test_a_group_is_replaced_as_a_whole():
    linear = {"name": "linear", "steps": 10}
    made = spec.configs(changed(variants={"linear": {"schedule": linear}}))
    assert made["linear"].schedule.to_dict() == linear
    assert made["0.1"].schedule.name == "cosine"


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"x": {"loss.condition_dropuot": 0}}, "variant x: .*did you mean"),
        ({"x": {"loss.condition_dropout": 0.1}}, "'x' changes nothing .* '0.1'"),
        ({"x": {}}, "'x' changes nothing"),
        (
            {"x": {"ema.decay": 0.5}, "y": {"ema.decay": 0.5}},
            "'y' changes nothing that decides a number, so it is 'x'",
        ),
        ({"x": {"train.steps": "many"}}, "variant x: .*train.steps is [0-9]+"),
        (
            {"x": {"sampling": 3}},
            "is a group, not a value; set sampling\\..*sampling.steps",
        ),
        ({"x": {"seed": 3}}, "seed is set by the experiment's seeds"),
        ({"x": {"train.steps.more": 3}}, "is a value"),
    ],
)
def test_a_variant_that_asks_nothing_is_refused(variants, message):
    components = {"autoencoder": "configs/vae.py:tones"}
    with pytest.raises(UserError, match=message):
        plan.make_plan(changed(variants=variants, components=components))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"variants": {}}, "no variants"),
        ({"metrics": {}}, "no metrics"),
        ({"metrics": {"adherance": "higher"}}, "did you mean 'adherence'"),
        ({"metrics": {"adherence": "more"}}, "'higher' or 'lower'"),
        ({"seeds": (0,)}, "2 or more"),
        ({"seeds": (0, 0)}, "twice"),
        ({"prompts": 3}, "16 clips or more"),
        ({"variants": {"0.1": {"ema.decay": 0.5}}}, "name of the baseline"),
        ({"variants": {"a|b": {"ema.decay": 0.5}}}, "a name of"),
        ({"variants": {"Real": {"ema.decay": 0.5}}}, "name of the real clips"),
    ],
)
def test_an_impossible_spec_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        changed(**fields)


def test_prose_may_change_and_what_decides_may_not():
    decisive = spec.describe(EXPERIMENT)
    assert spec.describe(changed(question="?", minutes=9.0)) == decisive
    assert spec.describe(changed(prompts=47)) != decisive
    two = {"adherence": "higher", "kernel": "lower"}
    turned = dict(reversed(two.items()))
    first, last = (spec.describe(changed(metrics=m)) for m in (two, turned))
    assert first != last


def test_loading(tmp_path):
    folder = tmp_path / "experiments" / "dropout"
    folder.mkdir(parents=True)
    file = folder / "spec.py"
    head = "from diffusion_audio.study.spec import Experiment\n"
    body = (
        f"experiment = Experiment(question='?', base='{BASE}', baseline='0.1',\n"
        "    variants={'0.2': {'loss.condition_dropout': 0.2}},\n"
        "    metrics={'adherence': 'higher'})\n"
    )
    file.write_text(head + body)
    assert spec.describe(spec.load(folder)) == spec.describe(EXPERIMENT)
    with pytest.raises(UserError, match=re.escape(f"did you mean '{folder}'")):
        spec.load(folder.with_name("dropuot"))
    file.write_text("experiment = 3\n")
    with pytest.raises(UserError, match="expected `experiment"):
        spec.load(folder)
    file.write_text(head + body.replace("adherence", "adherance"))
    with pytest.raises(UserError, match=r"spec.py: unknown metric"):
        spec.load(folder)
    file.write_text("1 / 0\n")
    with pytest.raises(UserError, match=r"spec.py: ZeroDivisionError"):
        spec.load(folder)


def test_a_metric_may_be_of_any_attribute():
    """Those of a source are its own; whether the classifier has it, a plan knows."""
    kept = changed(metrics={"adherence/keyword": "higher"})
    assert list(kept.metrics) == ["adherence/keyword"]
    with pytest.raises(UserError, match="adherence/NAME"):
        changed(metrics={"adherence/": "higher"})
