"""Runs that are kept and runs that are made again, when the code has changed.

Training, measuring and probing are stand-ins; `test_identity_real.py` has real ones.
"""

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.study import (
    dry_run,
    execute,
    explain,
    identity,
    plan,
    results,
    spec,
)
from diffusion_audio.study.fingerprint import Fingerprint, environment
from tests.study import stand_ins, tiny_experiment


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The directory of an experiment, and its plan."""
    directory = tiny_experiment.make(tmp_path_factory.mktemp("study"))
    return directory, plan.make_plan(spec.load(directory))


class World:
    """Runs that the code of then made, and a code of today that can be changed."""

    def __init__(self, directory, whole, runs, patch):
        self.directory, self.plan, self.runs, self.patch = directory, whole, runs, patch
        self.probed, self.trained, self.measured = [], [], []
        stand_ins.stand_in(patch)
        self.compute()
        patch.setattr(execute.run, "train", self.train)
        patch.setattr(execute, "measure_run", self.measure)

    def train(self, config, workdir, progress):
        self.trained.append(workdir.name)
        return stand_ins.train(config, workdir, progress)

    def measure(self, run_dir, *, probe_only=False, **options):
        if not probe_only:
            self.measured.append(run_dir.name)
        made = stand_ins.measure_run(run_dir, **options)
        scaled = {name: x * self.louder for name, x in made.probe.items()}
        return made._replace(probe=scaled)

    def compute(self, tasks=(), factor=1.0, louder=1.0):
        """What the code of today computes, for some tasks otherwise."""
        self.louder = louder

        def probe(config):
            self.probed.append(config["task"])
            loss, one = stand_ins.probe(config).numbers["loss"]
            scale = factor if config["task"] in tasks else 1.0
            return Fingerprint({"loss": [loss * scale, one]}, environment())

        self.patch.setattr(identity, "of_training", probe)

    def rewrite(self, text):
        """Other source text, everywhere."""
        self.patch.setattr(identity, "code_hash", lambda *modules: f"{text} {modules}")

    def execute(self):
        """What is trained and measured now."""
        self.trained.clear(), self.measured.clear(), self.probed.clear()
        execute.execute(self.plan, list(self.plan.cells), self.runs, "nothing")
        return len(self.trained), len(self.measured)


@pytest.fixture
def world(written, tmp_path, monkeypatch):
    made = World(*written, tmp_path / "runs", monkeypatch)
    assert made.execute() == (7, 6)
    return made


def test_seeds_share_a_probe(world):
    assert sorted(world.probed) == [
        "classifier",
        "diffusion",
        "diffusion",
        "vae",
        "vocoder",
    ]
    assert world.execute() == (0, 0)
    assert world.probed == []


def test_code_that_computes_the_same_keeps_all(world):
    world.rewrite("other text")
    described = dry_run.describe(world.plan, world.directory, world.runs)
    assert "7 runs and the numbers of 6 are of other code" in described
    assert world.execute() == (0, 0)
    assert len(world.probed) == 5
    assert world.execute() == (0, 0)
    assert world.probed == []  # what came of it is remembered
    described = dry_run.describe(world.plan, world.directory, world.runs)
    assert "other code" not in described
    assert described.count("2 of 2 trained, 2 measured") == 3


def test_other_numbers_are_trained_beside_the_old(world, caplog):
    before = {path.name for path in world.runs.glob("diffusion-*")}
    world.rewrite("other text")
    world.compute(tasks=("diffusion",), factor=1.5)
    assert world.execute() == (4, 6)
    assert {name.rpartition("-")[0] for name in world.trained} == before
    assert before < {path.name for path in world.runs.glob("diffusion-*")}
    assert (
        "stays, but today's code makes another: loss (number 1 of 2) was "
        in caplog.text
    )
    found = results.collect(world.plan, world.directory, world.runs)
    assert {f"diffusion-{record['run']}" for record in found.runs} == set(world.trained)
    # The code of then finds its own again.
    world.rewrite("text of then")
    world.compute()
    assert world.execute() == (0, 0)


def test_a_part_that_is_another_is_another_run(world, caplog):
    world.rewrite("other text")
    world.compute(tasks=("vae",), factor=1.5)
    assert world.execute() == (1 + 4, 6)
    assert "it stands on another autoencoder" in caplog.text


def test_what_measuring_computes_is_probed_too(world, caplog):
    world.rewrite("other text")
    world.compute(louder=1.01)
    assert world.execute() == (0, 6)
    assert "today's code makes another: " in caplog.text
    assert world.execute() == (0, 0)
    assert len(list(world.runs.glob("heard-*"))) == 12


def test_a_stopped_run_is_not_gone_on_with_by_code_of_other_numbers(world):
    (stopped,) = world.runs.glob(f"vae-*/{identity.FINISHED}")
    stopped.unlink()
    world.rewrite("other text")
    assert world.execute() == (1, 0)
    assert world.trained == [stopped.parent.name]
    stopped.unlink()
    world.rewrite("another text")
    world.compute(tasks=("vae",), factor=1.5)
    world.execute()
    assert world.trained[0].startswith(f"{stopped.parent.name}-")


def test_a_number_is_not_made_again_by_code_that_trains_otherwise(world):
    found = results.collect(world.plan, world.directory, world.runs)
    world.rewrite("other text")
    ask = (found, world.plan, world.runs, ["mel_l1"], ["guided"])
    assert "made again: equal" in explain.again(*ask)
    world.rewrite("another text")
    world.compute(tasks=("vocoder",), factor=1.5)
    with pytest.raises(
        UserError, match=r"loss .* was .*; take the code of then by `git"
    ):
        explain.again(*ask)
