"""The page of an experiment as a browser shows it, with the network off."""

import json

import pytest

from diffusion_audio.report.page import render
from tests.report.browser import CHROMIUM, browser
from tests.study.example_study import make_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]

HOSTILE = "</bdi><script>document.title='owned'</script>" + "x" * 500


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "study.html"
    return render(make_study(caption=HOSTILE), path)


@pytest.fixture(scope="module")
def page():
    with browser() as page:
        yield page


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_loads_only_itself(page, study, width):
    page.open(study, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.title") != "owned"
    outside = [
        url for url in page.requests if not url.startswith(("data:", study.as_uri()))
    ]
    assert outside == []
    assert page.violations == []


def test_every_clip_decodes(page, study):
    page.open(study, 1280)
    seconds = page.evaluate(
        """Promise.all([...document.querySelectorAll('#listen audio')].map(async a => {
          a.muted = true; await a.play(); a.pause(); return a.duration;
        }))"""
    )
    assert seconds == pytest.approx([16384 / 16000] * 8, abs=1e-3)


def test_a_number_tells_where_it_comes_from(page, study):
    page.open(study, 1280)
    seen = page.evaluate(
        """(() => {
          const button = document.querySelector('button.value');
          button.focus(); button.click();
          const origin = document.getElementById(button.getAttribute('popovertarget'));
          return [origin.matches(':popover-open'), origin.textContent];
        })()"""
    )
    assert seen[0]
    assert "protocol" in seen[1]
    assert "run       diffusion-" in seen[1]


def test_a_blind_test_by_keyboard(page, study):
    """Votes name both systems, in whatever order they were heard."""
    page.open(study, 1280)
    page.evaluate(
        """(() => {
          document.querySelector('.trial').scrollIntoView({behavior: 'instant'});
          window.saved = []; const real = URL.createObjectURL;
          URL.createObjectURL = blob => { saved.push(blob); return real(blob); };
          HTMLAnchorElement.prototype.click = () => {};
        })()"""
    )
    press = "document.dispatchEvent(new KeyboardEvent('keydown', {key: '%s'}))"
    for key in ("1", "a", "B", "n", "x"):
        page.evaluate(press % key)
    held = "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'a', repeat: 1}))"
    page.evaluate(held)
    names = page.evaluate("document.querySelector('.trial').textContent")
    assert "linear" not in names
    page.evaluate("document.querySelector('[data-export]').click()")
    text = page.evaluate("saved[0].text()")
    votes = json.loads(text)
    assert votes["experiment"] == "schedules"
    assert [vote["vote"] for vote in votes["votes"]] == ["a", "b", "neither"]
    for vote in votes["votes"]:
        assert vote["a"] != vote["b"]
        assert {vote["a"], vote["b"]} < {"cosine", "linear", "scaled linear"}
    assert "Preferred" in page.evaluate(
        "document.querySelector('[role=status]').textContent"
    )
