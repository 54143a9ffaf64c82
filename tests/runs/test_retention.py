"""What stays of a run's checkpoints, and that a good one is never dropped first."""

import json
import math

import pytest

from diffusion_audio.runs.retention import Retention, best_step
from tests.training.test_loop import run
from tests.training.test_resume import good


def rows(**values):
    """Evaluations of an error, by step: ``s4=0.5``."""
    made = [
        {"step": int(k[1:]), "split": "eval", "error": v} for k, v in values.items()
    ]
    return [*made, {"step": 4, "split": "train", "error": -1.0}]


def test_newest_milestones_and_best_stay():
    steps = [4, 8, 12, 16, 20]
    assert Retention(2).dropped(steps) == [4, 8, 12]
    assert Retention(1, 8).dropped(steps) == [4, 12]
    assert Retention(1, 8, lambda steps: 12).dropped(steps) == [4]
    assert Retention(2).dropped([4]) == []


@pytest.mark.parametrize(
    ("values", "better", "best"),
    [
        ({"s4": 0.5, "s8": 0.3, "s12": 0.4}, "lower", 8),
        ({"s4": 0.5, "s8": 0.3, "s12": 0.4}, "higher", 4),
        ({"s4": 0.3, "s8": 0.3, "s16": 0.1}, "lower", 8),  # 16 is not saved
        ({"s4": math.nan, "s8": 0.3, "s12": -math.inf}, "lower", 8),
        ({}, "lower", None),
    ],
)
def test_the_best_is_of_evaluations_of_saved_steps(values, better, best):
    assert best_step(rows(**values), [4, 8, 12], "error", better) == best
    assert best_step(rows(**values), [4, 8, 12], "other", better) is None


def saved(workdir):
    found = workdir / "checkpoints"
    steps = sorted(int(path.name) for path in (found / "steps").iterdir())
    assert sorted(int(p.stem) for p in (found / "manifests").iterdir()) == steps
    return steps


def test_the_loop_keeps_them(tmp_path):
    """The toy's error falls, so the first evaluation is the highest."""
    options = {"keep": 1, "evaluate_every": 4, "keep_best": "error", "best": "higher"}
    run(tmp_path / "run", 16, **options)
    assert saved(tmp_path / "run") == [4, 16]
    assert good(tmp_path / "run") == 16
    run(tmp_path / "run", 20, **options | {"best": "lower", "keep_every": 16})
    assert saved(tmp_path / "run") == [16, 20]


def test_a_metric_that_no_evaluation_has_is_one_line(tmp_path):
    with pytest.raises(
        ValueError, match=r"unknown config\.train\.keep_best 'eror'; did"
    ):
        run(tmp_path / "run", 16, evaluate_every=4, keep_best="eror")
    assert good(tmp_path / "run") == 4
    with pytest.raises(ValueError, match="keep_best needs evaluations to choose by"):
        run(tmp_path / "run", 16, keep_best="error")


def test_dropping_comes_after_a_newer_step_is_whole(tmp_path, monkeypatch):
    """A save that fails costs no earlier checkpoint."""
    run(tmp_path / "run", 8, keep=1)
    monkeypatch.setattr(
        "diffusion_audio.runs.manifest.write", lambda *_: (_ for _ in ()).throw(OSError)
    )
    with pytest.raises(ValueError, match="could not save step 12"):
        run(tmp_path / "run", 12, keep=1)
    assert saved(tmp_path / "run") == [8]
    assert json.loads((tmp_path / "run/provenance.json").read_text())
