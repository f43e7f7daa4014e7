"""A real server on loopback and a real browser; without Chromium these tests are skipped by name."""

from pathlib import Path

import pytest

from tests.support.served import CHROMIUM, serving, settle

PATIENCE = 120_000  # milliseconds; a machine may be slow


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents and CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason="Chromium was not found"))


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, shared_data):
    """The address of an app with an empty store of its own."""
    with serving(tmp_path_factory.mktemp("server"), shared_data) as address:
        yield address


@pytest.fixture
def tab(browser, server):
    """Opens pages: tab("experts", run=ID) -> a page on which the script has run."""
    context = browser.new_context(viewport={"width": 1440, "height": 1600})

    def opened(name, run=None):
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{server}/{'' if name == 'train' else name}" + (f"?run={run}" if run else ""))
        settle(page)
        return page

    yield opened
    context.close()
