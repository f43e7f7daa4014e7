"""A real server on the loopback interface and a real browser. Without Chromium these tests are skipped, and pytest says so.

No test waits for a time. After every click and navigation it waits for an element that only the new view has, and reads
the page once the script has ended (`settle`).
"""

from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.served import CHROMIUM, PATIENCE, open_page, serving


def pytest_collection_modifyitems(items):
    for item in items:
        if CHROMIUM is None and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="Chromium was not found"))


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium):
    """Return a function that makes an empty page in a browser profile without cookies."""
    contexts = []

    def make():
        contexts.append(chromium.new_context(viewport={"width": 1440, "height": 1600}))
        contexts[-1].set_default_timeout(PATIENCE)
        return contexts[-1].new_page()

    yield make
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, shared_data):
    """Return the URL of an app with an empty store, which the tests of a module share."""
    with serving(tmp_path_factory.mktemp("server"), shared_data) as url:
        yield url


@pytest.fixture
def tab(new_page, server):
    """Return a function that opens a page of the server: tab("experts", run=ID) returns it once its script has ended."""

    def opened(name, **query):
        page = new_page()
        open_page(page, f"{server}/{name}" + (f"?{urlencode(query)}" if query else ""))
        return page

    return opened
