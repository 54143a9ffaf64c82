"""The committed experiments can be planned, and their pages written about."""

import dataclasses
import re
from pathlib import Path

import pytest

from diffusion_audio.errors import UserError
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


def test_the_specs_of_the_readme_can_be_planned(monkeypatch):
    monkeypatch.chdir(EXPERIMENTS.parent)
    text = (EXPERIMENTS / "README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        found = {}
        exec(block, found)
        assert len(plan.make_plan(found["experiment"]).cells) >= 4


def test_a_variant_that_decides_no_number_is_refused(monkeypatch):
    monkeypatch.chdir(EXPERIMENTS.parent)
    asked = spec.load(EXPERIMENTS / "ema")
    asked = dataclasses.replace(asked, variants={"x": {"train.log_every": 7}})
    with pytest.raises(UserError, match=r"'x' changes nothing .* '0\.995'"):
        plan.make_plan(asked)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"variants": {"x": {"sampling.solver.name": "dpmpp2m"}}},
            "x: unknown solver .*did you mean 'dpmpp_2m'",
        ),
        ({"variants": {"x": {"loss.weighting.name": "minsnr"}}}, "x: unknown"),
        ({"variants": {"x": {"denoiser.in_channels": 7}}}, "x: the denoiser takes 7"),
        ({"variants": {"x": {"audio.preset": "audioldm_16k"}}}, "x: .*the vae"),
        (
            {"metrics": {"adherence/pitch": "higher"}, "classifier": "deaf.py"},
            "metric adherence/pitch: .*deaf.py learns instrument; take",
        ),
    ],
)
def test_what_training_would_refuse_is_refused_before(
    fields, message, monkeypatch, tmp_path
):
    deaf = (
        "from configs.classifier import get_config as tones\n"
        "def get_config():\n"
        "    config = tones('tones')\n"
        "    config.data.labels = ('instrument',)\n"
        "    return config\n"
    )
    (tmp_path / "deaf.py").write_text(deaf)
    if "classifier" in fields:
        fields = fields | {"classifier": str(tmp_path / fields["classifier"])}
    monkeypatch.chdir(EXPERIMENTS.parent)
    monkeypatch.syspath_prepend(EXPERIMENTS.parent)
    asked = dataclasses.replace(spec.load(EXPERIMENTS / "ema"), **fields)
    with pytest.raises(UserError, match=message):
        plan.make_plan(asked)
