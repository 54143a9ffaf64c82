"""Which checkpoint of a run is read: what RUN, RUN@best and RUN@STEP mean."""

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.runs import same_run
from diffusion_audio.runs.chosen import Chosen, choose, split
from diffusion_audio.runs.read import read_saved, read_weights
from diffusion_audio.runs.workdir import write_json
from tests.recipes import tiny
from tests.runs.test_checkpoint import flip
from tests.training.test_loop import run as train

LIKE = {"w": jax.ShapeDtypeStruct((8,), np.float32)}


@pytest.fixture
def run(tmp_path):
    """Steps 4, 8 and 12 of a run whose error falls, the first its best by decree."""
    workdir = tmp_path / "run"
    best = {"keep_best": "error", "best": "higher"}
    train(workdir, 12, evaluate_every=4, keep=3, **best)
    config = tiny("vae", "tones").to_dict()
    config["train"] |= best
    write_json(workdir / "config.json", config)
    return workdir


def weights(model):
    place, step = choose(model)
    read = read_weights(place, LIKE, step=step)
    return read.step, np.asarray(read.params["w"])


def test_a_step_or_the_best_is_read_in_place_of_the_newest(run):
    newest, best, last = weights(run), weights(f"{run}@best"), weights(f"{run}@12")
    assert (newest[0], best[0], last[0]) == (12, 4, 12)
    np.testing.assert_array_equal(newest[1], last[1])
    assert (best[1] != newest[1]).any()
    assert str(choose(f"{run}@best")) == f"{run}@4"
    assert str(choose(run)) == str(run)
    assert same_run.weights_hash(run, step=12) == same_run.weights_hash(run)
    assert same_run.weights_hash(run, step=4) != same_run.weights_hash(run)
    assert same_run.weights_hash(run, step=5) == ""
    saved = [read_saved(run, "params", "w", step) for step in (4, 12)]
    assert (saved[0] != saved[1]).any()


def test_a_step_that_is_damaged_has_no_other_in_its_place(run, caplog):
    flip(run / "checkpoints/steps/8/ema")
    with pytest.raises(UserError, match=r"step 8 in .* is damaged: .*another"):
        weights(f"{run}@8")
    flip(run / "checkpoints/steps/12/ema")
    flip(run / "checkpoints/steps/4/ema")
    with pytest.raises(UserError, match=r"step 4 in .* is damaged"):
        weights(f"{run}@best")
    assert "passed over" not in caplog.text


def test_what_is_not_there_is_one_line(run, tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint of step 5; .*: 4, 8, 12$"):
        choose(f"{run}@5")
    (run / "metrics.jsonl").unlink()
    with pytest.raises(UserError, match=r"no checkpoint of .*run has a finite error"):
        choose(f"{run}@best")
    write_json(run / "config.json", tiny("vae", "tones").to_dict())
    with pytest.raises(UserError, match=r"without config\.train\.keep_best"):
        choose(f"{run}@best")
    (tmp_path / "weights").mkdir()
    with pytest.raises(UserError, match="weights has no steps to choose from: @best"):
        choose(tmp_path / "weights@best")
    with pytest.raises(UserError, match="audioldm2 is not here: @4 is for work dir"):
        choose("cvssp/audioldm2@4")


def test_a_name_that_is_there_is_meant_as_it_is(run, tmp_path):
    assert split(tmp_path / "run@3") == (run, "3")
    (tmp_path / "run@3").mkdir()
    assert choose(tmp_path / "run@3") == Chosen(tmp_path / "run@3")
    for name in ("me@home/run", "run@night", "@best", "run@"):
        assert split(name)[1] == ""
