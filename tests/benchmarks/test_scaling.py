"""The model of scaling by hand, and the page as the facts have it."""

import json
import math

import pytest

from benchmarks import scaling, scaling_model
from benchmarks.scaling_model import Chip

CHIP = Chip("one", 100.0, 10.0, 1000.0, 1.0, link=50.0, near=8, far=5.0, hop=0.0)
FACTS = {
    "dtype": "bfloat16",
    "flops_per_example": 40.0,
    "flops_fixed": 0.0,
    "gradient_bytes": 100.0,
    "state_bytes": 400.0,
    "residuals_per_example": 50.0,
}


def test_a_sum_over_chips():
    assert scaling_model.all_reduce(CHIP, 1, 100.0) == 0
    near = 2 * 7 / 8 * 100 / 50
    assert scaling_model.all_reduce(CHIP, 8, 100.0) == pytest.approx(near)
    far = 2 * 3 / 4 * (100 / 8) / 5  # each chip's eighth, around four nodes
    assert scaling_model.all_reduce(CHIP, 32, 100.0) == pytest.approx(near + far)


def test_a_step_waits_for_what_is_not_hidden():
    step = scaling_model.step(FACTS, CHIP, 8, examples=1)
    assert step.compute == 40 / (0.4 * 100)
    assert step.exchange == pytest.approx(3.5)
    assert step.least == pytest.approx(1 / 4.5)
    assert step.most == pytest.approx(1 / (1 + 3.5 - 2 / 3))
    slow = scaling_model.step(FACTS | {"dtype": "float32"}, CHIP, 8, examples=1)
    assert slow.most == 1  # six of its ten seconds hide it
    enough = scaling_model.enough(FACTS, CHIP, 8)
    assert enough == math.ceil(9 * 3.5)
    assert scaling_model.step(FACTS, CHIP, 8, enough).least >= 0.9


def test_memory_of_a_chip():
    assert scaling_model.memory(FACTS, 1, 2) == 400 + 100 + 100
    assert scaling_model.memory(FACTS, 8, 2) == 50 + 200 + 100
    assert scaling_model.most(FACTS, CHIP, 1) == 10
    assert scaling_model.most(FACTS | {"state_bytes": 2000.0}, CHIP, 1) == 0


def test_the_page_is_of_the_facts():
    every = json.loads(scaling.FACTS.read_text(encoding="utf-8"))
    page = scaling.PAGE.read_text(encoding="utf-8")
    assert scaling_model.rewritten(page, every) == page
    assert tuple(every) == scaling.RECIPES
    sizes = {name: round(facts["trained"] / 1e6, 2) for name, facts in every.items()}
    assert sizes == {"audioldm2": 346.94, "auffusion": 859.52, "vocoder:v1": 84.68}
    for facts in every.values():
        assert facts["gradient_bytes"] == 4 * facts["trained"]
