"""The loop: resume, interruption, damaged checkpoints, broken numbers, full disk."""

import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.runs import checkpoint
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.session import Session, sessions
from diffusion_audio.training import interruption, loop, parallel
from diffusion_audio.training.expected import Band
from diffusion_audio.training.parallel import ParallelConfig
from diffusion_audio.training.profiling import Profiler
from tests.training import toy

ONE = ParallelConfig(data=1)


def run(
    workdir: Path,
    steps: int = 12,
    stream=None,
    frozen=dict,
    parallel=ONE,
    evaluation_stream=toy.Stream,
    allow_fresh=False,
    profiler=None,
    stop=None,
    **options,
):
    workdir.mkdir(exist_ok=True)
    options = {"log_every": 3, "checkpoint_every": 4} | options
    cfg = loop.TrainConfig(steps=steps, **options)
    stream = stream or toy.Stream()
    session = Session(workdir, {"config_hash": "0"})
    state = loop.train(
        toy.task(cfg.accumulate),
        cfg,
        parallel,
        key=jax.random.key(0),
        workdir=workdir,
        frozen=frozen,
        batches=stream,
        evaluation_batches=evaluation_stream,
        sample_rate=16_000,
        session=session,
        band=Band({}, {}),
        profiler=profiler or Profiler(workdir),
        allow_fresh=allow_fresh,
        stop=stop,
    )
    return state, stream


def same(a, b) -> bool:
    return jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), a, b))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run of 12 steps."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    return *run(workdir), workdir


def test_loss_falls_and_everything_is_written(whole):
    _, _, workdir = whole
    rows = read_metrics(workdir)
    train = [row["loss"] for row in rows if row["split"] == "train"]
    assert train[-1] < train[0]
    assert [row["step"] for row in rows if row["split"] == "train"] == [
        1,
        3,
        4,
        6,
        8,
        9,
        12,
    ]
    assert rows[-1]["split"] == "eval"
    assert np.isfinite(rows[-1]["error"])
    assert (workdir / "tensorboard").is_dir()
    (session,) = sessions(workdir)
    assert (session["first_step"], session["last_step"]) == (1, 12)
    spent = set(session["seconds"])
    assert spent == {"init", "compile", "data", "step", "evaluate", "checkpoint"}


def test_an_error_between_two_steps_loses_and_changes_nothing(whole, tmp_path):
    class Failing(Profiler):
        def after(self, computed):
            if next(steps) == 6:
                raise RuntimeError("of the profiler")

    steps = itertools.count(1)
    with pytest.raises(RuntimeError, match="of the profiler"):
        run(tmp_path / "run", profiler=Failing(tmp_path))
    assert sessions(tmp_path / "run")[-1]["last_step"] == 6
    state, stream = run(tmp_path / "run")
    assert same(state, whole[0])
    assert stream.position == whole[1].position
    assert read_metrics(tmp_path / "run")[-1] == read_metrics(whole[2])[-1]


@pytest.mark.parametrize(("every", "ends"), [(4, True), (12, False)])
def test_the_evaluation_of_a_saved_step_may_end_at_once(tmp_path, every, ends):
    class Noted(interruption.Stop):
        noted = ()

        def __setattr__(self, name, value):
            if name == "at_once" and value:
                self.noted += (self.doing,)
            super().__setattr__(name, value)

    stop = Noted()
    held = partial(toy.Stream, hook=lambda _: time.sleep(0.5))  # it is saved meanwhile
    intervals = {"checkpoint_every": every, "evaluate_every": 4}
    run(tmp_path / "run", 6, evaluation_stream=held, stop=stop, **intervals)
    assert ("the evaluation of step 4" in stop.noted) == ends
    assert not stop.at_once


def test_parts_restored_on_one_device_join_a_run_on_all(tmp_path):
    """Components come from their checkpoints, which are read onto one device."""
    part = jax.device_put(np.ones(3, np.float32), jax.devices()[0])
    state, *_ = run(
        tmp_path, 2, frozen=lambda: {"part": part}, parallel=ParallelConfig()
    )
    assert len(state["frozen"]["part"].devices()) == jax.device_count() > 1


def test_a_run_goes_on_on_any_number_of_devices(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "SMALLEST_SPLIT", 1)
    layouts = [
        ONE,
        ParallelConfig(data=4),
        ParallelConfig(data=2, fsdp=2),
        ParallelConfig(mode="pmap", data=2),
    ]
    for i, layout in enumerate(layouts, 1):
        state, stream = run(tmp_path / "run", 3 * i, parallel=layout)
    assert stream.position == whole[1].position
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6),
        state,
        whole[0],
    )


