"""On every page, axe-core finds nothing serious in light and dark, and no two buttons have the same name."""

import re
from collections import Counter

import pytest

from tests.support.axe import serious_findings
from tests.support.served import PATIENCE, serving
from tests.support.toolbars import covered
from tests.support.views import MOST_SHIFT, RECORD, STATES, VIEWS, filled, jumps, open_view

# The shift of other pages depends on how fast a view is computed
STEADY = [
    *("Train, idle", "Train, live", "Train, finished", "Data, built-in", "Sweep, form", "Runs", "Runs, one open"),
    *("Experts, One image", "Experts, Classes", "Experts, Each expert", "Predict, Samples"),
]
WIDE = {"width": 1280, "height": 720}
NARROW = ["Train, settings open", "Train, tab Mistakes", "Runs, trash", "Data, Add", "Predict, drawn", "Experts, tour"]
STREAMLIT = re.compile(
    "Navigate to home page|Show data|Increment|Decrement|Fullscreen|Open|Download as .*|.*spec"
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
    context = chromium.new_context(viewport=WIDE)
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


@pytest.mark.parametrize(("page", "toolbars"), [("Train, finished", 2), ("Experts, One image", 7)], indirect=["page"])
def test_the_toolbars_of_charts_and_images_cover_no_text_and_no_control(page, toolbars):
    assert covered(page, toolbars) == []


@pytest.fixture(params=STATES)
def state(request, window, server, ids):
    """Return a page in a state that its URL or a press brings about, in a narrow window for some."""
    window.set_viewport_size({"width": 390, "height": 844} if request.param in NARROW else WIDE)
    open_view(window, server, request.param, ids)
    yield window
    window.set_viewport_size(WIDE)


def test_axe_finds_nothing_serious_in_light_and_dark(page):
    findings = serious_findings(page)
    assert not findings, "\n".join(findings)


def test_no_two_buttons_have_the_same_name(page):
    assert repeated_names(page) == []


def test_axe_finds_nothing_serious_and_no_repeated_names_in_other_states(state):
    findings = serious_findings(state)
    assert not findings, "\n".join(findings)
    assert repeated_names(state) == []


def repeated_names(page):
    """Return the names that several buttons have, without those of Streamlit."""
    names = Counter(re.findall(r'- button "(.+?)"', page.get_by_test_id("stApp").aria_snapshot()))
    return [name for name, count in names.items() if count > 1 and not STREAMLIT.fullmatch(name)]
