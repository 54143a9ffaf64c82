"""The page of an experiment: what it holds, what it may do, how large it gets."""

import base64
import hashlib
import re

import pytest

from diffusion_audio.report.page import POLICY, render
from diffusion_audio.study import wording
from tests.study.example_study import make_results, make_study

HOSTILE = "</bdi><script>document.title='owned'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "study.html"
    return render(make_study(caption=HOSTILE), path).read_text()


def test_its_one_script_is_the_one_the_policy_names(text):
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = re.search(r'Security-Policy" content="([^"]+)"', text)[1]
    assert policy.replace("&#39;", "'") == f"{POLICY}; script-src 'sha256-{digest}'"
    assert "unsafe" not in policy.partition("script-src")[2]


def test_what_others_wrote_is_escaped(text):
    assert "<img src=x" not in text
    assert "document.title=&#39;owned&#39;" in text


def test_every_number_opens_its_origin(text):
    targets = re.findall(r'popovertarget="([^"]+)"', text)
    ids = re.findall(r'popover id="([^"]+)"', text)
    # Three systems and two variants, of three metrics each.
    assert len(targets) == 3 * 3 + 3 * 2
    assert targets == ids
    assert len(set(ids)) == len(ids)
    assert "diffusion-audio experiment explain experiments/schedules" in text
    assert "commit    ffff" in text


def test_every_system_stands_under_every_caption(text):
    assert text.count("<audio controls preload") == 2 * 4
    assert text.count("<h4>Real</h4>") == 2


def test_a_large_one_stays_below_25_megabytes(tmp_path):
    names = tuple(f"variant {i}" for i in range(6))
    study = make_study(names, examples=12)
    path = render(study, tmp_path / "study.html")
    assert path.stat().st_size < 25e6
    assert path.read_text().count("<audio controls preload") == 12 * 7


def test_verdicts_follow_from_the_intervals():
    results = make_results(("a", "b", "c", "d"))
    contrasts = results.contrasts("adherence")
    sentences = wording.verdicts(results)
    better, worse, same = wording.summary(results)[2:]
    assert better.startswith("* **better** than a: c (")
    assert worse.startswith("* **worse** than a: d (")
    assert same.startswith("* **not distinguishable** from a: b (")
    assert "b is not distinguishable from a" in sentences[0]
    assert "would take" in sentences[0] or "no number of seeds" in sentences[0]
    assert sentences[1].startswith("c is better than a")
    assert sentences[2].startswith("d is worse than a")
    for contrast in contrasts.values():
        inside = contrast.low <= 0 <= contrast.high
        assert inside == (contrast.verdict == "not distinguishable")