@pytest.mark.parametrize("stop", [5, 8])
def test_interrupted_equals_uninterrupted(whole, tmp_path, stop):
    """A signal in the middle, then the same command: bit for bit the same end."""

    def interrupt(position):
        if position == stop:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(loop.Interrupted, match="is saved"):
        run(tmp_path / "run", stream=toy.Stream(hook=interrupt))
    state, stream = run(tmp_path / "run")
    assert same(state, whole[0])
    assert stream.position == whole[1].position
    steps = [(row["step"], row["split"]) for row in read_metrics(tmp_path / "run")]
    assert len(steps) == len(set(steps))
    before, after = sessions(tmp_path / "run")
    assert before["last_step"] + 1 == after["first_step"]
    assert all(s["seconds"]["step"] > 0 for s in (before, after))
    written = (tmp_path / "run" / "provenance.json").read_text()
    run(tmp_path / "run")  # it is finished, so there is nothing to tell
    assert (tmp_path / "run" / "provenance.json").read_text() == written


@pytest.mark.slow
def test_killed_at_random_steps_equals_uninterrupted(whole, tmp_path):
    """``kill -9`` at random moments, saves included, until the run is through."""
    rng = np.random.default_rng(0)
    program = (
        "import jax, pathlib, sys; from tests.training.test_loop import run; "
        "state, *_ = run(pathlib.Path(sys.argv[1])); "
        "import numpy as np; np.save(sys.argv[2], state['ema']['w'])"
    )
    result = tmp_path / "ema.npy"
    words = [sys.executable, "-c", program, str(tmp_path / "run"), str(result)]
    # A killed process may leave half a program in the cache that tests share.
    alone = {k: v for k, v in os.environ.items() if "COMPILATION_CACHE" not in k}
    for _ in range(20):
        process = subprocess.Popen(words, env=alone)
        try:
            process.wait(timeout=float(rng.uniform(3.0, 9.0)))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if result.exists():
            break
    else:
        subprocess.run(words, env=alone, check=True)
    np.testing.assert_array_equal(np.load(result), whole[0]["ema"]["w"])


def test_flipped_bit_falls_back_to_the_step_before(whole, tmp_path, caplog):
    workdir = tmp_path / "run"
    shutil.copytree(whole[2], workdir)
    largest = max(
        (p for p in (workdir / "checkpoints/steps/12").rglob("*") if p.is_file()),
        key=lambda p: p.stat().st_size,
    )
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    state, _ = run(workdir)
    assert "SHA-256 differs" in caplog.text
    assert same(state, whole[0])
    assert [s["first_step"] for s in sessions(workdir)] == [1, 9]


def test_unsealed_save_is_not_used(whole, tmp_path):
    """A crash between the save and its manifest leaves a step that does not count."""
    workdir = tmp_path / "run"
    shutil.copytree(whole[2], workdir)
    (workdir / "checkpoints/manifests/12.json").unlink()
    saved = checkpoint.Checkpoints(workdir / "checkpoints")
    assert saved.newest_good() == 8
    saved.close()


