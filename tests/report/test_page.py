import base64
import csv
import io
import os
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from diffusion_audio.report.content import (
    Attribute,
    Blind,
    Clip,
    Column,
    Curves,
    Estimate,
    Example,
    Listen,
    Measured,
    Provenance,
    Published,
    Report,
    Row,
    Settings,
    Table,
    Training,
)
from diffusion_audio.report.page import (
    POLICY,
    best,
    duration,
    flac,
    number,
    render,
)
from diffusion_audio.report.plots import curve
from tests.report.example_report import make_report

HOSTILE = "\"><script>alert('x')</script><b onclick=\"x()\">'{{ 7 * 7 }}&amp;"
EMPTY = {"input", "img", "meta", "br", "link", "hr", "path", "use", "rect"}


class Tags(HTMLParser):
    """Every element with its attributes, and the text of those with an id."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.captions, self._in_caption = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "bdi":
            self._in_caption = True
            self.captions.append("")

    def handle_endtag(self, tag):
        if tag == "bdi":
            self._in_caption = False

    def handle_data(self, data):
        self.text.append(data)
        if self._in_caption:
            self.captions[-1] += data

    def named(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    return render(make_report(), path)


@pytest.fixture(scope="module")
def tags(page):
    return Tags(page.read_text("utf-8"))


SOURCE = Provenance("make demo", "c0ffee", "", "cpu", {}, {}, {})


def empty_report(*sections):
    return Report("Title", (*sections, SOURCE), "Summary.")


def rendered(report, tmp_path):
    return render(report, tmp_path / "page.html").read_text("utf-8")


def test_the_file_is_small_and_complete(page, tags):
    assert page.is_absolute()
    assert page.stat().st_size < 3_000_000
    assert len(tags.named("audio")) == len(tags.named("img")) == 36
    assert "".join(tags.text).count("✓") > 100


def test_nothing_comes_from_outside(page, tags):
    addresses = [
        value
        for _, attrs in tags.elements
        for name, value in attrs.items()
        if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster")
    ]
    assert addresses
    assert all(
        a.startswith(("data:image/", "data:audio/", "data:text/csv", "#"))
        for a in addresses
    )
    text = page.read_text("utf-8")
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert not {"script", "iframe", "object", "link", "form"} & {
        name for name, _ in tags.elements
    }


def test_the_policy_comes_first_and_allows_only_what_is_inside(tags):
    policies = [
        attrs["content"]
        for attrs in tags.named("meta")
        if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [POLICY]
    assert "default-src 'none'" in POLICY
    assert "script-src" not in POLICY
    order = [name for name, _ in tags.elements]
    assert order.index("meta") < order.index("style")


def test_it_can_be_read_without_seeing(tags):
    assert all(attrs["alt"] for attrs in tags.named("img"))
    assert all(attrs["aria-label"] for attrs in tags.named("audio"))
    assert all(
        attrs["aria-label"] for attrs in tags.named("svg") if attrs["role"] == "img"
    )
    ids = [attrs["id"] for _, attrs in tags.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for a in tags.named("a") if "download" not in a}
    assert targets <= set(ids)


def test_equal_reports_make_equal_files(tmp_path):
    first = rendered(make_report(examples=1), tmp_path)
    assert rendered(make_report(examples=1), tmp_path) == first


def test_hostile_text_stays_text_everywhere(tmp_path):
    clip = Clip(HOSTILE, np.zeros(2000), (Attribute(HOSTILE, HOSTILE, "b"),))
    table = Table(
        HOSTILE, (Column(HOSTILE, HOSTILE),), (Row(HOSTILE, (None,)),), HOSTILE
    )
    rows = [{"step": 1, "split": "train", HOSTILE: 1.0}]
    drawn = [(HOSTILE, curve(rows, HOSTILE))]
    named = {HOSTILE: HOSTILE}
    report = Report(
        HOSTILE,
        (
            Listen((Example(HOSTILE, (clip,)),), 16000, HOSTILE, HOSTILE),
            Measured((table,), (), HOSTILE, (Published(*[HOSTILE] * 2, 1.0, HOSTILE),)),
            Blind(HOSTILE),
            Training((Curves(HOSTILE, HOSTILE, drawn),)),
            Settings(named),
            Provenance(*[HOSTILE] * 4, named, named, {HOSTILE: 1.0}, named),
        ),
        HOSTILE,
        (HOSTILE,),
        ((HOSTILE, HOSTILE),),
    )
    tags = Tags(rendered(report, tmp_path))
    assert tags.captions == [HOSTILE, HOSTILE, ""]  # the last is of the blind test
    assert tags.named("script") == [{}]  # the page's own
    assert not any(
        name.startswith("on") for _, attrs in tags.elements for name in attrs
    )
    assert "49" not in "".join(tags.text)


@pytest.mark.parametrize(
    "caption",
    ["", "x" * 10_000, "\x00\x1b[31m", "\ud800 half", "مرحبا \u202e abc", "🎺\nline"],
)
def test_any_caption_can_be_shown(caption, tmp_path):
    example = Example(caption, (Clip("a", np.zeros(2000)),))
    tags = Tags(rendered(empty_report(Listen((example,), 16000)), tmp_path))
    plain = caption.isprintable() or "\n" in caption or "\u202e" in caption
    assert len(tags.captions[1]) == len(caption)
    assert not plain or tags.captions[1] == caption
    assert "\x00" not in tags.captions[1]


def test_a_report_may_lack_everything_but_its_provenance(tmp_path):
    text = rendered(empty_report(), tmp_path)
    assert 'id="provenance"' in text
    for section in ("listen", "measured", "training"):
        assert f'id="{section}"' not in text
    assert "no uncommitted changes" in text
    text = rendered(Report("Title", (SOURCE._replace(dirty="abc123"),)), tmp_path)
    assert "with uncommitted changes" in text


def test_a_clip_that_is_not_finite_is_named_not_played(tmp_path):
    wave = np.zeros(2000)
    wave[7] = np.nan
    examples = (Example("a", (Clip("Good", np.zeros(2000)), Clip("Bad", wave))),)
    text = rendered(empty_report(Listen(examples, 16000)), tmp_path)
    assert text.count("<audio") == 1
    assert "Not playable" in text


def test_a_failed_write_leaves_the_old_page(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        render(empty_report(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_flac_holds_the_sound_clipped():
    wave = np.concatenate([np.sin(np.arange(4000) / 7), [2.0, -2.0]])
    kind, content = flac(wave, 22050).split(",")
    assert kind == "data:audio/flac;base64"
    played, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
    assert rate == 22050
    np.testing.assert_allclose(played, np.clip(wave, -1, 1), atol=5e-5)


def test_judgements_do_not_rest_on_colour(tmp_path):
    attributes = (Attribute("pitch", "A4", "A4"), Attribute("timbre", "bell", "organ"))
    examples = (Example("a", (Clip("c", np.zeros(2000), attributes),)),)
    text = " ".join(rendered(empty_report(Listen(examples, 16000)), tmp_path).split())
    assert 'aria-label="as requested">✓</span> <span class="name">pitch' in text
    assert 'aria-label="not as requested">✗</span> <span class="name">timbre' in text
    assert "requested: bell" in text


def test_numbers_read_as_people_write_them():
    assert number(0.93333, percent=True) == "93.3"
    assert number(0.999, percent=True, digits=0) == "100"
    assert [number(x) for x in (0.21, 1.0, 123.0, 12345.6, 0.0)] == [
        "0.210",
        "1.00",
        "123",
        "12,346",
        "0.00",
    ]
    assert number(float("nan")) == "not finite"
    assert [duration(s) for s in (0.51, 12.3, 119.7, 3725)] == [
        "0.5 s",
        "12 s",
        "2 min 00 s",
        "1 h 02 min",
    ]


def test_best_is_marked_only_where_intervals_are_apart():
    columns = (Column("ours"), Column("theirs"), Column("ceiling", bound=True))
    ours, theirs = Estimate(1.0, 0.9, 1.1), Estimate(1.3, 1.2, 1.4)
    bound = Estimate(0.1)
    assert best(Row("a", (ours, theirs, bound), "lower"), columns) == 0
    assert best(Row("a", (ours, theirs, bound), "higher"), columns) == 1
    assert best(Row("a", (ours, theirs, bound)), columns) is None
    wide = Estimate(1.3, 1.05, 1.6)
    assert best(Row("a", (ours, wide, bound), "lower"), columns) is None
    assert best(Row("a", (ours, None, bound), "lower"), columns) is None
    assert best(Row("a", (ours, Estimate(np.nan), bound), "lower"), columns) is None


def test_contents_name_every_section_and_table_in_order(tags):
    found = [a["href"] for a in tags.named("a") if "download" not in a]
    assert found == [
        "#listen",
        *("#measured", "#measured-1", "#measured-2"),
        *("#training", "#training-1", "#training-2", "#training-3"),
        "#provenance",
    ]


def test_a_table_is_there_as_csv(tmp_path):
    cells = (Estimate(1 / 3, 0.25, 0.5, "better"), None, Estimate(2.0))
    columns = (Column('a "b", c', "n = 3"), Column("d"), Column("e"))
    table = Table("A, b/c?", columns, (Row("<m>", cells, "lower"),))
    (link,) = (
        a
        for a in Tags(rendered(empty_report(Measured((table,))), tmp_path)).named("a")
        if "download" in a
    )
    assert link["download"] == "a-b-c.csv"
    kind, content = link["href"].split(",")
    assert kind == "data:text/csv;charset=utf-8;base64"
    text = base64.b64decode(content).decode()
    assert list(csv.reader(io.StringIO(text))) == [
        ["measure", "better", "column", "value", "low", "high", "note"],
        ["<m>", "lower", 'a "b", c, n = 3', str(1 / 3), "0.25", "0.5", "better"],
        ["<m>", "lower", "e", "2.0", "", "", ""],
    ]
