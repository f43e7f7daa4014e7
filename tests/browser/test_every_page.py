"""On every page, axe-core finds nothing serious in light and dark, and no two buttons have the same name."""

import re
from collections import Counter

import pytest

from tests.support.axe import serious_findings
from tests.support.served import PATIENCE, serving
from tests.support.views import MOST_SHIFT, RECORD, VIEWS, filled, jumps, open_view

# The shift of other pages depends on how fast a view is computed
STEADY = [
    *("Train, idle", "Train, live", "Train, finished", "Data, built-in", "Sweep, form", "Runs", "Runs, one open"),
    *("Experts, One image", "Experts, Classes", "Experts, Each expert", "Predict, Samples"),
]
STREAMLIT = re.compile(
    "Show data|Increment|Decrement|Fullscreen|Open|Download as .*|.*spec"
)  # buttons of its own, which cannot be named


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("every page")


@pytest.fixture(scope="module")
def ids(folder):
    return filled(folder, folder / "data")


@pytest.fixture(scope="module")
def server(ids, folder):
    with serving(folder, folder / "data") as url:
        yield url


@pytest.fixture(scope="module")
def window(chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(PATIENCE)
    context.add_init_script(RECORD)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module", params=VIEWS)
def page(request, window, server, ids):
    """Return a page that has just been drawn."""
    open_view(window, server, request.param, ids)
    return window


@pytest.mark.parametrize("page", STEADY, indirect=True)
def test_nothing_jumps_after_the_first_content(page):
    found = jumps(page)
    assert sum(value for value, _ in found) < MOST_SHIFT, found


def test_axe_finds_nothing_serious_in_light_and_dark(page):
    findings = serious_findings(page)
    assert not findings, "\n".join(findings)


def test_no_two_buttons_have_the_same_name(page):
    names = Counter(re.findall(r'- button "(.+?)"', page.get_by_test_id("stMain").aria_snapshot()))
    assert [name for name, count in names.items() if count > 1 and not STREAMLIT.fullmatch(name)] == []
