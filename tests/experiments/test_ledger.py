"""The ledger of published results: numbers that are computed, words that hold."""

import re

import pytest

from diffusion_audio.errors import UserError
from experiments.reproduction.__main__ import README, kept
from experiments.reproduction.ledger import (
    Check,
    Family,
    Ledger,
    Results,
    Source,
    System,
    Way,
    read,
)
from experiments.reproduction.measured import CASES, measure, quoted
from experiments.reproduction.page import key, page

LEDGER = read()
CHECKS = {key(family, row.what): row for family, row in LEDGER.checks()}
PUBLISHED = {name: row for name, row in CHECKS.items() if row.published}


def slow(compute):
    """Whether it traces a UNet, or runs Griffin-Lim."""
    asked = {str(value) for value in compute.values()}
    return compute["how"] == "inverted" or any(x.startswith("unet_") for x in asked)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if slow(row.compute) else name
        for name, row in CHECKS.items()
    ],
)
def test_what_is_kept_is_what_is_computed(name):
    compute = CHECKS[name].compute
    # Griffin-Lim is some hundred transforms, in an order that a machine chooses.
    close = 1e-2 if compute["how"] == "inverted" else 1e-6
    assert measure(compute) == pytest.approx(kept(LEDGER)[name], rel=close)


def test_every_number_is_kept_and_no_other():
    assert list(kept(LEDGER)) == list(CHECKS)
    assert len(CHECKS) == sum(1 for _ in LEDGER.checks())
    with pytest.raises(UserError, match=r"of other rows .* without --page"):
        kept(Ledger(LEDGER.families[1:], {}, ()))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_number_agrees_or_there_is_a_reason(name):
    assert PUBLISHED[name].agrees(kept(LEDGER)[name]) == (PUBLISHED[name].note == "")


def test_the_page_is_that_of_the_ledger():
    assert README.read_text(encoding="utf-8") == page(LEDGER, kept(LEDGER))


def test_links_of_the_page_lead_to_its_headings():
    text = README.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    links = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert len(links) > 15
    assert links <= anchors


def test_a_system_has_one_name():
    """Names that differ by case or blanks alone would be two systems."""
    names = {row[0] for _, table in LEDGER.results() for row in table.rows}
    plain = {re.sub(r"[\s-]", "", name).lower() for name in names}
    assert len(plain) == len(names)


@pytest.mark.parametrize(
    ("published", "scale", "computed", "agree"),
    [
        ("13.92", 1e6, 13_926_017, True),  # cut off
        ("13.93", 1e6, 13_926_017, True),  # rounded
        ("13.94", 1e6, 13_926_017, False),
        ("0.0015", 1.0, 0.0015, True),
        ("0.0015", 1.0, 0.0016, False),
        ("1e-5", 1.0, 7e-6, True),
        ("1e-5", 1.0, 2e-5, False),
        ("25.6", 1.0, 25.0, False),
    ],
)
def test_digits_agree(published, scale, computed, agree):
    check = Check("it", {}, published=published, scale=scale)
    assert check.agrees(computed) == agree


def results(**fields):
    common = {
        "title": "T",
        "source": "s",
        "metrics": ("FD ↓",),
        "data": "D",
        "test": "T",
    }
    return Results(**common | {"rows": (("A", 1.0),), "protocol": "tango"} | fields)


def test_ours_stands_beside_theirs():
    table = results(ours=(("A", "weights", 1.1, "commit 1"),))
    assert table.made("A", "weights") == (1.1, "commit 1")
    assert table.made("A", "trained") is None
    family = Family("f", "F", "It.", {"s": Source("here")}, (table,), ())
    way = Way("nothing", ("diffusion-audio models",))
    ledger = Ledger((family,), {"A": System("A", {"weights": way})}, ())
    assert "| A | 1.0 | 1.1 (commit 1) |" in page(ledger, {})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rows": (("A", 1.0, 2.0),)}, "has not 2 cells"),
        ({"ours": (("A", "stolen", 1.1, "x"),)}, "one of weights, trained"),
        ({"protocol": ""}, "a protocol, or needs"),
        ({"needs": "ears"}, "a protocol, or needs"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        results(**fields)


def test_a_source_says_how_it_was_read():
    with pytest.raises(UserError, match="did you mean 'second'"):
        Source("a paper", "secnd", "elsewhere")
    with pytest.raises(UserError, match="where it was read"):
        Source("a paper", "second")


def test_a_table_elsewhere_that_changed_is_noticed():
    with pytest.raises(UserError, match="no table has a row 'V9'"):
        quoted("benchmarks/README.md", "V9", "ratio")
    assert quoted("docs/parity.md", "`gpt2`", "parameters") == 124_439_808
    voice = "asterisk-core-sounds-ru-g722 | 16 | vocoder", "mel L1, full band"
    public = quoted("benchmarks/README.md", *voice)
    heading = "A small VAE and vocoder trained on them"
    assert public != quoted("benchmarks/README.md", *voice, under=heading)
    with pytest.raises(UserError, match="no heading 'None'"):
        quoted("benchmarks/README.md", *voice, under="None")


def test_operations_are_those_of_the_convolutions():
    """XLA's count of a vocoder is that by hand, and little more for activations."""
    cfg = CASES["vocoder_auffusion"].cfg
    length, width = 100, cfg.channels  # a second
    products = 7 * cfg.n_mels * width * length
    for rate, kernel in zip(cfg.rates, cfg.kernels, strict=True):
        products += kernel * width * (width // 2) * length
        length, width = length * rate, width // 2
        for taps, dilations in zip(cfg.resblock_kernels, cfg.dilations, strict=True):
            products += taps * width * width * length * len(dilations) * 2
    products += 7 * width * length
    counted = measure({"how": "flops", "network": "vocoder_auffusion"})
    assert 1.0 < counted / (2 * products) < 1.02
