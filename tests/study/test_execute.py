"""Runs that cannot be made."""

import dataclasses

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.study import execute, identity, plan, spec
from tests.study import tiny_experiment
from tests.study.stand_ins import stand_in, train


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

    stand_in(monkeypatch)
    monkeypatch.setattr(execute.run, "train", train_some)
    message = r"1 failed, all else is done: plain, seed 0 \(loss not finite at step 2\)"
    with pytest.raises(UserError, match=message):
        execute.execute(whole, list(whole.cells), tmp_path, "nothing")
    left = [
        cell.name
        for cell in whole.cells
        if identity.locate(cell, tmp_path).state != "done"
    ]
    assert left == ["plain, seed 0", "guided, seed 0"]  # one run, two ways to sample


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
    changed = dataclasses.replace(whole.experiment, **fields)
    whole = plan.make_plan(changed)
    with pytest.raises(UserError, match=message):
        execute.execute(whole, list(whole.cells), tmp_path, "nothing")
