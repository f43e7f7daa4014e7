"""A real server on loopback and a real browser; without Chromium these tests are skipped by name."""

import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None
)


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents and CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason="Chromium was not found"))


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, shared_data):
    """The address of an app with an empty store of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("server")
    environment = os.environ | {"EXPERTNET_RUNS": str(folder / "runs"), "EXPERTNET_DATA": str(shared_data)}
    command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}", "--server.headless=true"]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(process, address, folder / "server.log")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until_healthy(process, address, log):
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1) as answer:
                assert answer.read() == b"ok"
                return
        except (urllib.error.URLError, OSError):
            process_is_starting(process)
    raise AssertionError(f"The server did not start: {log.read_text()}")


def process_is_starting(process):
    try:
        process.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return


@pytest.fixture
def tab(browser, server):
    """Opens pages: tab("experts", run=ID) -> a page on which the script has run."""
    context = browser.new_context(viewport={"width": 1440, "height": 1600})

    def opened(name, run=None):
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{server}/{'' if name == 'train' else name}" + (f"?run={run}" if run else ""))
        settle(page)
        return page

    yield opened
    context.close()


def settle(page):
    """Waits until the page's script has run to its end."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
