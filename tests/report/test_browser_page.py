"""The page as a browser shows it, with the network off."""

import time

import pytest

from diffusion_audio.report.page import render
from tests.report.browser import CHROMIUM, browser
from tests.report.example_report import make_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]

HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=alert(1)>" + "x" * 5000
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    return render(make_report(examples=4, caption=HOSTILE), path)


@pytest.fixture(scope="module")
def page():
    with browser() as page:
        yield page


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_screen_and_loads_only_itself(page, report, width, dark):
    page.open(report, width, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(
        "[...document.images].every(i => i.complete && i.naturalWidth > 50)"
    )
    outside = [
        url for url in page.requests if not url.startswith(("data:", report.as_uri()))
    ]
    assert outside == []
    assert page.violations == []


def test_every_clip_decodes_and_plays(page, report):
    page.open(report, 1280)
    played = page.evaluate(
        """Promise.all([...document.querySelectorAll('audio')].map(async a => {
          a.muted = true; await a.play();
          await new Promise(done => a.onended = done);
          return a.duration;
        }))"""
    )
    assert len(played) == 12
    assert played == pytest.approx([16384 / 16000] * 12, abs=1e-3)


def test_a_script_in_a_caption_stays_text(page, report):
    page.open(report, 1280)
    assert page.evaluate("document.title") == "Tones from captions"
    assert page.evaluate("document.querySelector('.caption').innerText") == HOSTILE


def test_tab_reaches_every_player_and_wide_table(page, report):
    page.open(report, 390)
    assert page.evaluate(
        """[...document.querySelectorAll('audio, a, .scroll')].every(
          e => { e.focus(); return document.activeElement === e; })"""
    )


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast(page, report, dark):
    """WCAG AA: 4.5 to 1 for every colour of text on page and card."""
    page.open(report, 1280, dark=dark)
    ratios = page.evaluate(
        """(() => {
          const probe = document.body.appendChild(document.createElement('i'));
          const light = name => {
            probe.style.color = `var(--${name})`;
            const [r, g, b] = getComputedStyle(probe).color.match(/\\d+/g)
              .map(v => v / 255)
              .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
            return .2126 * r + .7152 * g + .0722 * b;
          };
          const ratio = (a, b) => (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
          return ['text', 'muted', 'accent', 'good', 'bad'].flatMap(name =>
            ['page', 'card'].map(on => ratio(light(name), light(on))));
        })()"""
    )
    assert min(ratios) >= 4.5


def test_a_table_is_downloaded_without_network_or_script(page, report, tmp_path):
    page.open(report, 1280)
    page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.evaluate("document.querySelector('a[download]').click()")
    path = tmp_path / "does-the-sound-follow-the-caption.csv"
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, "no file in half a minute"
        time.sleep(0.05)
    assert path.read_text("utf-8").startswith("measure,better,column,value")
    assert page.violations == []


def test_contents_lead_to_every_section(page, report):
    page.open(report, 390)
    assert page.evaluate(
        """[...document.querySelectorAll('nav a')].every(link => {
          link.click();
          const target = document.querySelector(link.hash);
          return target && target === document.querySelector(':target'); })"""
    )
