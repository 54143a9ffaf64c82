"""Numbers that are not finite: the step is left out, nothing that is good is lost."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.session import sessions
from diffusion_audio.training import loop, parallel
from diffusion_audio.training.non_finite import SKIPPED, GuardedStep, guarded
from tests.training import toy
from tests.training.test_loop import run, same

TASK = toy.task()


class Broken(toy.Stream):
    """Its batches at some positions have a NaN."""

    def __init__(self, *positions, hook=None):
        super().__init__(hook=hook)
        self.positions = positions

    def __next__(self):
        self.broken_at = self.position if self.position in self.positions else None
        return super().__next__()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The last state of 12 steps of good numbers."""
    return run(tmp_path_factory.mktemp("whole") / "run")[0]


def rows(workdir):
    return {r["step"]: r for r in read_metrics(workdir) if r["split"] == "train"}


@pytest.mark.parametrize(("bad", "saved"), [(5, 4), (6, 5), (8, 7), (12, 11)])
def test_a_run_halts_at_that_very_step_with_the_one_before_saved(
    whole, tmp_path, bad, saved
):
    """Neither steps to be logged nor to be saved, or the very ones."""
    message = f"grad_norm, loss are not finite at step {bad} .*step {saved} is saved"
    with pytest.raises(UserError, match=message):
        run(tmp_path, stream=Broken(bad - 1), log_every=50)
    assert sessions(tmp_path)[-1]["last_step"] == saved
    assert np.isnan(rows(tmp_path)[bad]["loss"])  # as it was computed
    assert max(rows(tmp_path)) == bad
    state, stream = run(tmp_path, log_every=50)  # with data that are mended
    assert same(state, whole)
    assert stream.position == 12


def test_a_first_step_that_is_not_finite_saves_nothing(tmp_path):
    message = r"at step 1 .*nothing is saved.*same --workdir"
    with pytest.raises(UserError, match=message):
        run(tmp_path, stream=Broken(0))
    assert not list((tmp_path / "checkpoints/steps").iterdir())


def test_what_is_known_of_the_step_is_written_down(tmp_path):
    with pytest.raises(UserError, match=r"non_finite/6\.json has its clips"):
        run(tmp_path, stream=Broken(5))
    found = json.loads((tmp_path / "non_finite/6.json").read_text())
    assert found["clips"] == [f"5/{i}" for i in range(8)]
    assert found["metrics"] == {"loss": "nan", "grad_norm": "nan"}
    assert (found["step"], found["position"]) == (6, {"next": 5})
    assert found["key"] == [0, 0]
    assert found["replay"].endswith(f"replay --workdir={tmp_path} --step=6")


def test_steps_may_be_left_out_and_are_counted(tmp_path, caplog):
    options = {"non_finite": "skip", "max_skipped": 2}
    state, _ = run(tmp_path / "a", stream=Broken(4, 6), **options)
    assert np.isfinite(state["params"]["w"]).all()
    assert int(state["step"]) == 12
    assert caplog.text.count("which is left out") == 2
    counts = {step: row["skipped"] for step, row in rows(tmp_path / "a").items()}
    assert {counts[step] for step in (1, 3, 4)} == {0}
    assert (counts[5], counts[7], counts[12]) == (1, 2, 2)
    # Interrupted, the count goes on.
    run(tmp_path / "b", steps=6, stream=Broken(4, 6), **options)
    resumed, _ = run(tmp_path / "b", stream=Broken(4, 6), **options)
    assert same(resumed, state)
    message = r"step 9, and 2 steps were left out before it.*step 8 is saved"
    with pytest.raises(UserError, match=message):
        run(tmp_path / "c", stream=Broken(4, 6, 8, 10), **options)
    assert sessions(tmp_path / "c")[-1]["last_step"] == 8


def test_a_run_that_halted_goes_on_when_told_to_leave_the_step_out(tmp_path):
    with pytest.raises(UserError, match="non_finite=skip leaves such steps out"):
        run(tmp_path / "a", stream=Broken(4))
    state, _ = run(tmp_path / "a", stream=Broken(4), non_finite="skip")
    at_once, _ = run(tmp_path / "b", stream=Broken(4), non_finite="skip")
    assert same(state, at_once)
    # And what was left out before does not stop a run that may leave out none.
    run(tmp_path / "b", steps=13, stream=Broken(4))


def test_a_step_left_out_changes_nothing_but_its_number():
    batch = next(toy.Stream())
    state = TASK.init(jax.random.key(0), batch) | {SKIPPED: jnp.int32(0)}
    bad = batch | {"x": np.where(np.eye(8) > 0, np.float32(np.inf), batch["x"])}
    step = jax.jit(guarded(TASK.step, 1))
    key = jax.random.key(0)
    after, _ = step(state, bad, key)
    for name in state.keys() - {"step", SKIPPED}:
        assert same(after[name], state[name])
    assert (int(after["step"]), int(after[SKIPPED])) == (1, 1)
    after, _ = step(after, bad, key)  # one too many: nothing moves any more
    assert (int(after["step"]), int(after[SKIPPED])) == (1, 2)
    after, _ = step(after, batch, key)
    assert (int(after["step"]), int(after[SKIPPED])) == (1, 2)
    assert same(after["params"], state["params"])
    after, _ = step(state, batch, key)
    assert not same(after["params"], state["params"])


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_on_several_devices_one_bad_example_leaves_the_whole_step_out(mode):
    mesh = parallel.make_mesh(parallel.ParallelConfig(mode=mode))
    stream, key = Broken(1), jax.random.key(0)
    first = parallel.place_batch(next(stream), mesh)
    state = parallel.replicate(TASK.init(key, first), mesh)
    step = GuardedStep(TASK.step, mesh, mode, 5, 0)
    counts = []
    for batch in (first, *(parallel.place_batch(next(stream), mesh) for _ in "ab")):
        state, metrics, skipped = step(state, batch, key)
        counts.append(int(skipped))
        assert SKIPPED not in metrics
    assert counts == [0, 1, 1]
    assert np.isfinite(state["params"]["w"]).all()
    assert int(state["step"]) == 3


def test_a_bad_step_is_not_saved_when_the_data_fail(tmp_path):
    def fail(position):
        if position == 5:
            raise UserError("too many clips are bad")

    with pytest.raises(UserError, match="too many clips are bad"):
        run(tmp_path, stream=Broken(4, hook=fail), log_every=50, checkpoint_every=3)
    assert sessions(tmp_path)[-1]["last_step"] == 4
    assert np.isnan(rows(tmp_path)[5]["loss"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"non_finite": "stop"}, "unknown config.train.non_finite 'stop'"),
        ({"max_skipped": 0}, "config.train.max_skipped must be 1 or more"),
    ],
)
def test_settings_that_cannot_be(values, message):
    with pytest.raises(UserError, match=message):
        loop.TrainConfig(**values)
