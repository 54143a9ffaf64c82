"""An experiment run, stopped, gone on with, read and explained.

Training and measuring are stand-ins here; `test_experiment_real.py` has the real ones.
"""

import json
import os
import re
import shutil

import numpy as np
import pytest

from diffusion_audio.cli.main import main
from diffusion_audio.study import execute, identity, plan, spec, wording
from diffusion_audio.study.results import read
from tests.study import tiny_experiment
from tests.study.stand_ins import SAMPLES, measure_run, probe, train


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The experiment and its runs, after a stop in training and one in measuring."""
    root = tmp_path_factory.mktemp("study")
    directory, runs = tiny_experiment.make(root), root / "runs"
    started, measured = [], []

    def stopped_train(config, workdir, progress):
        started.append(workdir.name)
        if len(started) == 4:
            raise KeyboardInterrupt
        return train(config, workdir, progress)

    def stopped_measure(run_dir, **options):
        measured.append(run_dir.name)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return measure_run(run_dir, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute.run, "train", stopped_train)
        patch.setattr(execute, "measure_run", stopped_measure)
        patch.setattr(identity, "of_training", probe)
        words = ["experiment", "run", str(directory), f"--runs={runs}"]
        codes = [main(words) for _ in range(3)]
        assert codes == [130, 130, 0]
        yield directory, runs, started, measured


def test_nothing_is_done_twice(made, capsys):
    directory, runs, started, measured = made
    # Classifier, vocoder, VAE, two seeds of two trainings; the fourth was stopped.
    assert len(started) == 3 + 4 + 1
    assert len(set(started)) == 3 + 4
    # Guidance needs no training: three systems are measured, of two trainings.
    assert len(measured) == 6 + 1
    before = (directory / "results.json").read_bytes()
    assert main(["experiment", "run", str(directory), f"--runs={runs}"]) == 0
    assert len(started) == 8
    assert (directory / "results.json").read_bytes() == before
    output = capsys.readouterr()
    assert "no dropout is" in output.out
    assert "0 runs to train" in output.err
    assert "minimum detectable effect" in output.err


def test_the_table_is_written_between_the_markers(made):
    text = (made[0] / "README.md").read_text()
    assert text.startswith("# A question")
    assert text.endswith("The end.\n")
    assert "| plain | " in text
    assert "Kernel distance (own classifier) ↓" in text


def test_results_hold_the_story_of_each_run(made):
    results = read(made[0], spec.load(made[0]))
    assert results.systems == ["plain", "no dropout", "guided"]
    assert results.values("adherence", "guided").shape == (2, 16)
    assert results.values("kernel", "guided").shape == (2, 1)
    record = results.runs[-1]
    assert record["overrides"] == {"sampling.guidance": 5.0}
    plain = next(r for r in results.runs if r["seed"] == record["seed"])
    assert plain["run"] == record["run"]  # only how it samples differs
    assert plain["values"] != record["values"]
    # A run that was gone on with is of all its sessions.
    assert record["seconds"]["train"] == 6.0
    assert record["commit"].endswith(f", {'c' * 40}")


@pytest.mark.slow
def test_explain_makes_a_number_again(made, capsys):
    directory, runs, *_ = made
    words = ["experiment", "explain", str(directory), f"--runs={runs}"]
    assert main([*words, "--metric=kernel", "--system=guided", "--again"]) == 0
    output = capsys.readouterr().out
    assert "made again: equal" in output
    assert "sampling.guidance = 5.0" in output
    assert "commit" in output
    assert main([*words, "--metric=kernal"]) == 2
    assert "did you mean 'kernel'" in capsys.readouterr().err
    # A number that was changed by hand does not come out again.
    file = directory / "results.json"
    kept = file.read_text()
    changed = json.loads(kept)
    changed["runs"][-1]["values"]["kernel"][0] *= 1.001
    file.write_text(json.dumps(changed))
    assert main([*words, "--metric=kernel", "--system=guided", "--again"]) == 2
    assert "came out as" in capsys.readouterr().err
    # Nor does one of other code, which is named; nor is it shown beside new sounds.
    changed["runs"][-1].update({"run": "of old", "commit": "c" * 12})
    file.write_text(json.dumps(changed))
    for more in (
        [*words, "--metric=kernel", "--system=guided", "--again"],
        ["experiment", "page", str(directory), f"--runs={runs}"],
    ):
        assert main(more) == 2
        error = capsys.readouterr().err
        assert "`git checkout cccccccccccc -- diffusion_audio configs`" in error
    file.write_text(kept)


def test_systems_are_measured_again_once_for_all_metrics(made, capsys):
    directory, runs, _, measured = made
    before = len(measured)
    words = ["experiment", "explain", str(directory), f"--runs={runs}", "--again"]
    assert main([*words, "--system=guided"]) == 0
    assert capsys.readouterr().out.count("made again") == 1
    assert len(measured) - before == 2 * 2  # the system and the baseline, two seeds


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: r.clear(), "damaged .*'spec'"),
        (lambda r: r.update(spec=[1]), "damaged"),
        (lambda r: r["runs"].clear(), "plain, seed 0: 0 records"),
        (lambda r: r["runs"].pop(), "guided, seed 1: 0 records"),
        (lambda r: r["runs"].append(r["runs"][0]), "seed 0: 2 records"),
        (lambda r: r["runs"][0].pop("device"), "a record lacks device"),
        (
            lambda r: r["runs"][0]["values"]["mel_l1"].pop(),
            r"\[15, 16\] values of mel_l1",
        ),
        (
            lambda r: r["protocols"]["kernel"].update(clip=3),
            "unknown field of a protocol 'clip'",
        ),
    ],
)
def test_damaged_results_are_refused_and_do_not_stop_a_run(
    made, tmp_path, damage, message, capsys
):
    directory, runs, *_ = made
    other = tmp_path / "experiments" / "nothing"
    shutil.copytree(directory, other)
    content = json.loads((other / "results.json").read_text())
    damage(content)
    (other / "results.json").write_text(json.dumps(content))
    for action in ("compare", "explain", "page"):
        assert main(["experiment", action, str(other), f"--runs={runs}"]) == 2
        error = capsys.readouterr().err
        assert re.search(message, error), error
        assert str(other / "results.json") in error
    assert main(["experiment", "run", str(other), f"--runs={runs}"]) == 0
    kept = (directory / "results.json").read_bytes()
    assert (other / "results.json").read_bytes() == kept


def test_a_process_computes_on_one_core(made, monkeypatch):
    monkeypatch.setenv("NPROC", "8")
    monkeypatch.delenv("NPROC")
    assert main(["experiment", "plan", str(made[0])]) == 0
    assert os.environ["NPROC"] == "1"


def test_every_number_of_the_table_is_explained(made, capsys):
    assert main(["experiment", "explain", str(made[0])]) == 0
    output = capsys.readouterr().out
    assert output.count("protocol  ") == 9
    # Three systems and two baselines, of two seeds and three metrics each.
    assert output.count("    run       diffusion-") == 5 * 2 * 3
    inputs = (
        "recipe    ",
        "data.cache_latents = False",
        "autoencoder = ",
        "  classifier ",
    )
    assert [output.count(text) for text in inputs] == [9, 9, 9, 9]


def test_comparing_experiments_asks_for_one_protocol(made, tmp_path, capsys):
    other = tmp_path / "experiments" / "other"
    shutil.copytree(made[0], other)
    words = ["experiment", "compare", str(made[0]), str(other)]
    assert main(words) == 0
    assert "| nothing: guided |" in capsys.readouterr().out
    file = other / "results.json"
    changed = json.loads(file.read_text())
    changed["protocols"]["adherence"]["sample_rate"] = 22050
    file.write_text(json.dumps(changed))
    assert main(words) == 2
    assert "sample_rate: 16000 there, 22050 here" in capsys.readouterr().err


def test_a_spec_that_changed_is_refused(made, tmp_path, capsys):
    other = tmp_path / "experiments" / "other"
    shutil.copytree(made[0], other)
    text = (other / "spec.py").read_text()
    (other / "spec.py").write_text(text.replace("5.0", "6.0"))
    for action in ("compare", "explain", "page"):
        assert main(["experiment", action, str(other)]) == 2
        error = capsys.readouterr().err
        assert "changed since its results" in error
        assert "variants.guided.sampling.guidance" in error
    (other / "spec.py").write_text(text.replace('"guided"', '"led"'))
    assert main(["experiment", "compare", str(other)]) == 2
    error = capsys.readouterr().err
    assert "variant 'led' is new; variant 'guided' is gone" in error


def test_the_page(made, tmp_path, capsys):
    directory, runs, *_ = made
    out = tmp_path / "page.html"
    words = ["experiment", "page", str(directory), f"--runs={runs}", f"--out={out}"]
    assert main(words) == 0
    assert capsys.readouterr().out.strip() == str(out)
    text = out.read_text()
    assert text.count("<audio controls preload") == 2 * 4
    assert "Do &lt;b&gt;two&lt;/b&gt; changes" in text
    assert "&lt;i&gt;caption 0&lt;/i&gt;" in text
    assert "<figcaption>loss, seed 1</figcaption>" in text
    assert main(words) == 0  # ours, so it is made again
    capsys.readouterr()
    out.write_text("mine")
    assert main(words) == 2
    assert "page.html is there and was changed since" in capsys.readouterr().err
    readme = [*words[:-1], f"--out={directory / 'README.md'}", "--overwrite"]
    assert main(readme) == 2
    assert "is read by this command" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_missing_runs_are_named(made, tmp_path, capsys):
    words = ["experiment", "page", str(made[0]), f"--runs={tmp_path}"]
    assert main(words) == 2
    assert "6 of 6 runs are missing" in capsys.readouterr().err


def test_a_readme_is_begun_where_there_is_none(tmp_path):
    wording.require_readme("What if?", tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "What if?" in text
    assert f"{wording.BEGIN}\n{wording.END}" in text
    wording.require_readme("Another", tmp_path)
    assert (tmp_path / "README.md").read_text() == text


def test_a_readme_without_markers_is_refused(made, tmp_path, capsys):
    directory, runs, *_ = made
    other = tmp_path / "experiments" / "other"
    shutil.copytree(directory, other)
    (other / "README.md").write_text("# A question\n")
    assert main(["experiment", "run", str(other), f"--runs={runs}"]) == 2
    assert "needs the lines" in capsys.readouterr().err


def test_shards_are_all_of_it_and_meet_nowhere(made):
    cells = plan.make_plan(spec.load(made[0])).cells
    parts = [plan.shard_of(cells, (i, 3)) for i in (1, 2, 3)]
    assert sorted(c.name for part in parts for c in part) == sorted(
        c.name for c in cells
    )
    runs = [{cell.training.id for cell in part} for part in parts]
    assert sum(map(len, runs)) == len(set.union(*runs))


def test_seeds_are_added_and_what_was_made_stays(made, tmp_path, capsys):
    directory, runs, started, _ = made
    other, copy = tmp_path / "experiments" / "nothing", tmp_path / "runs"
    shutil.copytree(directory, other)
    shutil.copytree(runs, copy)
    words = [str(other), f"--runs={copy}"]
    before, trained = read(other), len(started)
    assert main(["experiment", "plan", *words, "--seeds=+1"]) == 0
    assert "2 runs to train and 3 to measure" in capsys.readouterr().out
    assert main(["experiment", "run", *words, "--seeds=+2"]) == 0
    assert len(started) - trained == 2 * 2  # of two trainings, two seeds
    after = read(other, spec.load(other))
    assert after.seeds == [0, 1, 2, 3]
    for system in after.systems:
        both = [found.values("mel_l1", system) for found in (after, before)]
        np.testing.assert_array_equal(both[0][:2], both[1])
    # The experiment has them from now on, though its spec does not say so.
    assert main(["experiment", "run", *words]) == 0
    assert len(started) - trained == 2 * 2
    for action in ("compare", "explain", "page"):
        assert main(["experiment", action, *words]) == 0
    assert "4 training seeds x 16 prompts" in (other / "README.md").read_text()
    capsys.readouterr()


@pytest.mark.parametrize("seeds", ["2", "+0", "+x", "-1"])
def test_seeds_that_are_no_addition(made, seeds, capsys):
    assert main(["experiment", "run", str(made[0]), f"--seeds={seeds}"]) == 2
    assert "expected +N, such as +2" in capsys.readouterr().err


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b"])
def test_a_shard_that_is_none(made, shard, capsys):
    words = ["experiment", "run", str(made[0]), f"--shard={shard}"]
    assert main(words) == 2
    assert "expected i/n" in capsys.readouterr().err


def test_an_action_that_does_not_exist(capsys):
    assert main(["experiment", "rum", "x"]) == 2
    assert "did you mean 'run'" in capsys.readouterr().err


def test_a_run_is_known_by_what_decides_its_numbers(made):
    experiment = spec.load(made[0])
    ids = {c.name: c.training.id for c in plan.make_plan(experiment).cells}
    assert ids["plain, seed 0"] == ids["guided, seed 0"]
    assert ids["plain, seed 0"] != ids["plain, seed 1"] != ids["no dropout, seed 1"]

    def common(**more):
        changes = dict(experiment.common) | more
        changed = spec.dataclasses.replace(experiment, common=changes)
        return plan.make_plan(changed).cells[0].training.id

    assert common(**{"train.log_every": 7}) == ids["plain, seed 0"]
    assert common(**{"train.steps": 7}) != ids["plain, seed 0"]


def test_waves_are_whole(made):
    _, runs, *_ = made
    for directory in runs.glob("heard-*"):
        waves = np.load(directory / "waves.npy", allow_pickle=False)
        assert waves.shape == (1, 16, SAMPLES)
        assert waves.dtype == np.int16
