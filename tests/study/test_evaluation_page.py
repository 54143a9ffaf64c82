"""The page of an evaluated run, of a source with labels of its own."""

import numpy as np
import pytest

from diffusion_audio.evaluation.measures import draw_reference
from diffusion_audio.report.content import Measured, Provenance
from diffusion_audio.report.page import render
from diffusion_audio.runs.workdir import provenance
from diffusion_audio.study import evaluate, evaluation_page, results
from diffusion_audio.study.evaluation_page import RESYNTHESIS, STAGES, report
from diffusion_audio.study.measure import Synthesizer
from tests.evaluation.test_measures import CLASSIFIER, SPEC, Commands
from tests.report.test_page import Tags

CONFIG = {
    "task": "diffusion",
    "train": {"steps": 7},
    "data": {"source": "folder:commands", "train_split": "train"},
    "sampling": {"solver": {"name": "ddim"}, "steps": 5, "guidance": 3.0},
}


@pytest.fixture(scope="module")
def made():
    """Results, reference and waves of a model that gets half of the speakers wrong."""
    reference = draw_reference(Commands(), 16, 4096, CLASSIFIER)
    waves = {stage: reference.audio.copy() for stage in STAGES | RESYNTHESIS}
    waves["generated"][:8, 1] = 0.1 - waves["generated"][:8, 1]
    made_by = Synthesizer(SPEC, 0.256, "0123", lambda *given: iter(()))
    subject = evaluate.Subject(made_by, None, "model", 6, lambda *given: waves)
    found = evaluate._results(
        subject, reference, waves, CONFIG, provenance(), "runs/a", "test", 3
    )
    return found, reference, waves


@pytest.fixture(scope="module")
def page(made):
    source = Provenance("diffusion-audio evaluate", "c0ffee", "", "cpu", {}, {}, {})
    options = {"made_of": "model", "rate": 16_000, "examples": 2, "runs": []}
    return report(*made, CONFIG, provenance=source, **options)


def test_every_label_has_its_row_and_its_chance(page):
    (measured,) = (s for s in page.sections if isinstance(s, Measured))
    shares, distances, vocoders = measured.tables
    values = {
        row.name: [cell and round(cell.value, 3) for cell in row.cells]
        for row in shares.rows
    }
    assert values["Right: keyword"] == [1, 1, 1, 1, 1, 0.333]
    assert values["Right: speaker"] == [1, 1, 0.5, 1, 1, 0.5]
    assert values["All attributes right"] == [1, 1, 0.5, 1, 1, None]
    low = shares.rows[0].cells[0].low
    assert 0.75 < low < 0.85  # Wilson's: 16 of 16 right are no certainty
    assert "Kernel distance (own classifier)" in [row.name for row in distances.rows]
    assert [column.name for column in vocoders.columns] == [
        "Vocoder",
        "Griffin-Lim",
    ]
    assert page.headlines == (("100 %", "keyword"), ("50 %", "speaker"))
    assert "most often wrong is speaker, right in 50.0 %" in page.summary
    assert "never saw" in page.title


@pytest.mark.parametrize(
    ("share", "said"), [(1.0, "every attribute is right"), (0.996, "right in 99.6 %")]
)
def test_no_attribute_is_called_wrong_that_never_was(made, share, said):
    known = evaluation_page._summary(
        CONFIG, "model", made[0], "never saw", {"keyword": 1.0, "speaker": share}
    )
    assert said in known


def test_numbers_tell_where_they_come_from_and_clips_their_attributes(page, tmp_path):
    text = render(page, tmp_path / "page.html").read_text("utf-8")
    assert "KL(reference || generated), Generated" in text
    assert "again     " in text
    tags = Tags(text)
    assert len(tags.named("audio")) == 2 * 4  # untrained noise is spared
    assert "".join(tags.text).count("✗") == 1 + 1  # the legend's, and a speaker
    ids = [attrs["id"] for _, attrs in tags.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_its_results_are_those_of_an_experiment(made, tmp_path):
    found, *_ = made
    results.write(found, tmp_path / results.RESULTS)
    again = results.read(tmp_path)
    assert again.systems == [column.name for column in (STAGES | RESYNTHESIS).values()]
    assert again.contrasts("mel_l1") == {}  # one seed cannot tell
    for metric in found.metrics:
        np.testing.assert_array_equal(
            again.values(metric, "Generated"), found.values(metric, "Generated")
        )
