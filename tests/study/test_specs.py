"""The committed experiments can be planned, and their pages written about."""

from pathlib import Path

import pytest

from diffusion_audio.study import plan, results, spec, wording

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NAMES = sorted(path.parent.name for path in EXPERIMENTS.glob("*/spec.py"))


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_planned(name, monkeypatch):
    monkeypatch.chdir(EXPERIMENTS.parent)
    experiment = spec.load(EXPERIMENTS / name)
    made = plan.make_plan(experiment)
    assert len(experiment.seeds) >= 3
    assert len(made.cells) == len(experiment.systems) * len(experiment.seeds)
    assert len({cell.id for cell in made.cells}) == len(made.cells)


@pytest.mark.parametrize("name", NAMES)
def test_its_table_is_that_of_its_results(name):
    directory = EXPERIMENTS / name
    text = (directory / wording.README).read_text()
    assert text.count(wording.BEGIN) == text.count(wording.END) == 1
    if (directory / results.RESULTS).exists():
        found = results.read(directory, spec.load(directory))
        assert wording.markdown(found) in text
    assert name in (EXPERIMENTS / "README.md").read_text()


def test_guidance_shares_its_runs(monkeypatch):
    monkeypatch.chdir(EXPERIMENTS.parent)
    made = plan.make_plan(spec.load(EXPERIMENTS / "guidance"))
    assert len(made.cells) == 27
    assert len({cell.training.id for cell in made.cells}) == 9
