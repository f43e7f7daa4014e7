"""Numbers in sentences, and text from outside in pages, files and tables."""

import csv
import io
import re

import pandas as pd
import pytest

from expertnet.utils.text import (
    amount,
    bounds,
    counted,
    cut,
    did_you_mean,
    displayable,
    duration,
    escape,
    escape_for_file,
    estimate,
    listed,
    percent,
    points,
    printable,
    time_text,
    to_csv,
    without_controls,
)


def test_what_is_listed_reads_as_a_sentence():
    assert [listed("abc"[:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert listed(("a", "b, c"), ";") == "a; and b, c"


def test_text_in_csv_is_never_a_formula():
    names = ["=1+1.png", "+1", "-1", "@a", "\ta", "\ra", "a\r=1.png", ""]
    header, *rows = csv.reader(io.StringIO(to_csv(pd.DataFrame({"file": names, "=p": -0.5})), newline=""))
    assert header == ["file", "'=p"]
    assert [name for name, _ in rows] == ["'=1+1.png", "'+1", "'-1", "'@a", "'\ta", "'\ra", "a\r=1.png", ""]
    assert {number for _, number in rows} == {"-0.5"}


def test_ordinary_sentences_are_written_unchanged():
    sentence = "In block 3, expert 3: 0.40 + 0.1 (routing unused), \u2212 86.3%; a-b, that's it!"
    assert escape_for_file(sentence) == sentence


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("![x](http://a.b)", r"!\[x\](http&#58;//a.b)"),
        ("<b>&amp;</b>", "&#60;b&#62;&#38;amp;&#60;/b&#62;"),
        ("*a* _b_ `c` ~~d~~", r"\*a\* \_b\_ \`c\` &#126;&#126;d&#126;&#126;"),
        ("www.a.b me@a.b", "www&#46;a.b me&#64;a.b"),
        ("a\r\n# b", r"a \# b"),
        (r"\[a](b)", r"\\\[a\](b)"),
        ("$x$ | {y}", r"&#36;x&#36; &#124; \{y\}"),
    ],
)
def test_names_are_escaped_in_a_markdown_file(name, written):
    assert escape_for_file(name) == written


def test_urls_in_names_do_not_become_links():
    escaped = escape("see https://a.b, HTTP://c.d or www.e.f")
    assert escaped.replace("\u2060", "").replace("\\", "") == "see https://a.b, HTTP://c.d or www.e.f"
    assert not re.search(r"https?:/|www\.", escaped.replace("\\", ""), re.IGNORECASE)


def test_an_interval_has_enough_digits_to_show_that_an_end_is_not_0():
    assert (bounds(-0.017, 0.003), bounds(0, 0)) == ("-1.7 to +0.3", "0.0 to 0.0")
    assert (bounds(-0.0021, -0.0003), bounds(0.00004, 0.0123)) == ("-0.21 to -0.03", "+0.004 to +1.230")
    assert bounds(-1e-9, 1e-9) == "0.0 to 0.0"


def test_shares_differences_and_amounts():
    assert (percent(0.8634), percent(0.5, 0), percent(None)) == ("86.3%", "50%", "–")
    assert (points(-0.114), points(0.031), points(0), points(-0.0001)) == (
        "11.4 points",
        "3.1 points",
        "0.0 points",
        "under 0.1 points",
    )
    assert (amount(3.2e-5, "bits"), amount(0.001, "bits"), amount(1.98, "")) == (
        "under 0.001 bits",
        "0.001 bits",
        "1.980",
    )


def test_numbers_come_with_their_nouns():
    assert [counted(number, "image") for number in (0, 1, 1797)] == ["0 images", "1 image", "1,797 images"]
    assert [counted(number, "class", "classes") for number in (1, 2)] == ["1 class", "2 classes"]


def test_text_that_is_too_long_ends_in_an_ellipsis():
    assert (cut("short", 5), cut("too long", 5)) == ("short", "too…")


def test_an_unknown_word_leads_to_a_similar_one():
    assert did_you_mean("cifra10", ("digits", "cifar10")) == " Did you mean cifar10?"
    assert did_you_mean("zzz", ("digits", "cifar10")) == ""


def test_names_cannot_control_a_terminal_or_reverse_a_line():
    name = "a\x1b[31m\u202eb\ud800\nc\u200d\td"
    assert printable(name) == "a?[31m?b??c??d"
    assert printable(name, keep="\n") == "a?[31m?b?\nc??d"
    assert displayable("a\u3000b\u00a0c\u200cd\u200de\u200bf\n") == "a b c\u200cd\u200de?f?"
    assert without_controls(name) == "a[31mb\nc\u200d\td"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (44.6, "45 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (59.7, "1 min 0 s")]
)
def test_a_duration_has_at_most_two_units(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "10 s"), (44.6, "40 s"), (89, "90 s"), (925, "15 min"), (5399, "90 min"), (7900, "2 h 10 min")],
)
def test_an_estimate_is_round(seconds, text):
    assert estimate(seconds) == text


@pytest.mark.parametrize(
    ("created", "text"),
    [("2026-11-04T14:05:59+00:00", "4 Nov 2026, 14:05 UTC"), ("2026-11-24T14:05:00+02:00", "24 Nov 2026, 12:05 UTC")],
)
def test_a_time_is_shown_in_utc(created, text):
    assert time_text(created) == text


@pytest.mark.parametrize("created", ["", "yesterday"])
def test_text_that_is_not_a_time_is_unchanged(created):
    assert time_text(created) == created
