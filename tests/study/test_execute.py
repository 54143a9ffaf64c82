"""Runs that cannot be made, and runs whose folder has moved."""

import dataclasses

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.study import execute, plan, spec
from diffusion_audio.training.workdir import claim, require_free
from tests.study import tiny_experiment
from tests.study.stand_ins import hear, train


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The plan of an experiment."""
    root = tmp_path_factory.mktemp("study")
    return plan.make_plan(spec.load(tiny_experiment.make(root)))


def test_one_that_fails_does_not_keep_the_others_back(whole, tmp_path, monkeypatch):
    doomed = whole.cells[0].training.id

    def train_some(config, workdir, progress):
        if doomed in workdir.name:
            raise UserError("loss not finite at step 2")
        return train(config, workdir, progress)

    monkeypatch.setattr(execute.run, "train", train_some)
    monkeypatch.setattr(execute, "hear", hear)
    message = r"1 failed, all else is done: plain, seed 0 \(loss not finite at step 2\)"
    with pytest.raises(UserError, match=message):
        execute.execute(whole, list(whole.cells), tmp_path, "nothing")
    left = [cell.name for cell in whole.cells if not cell.measured(tmp_path)]
    assert left == ["plain, seed 0", "guided, seed 0"]  # one run, two ways to sample


def test_a_stopped_run_goes_on_where_its_folder_has_another_name(
    whole, tmp_path, monkeypatch
):
    training = whole.cells[0].training

    def stopped(config, workdir, progress):
        if config.get("components"):
            parts = {name: {"run": run} for name, run in config["components"].items()}
            claim(workdir, config | {"components": parts})
            raise KeyboardInterrupt
        return train(config, workdir, progress)

    def goes_on(config, workdir, progress):
        parts = {name: {"run": run} for name, run in config["components"].items()}
        require_free(workdir, config | {"components": parts})
        return train(config, workdir, progress)

    first, second = tmp_path / "first", tmp_path / "second"
    cells = [c for c in whole.cells if c.training.id == training.id]
    monkeypatch.setattr(execute, "hear", hear)
    monkeypatch.setattr(execute.run, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        execute.execute(whole, cells, first, "nothing")
    first.rename(second)
    monkeypatch.setattr(execute.run, "train", goes_on)
    execute.execute(whole, cells, second, "nothing")
    assert training.finished(second)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"split": "heldout"}, "unknown split .*did you mean 'held_out'"),
        ({"prompts": 1000}, r"prompts=1000, but the split 'held_out' of tones has"),
    ],
)
def test_clips_that_there_are_not_are_missed_before_training(
    whole, tmp_path, monkeypatch, fields, message
):
    monkeypatch.setattr(execute.run, "train", None)
    asked = dataclasses.replace(whole.experiment, **fields)
    whole = plan.make_plan(asked)
    with pytest.raises(UserError, match=message):
        execute.execute(whole, list(whole.cells), tmp_path, "nothing")