def test_all_damaged_is_refused_and_nothing_deleted(whole, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(whole[2], workdir)
    for manifest in (workdir / "checkpoints/manifests").glob("*.json"):
        manifest.write_text(json.dumps({"gone": "0"}))
    with pytest.raises(UserError, match=r"every checkpoint in .* is damaged"):
        run(workdir)
    assert len(list((workdir / "checkpoints/steps").iterdir())) == 2


def test_checkpoint_of_another_model_is_refused(whole):
    saved = checkpoint.Checkpoints(whole[2] / "checkpoints")
    other = jax.eval_shape(lambda: whole[0] | {"params": {"v": np.zeros(3)}})
    with pytest.raises(UserError, match="params/v is missing in it"):
        saved.restore(12, other)
    saved.close()


class Interrupting(toy.Stream):
    """A signal comes with its second batch."""

    def __next__(self):
        if self.position == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__next__()


@pytest.fixture
def hears_much(monkeypatch):
    """Lets the toy's evaluation ask for more batches than one."""
    usual = toy.task

    def task(parts=1):
        made = usual(parts)

        def evaluate(state, batches, key):
            for _, _ in zip(range(3), batches, strict=False):
                last = made.evaluate(state, batches, key)
            return last

        return made._replace(evaluate=evaluate)

    monkeypatch.setattr(toy, "task", task)


@pytest.mark.parametrize("stop", [5, 12])
def test_a_signal_in_an_evaluation_stops_it_and_saves_the_step(
    whole, tmp_path, hears_much, stop
):
    """Neither 5 is a step to be saved, nor is any evaluated but the last."""
    every = stop if stop < 12 else 0
    with pytest.raises(loop.Interrupted, match=f"at step {stop} of 12; step {stop} is"):
        run(tmp_path, evaluation_stream=Interrupting, evaluate_every=every)
    assert all(row["split"] != "eval" for row in read_metrics(tmp_path))
    state, _ = run(tmp_path, evaluate_every=every)
    assert same(state, whole[0])
    heard = [row["step"] for row in read_metrics(tmp_path) if row["split"] == "eval"]
    assert heard == sorted({stop, 12} | ({10} if stop == 5 else set()))


def test_what_is_computed_is_saved_when_the_data_fail(whole, tmp_path):
    def fail(position):
        if position == 6:
            raise UserError("too many clips are bad")

    with pytest.raises(UserError, match="too many clips are bad"):
        run(tmp_path, stream=toy.Stream(hook=fail))
    assert sessions(tmp_path)[-1]["last_step"] == 6
    state, _ = run(tmp_path)
    assert same(state, whole[0])


def test_what_is_computed_is_saved_when_an_evaluation_fails(whole, tmp_path):
    class Broken(toy.Stream):
        def __next__(self):
            raise UserError("no held-out clip is good")

    with pytest.raises(UserError, match="no held-out clip"):
        run(tmp_path, evaluation_stream=Broken, evaluate_every=6)
    assert sessions(tmp_path)[-1]["last_step"] == 6
    state, _ = run(tmp_path, evaluate_every=6)
    assert same(state, whole[0])
    assert [r["step"] for r in read_metrics(tmp_path) if r["split"] == "eval"] == [
        6,
        12,
    ]


def test_full_disk_keeps_training_and_says_so_at_the_end(tmp_path, monkeypatch):
    full = shutil._ntuple_diskusage(100, 100, 0)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: full)
    with pytest.raises(UserError, match="disk was too full to save step 12"):
        run(tmp_path / "run")
    assert read_metrics(tmp_path / "run")[-1]["step"] == 12
    assert not (tmp_path / "run" / "provenance.json").exists()


@pytest.mark.parametrize("where", ["save", "wait_until_finished"])
def test_a_save_that_fails_is_said_and_tried_again(
    tmp_path, monkeypatch, caplog, where
):
    """At once or in the background; the step before it stays until another is there."""
    import orbax.checkpoint as ocp

    usual, kept = getattr(ocp.AsyncCheckpointer, where), []
    steps, saving = tmp_path / "checkpoints/steps", tmp_path / "checkpoints/saving"

    def full(self, *inputs, **options):
        usual(self, *inputs, **options)
        if any(path.name.startswith("8") for path in saving.iterdir()):
            ocp.AsyncCheckpointer.wait_until_finished = wait  # no thread is left behind
            self.wait_until_finished()
            kept.extend(path.name for path in steps.iterdir())
            where = "a/long/path/" * 40  # TensorStore names it twice
            raise ValueError(f"RESOURCE_EXHAUSTED: {where}: No space left on device")

    wait = ocp.AsyncCheckpointer.wait_until_finished
    monkeypatch.setattr(ocp.AsyncCheckpointer, "wait_until_finished", wait)
    monkeypatch.setattr(ocp.AsyncCheckpointer, where, full)
    run(tmp_path, keep=1)
    assert "step 8 could not be saved" in caplog.text
    assert "(no space left on device)" in caplog.text
    assert kept == ["4"]
    assert sessions(tmp_path)[-1]["last_step"] == 12
    assert not list(saving.iterdir())


def test_nothing_is_on_record_as_saved_before_it_is_sealed(tmp_path, monkeypatch):
    from diffusion_audio.runs import manifest

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(manifest, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert not (tmp_path / "provenance.json").exists()
    monkeypatch.undo()
    run(tmp_path)


def test_provenance_on_a_full_disk_is_survived(tmp_path, monkeypatch, caplog):
    from diffusion_audio.runs import session

    def full(path, value):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(session, "write_json", full)
    run(tmp_path)
    assert caplog.text.count("provenance.json (No space left on device)") == 1


def test_accumulated_parts_equal_the_whole_batch(whole, tmp_path):
    state, _ = run(tmp_path / "run", accumulate=4)
    np.testing.assert_allclose(state["params"]["w"], whole[0]["params"]["w"], rtol=1e-5)


@pytest.mark.parametrize("name", ["steps", "log_every", "accumulate"])
def test_impossible_settings(name):
    with pytest.raises(UserError, match=f"config.train.{name} must be 1 or more"):
        loop.TrainConfig(**{name: 0})
