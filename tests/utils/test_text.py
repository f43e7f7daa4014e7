"""Tables and words as files: what comes from outside stays text."""

import csv
import io
import re

import pandas as pd
import pytest

from expertnet.utils.text import amount, escape, escape_for_file, percent, points, to_csv


def test_no_text_is_a_formula_for_a_spreadsheet():
    names = ["=1+1.png", "+1", "-1", "@a", "\ta", "\ra", "a\r=1.png", ""]
    header, *rows = csv.reader(io.StringIO(to_csv(pd.DataFrame({"file": names, "=p": -0.5})), newline=""))
    assert header == ["file", "'=p"]
    assert [name for name, _ in rows] == ["'=1+1.png", "'+1", "'-1", "'@a", "'\ta", "'\ra", "a\r=1.png", ""]
    assert {number for _, number in rows} == {"-0.5"}


def test_a_sentence_of_ours_stands_in_a_file_as_it_is():
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
def test_names_are_harmless_in_a_markdown_file(name, written):
    assert escape_for_file(name) == written


def test_addresses_in_names_make_no_links():
    parted = escape("see https://a.b, HTTP://c.d or www.e.f")
    assert parted.replace("\u2060", "").replace("\\", "") == "see https://a.b, HTTP://c.d or www.e.f"
    assert not re.search(r"https?:/|www\.", parted.replace("\\", ""), re.IGNORECASE)


def test_figures_in_sentences():
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
