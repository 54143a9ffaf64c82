"""The page of a folder of sounds as a browser shows it, with the network off."""

import pytest

from diffusion_audio.generation.gallery import write_gallery
from tests.generation.test_gallery import make
from tests.report.browser import CHROMIUM, browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    make(folder, ["a" * 3000], rate=16000, seconds=70, model=HOSTILE)
    make(folder, [HOSTILE, "rain"], scores=(0.5, 0.25, 0.75), seconds=0.3, start=7)
    return write_gallery(folder)


@pytest.fixture(scope="module")
def page():
    with browser() as page:
        yield page


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_plays_and_loads_only_itself(page, gallery, width):
    page.open(gallery, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.title") == "Sounds of prompts"
    assert page.evaluate(
        "[...document.images].every(i => i.complete && i.naturalWidth > 50)"
    )
    played = page.evaluate(
        """Promise.all([...document.querySelectorAll('audio')].map(async a => {
          a.muted = true; await a.play(); a.pause(); return a.duration; }))"""
    )
    assert played == pytest.approx([0.3] * 6 + [70], abs=1e-3)
    outside = [
        url for url in page.requests if not url.startswith(("data:", gallery.as_uri()))
    ]
    assert outside == []
    assert page.violations == []


def test_tab_reaches_every_player_and_link(page, gallery):
    page.open(gallery, 390)
    assert page.evaluate(
        """[...document.querySelectorAll('audio, a')].every(
          e => { e.focus(); return document.activeElement === e; })"""
    )
