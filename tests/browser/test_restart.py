"""Servers that end while they train: the queue outlives them, a training in a process of its own goes on, and pages tell."""

import re
import signal

import psutil
import pytest
from playwright.sync_api import expect

from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES
from expertnet.training.manager import Manager
from tests.support.served import ROOT, serving
from tests.support.small import LIMIT, until


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "runs").mkdir()
    yield tmp_path
    for run in RunStore(tmp_path / "runs").list():  # a test that failed half-way leaves no training behind
        if run.status().own_process and run.state in ACTIVE_STATES:
            psutil.Process(run.status().pid).kill()


def opened(browser, address):
    page = browser.new_context(viewport={"width": 1440, "height": 1600}).new_page()
    page.set_default_timeout(LIMIT * 1000)
    page.goto(address)
    return page


def settings(**overrides):
    """Of epochs that are no shorter than a look of the page."""
    return build_settings("quick", "digits", {"training.epochs": 1, "hardware.device": "cpu"} | overrides)


def test_a_server_that_is_ended_interrupts_its_training_and_the_next_goes_on_with_the_queue(
    browser, folder, shared_data
):
    store = RunStore(folder / "runs")
    queue = Manager(store)
    queue.pause(True)
    first = queue.submit(settings(**{"training.epochs": 500}), name="first")
    second = queue.submit(settings(), name="second")
    with serving(folder, shared_data) as address:
        page = opened(browser, address)
        expect(page.get_by_text(re.compile("1. first"))).to_be_visible()
        page.get_by_role("button", name="Go on").click()
        until(first.metrics)
    until(lambda: first.state == "interrupted")
    assert first.can_resume() and second.state == "queued"
    with serving(
        folder, shared_data, "--server.fileWatcherType=auto"
    ) as address:  # so that an edited page is read anew
        page = opened(browser, address)
        until(lambda: second.state == "finished")
        page.goto(f"{address}/train?run={first.id}")
        page.get_by_role("button", name=re.compile("Go on after epoch")).click()
        until(lambda: first.state == "running")
        page.get_by_text(re.compile("running · epoch")).wait_for()
        (ROOT / "pages" / "train.py").touch()  # as an editor does
        page.reload()
        epochs = len(first.metrics())
        until(lambda: len(first.metrics()) > epochs)
        page.get_by_role("button", name="Stop, keep the last whole epoch").click()
        until(lambda: first.state == "stopped")
        page.context.close()


def test_a_training_in_its_own_process_is_found_again_and_a_page_at_rest_notices_it(browser, folder, shared_data):
    store = RunStore(folder / "runs")
    with serving(folder, shared_data) as address:
        resting = opened(browser, address)
        expect(resting.get_by_role("button", name="Start training")).to_be_visible()
        other = Manager(store)  # as of another server
        run = other.submit(settings(**{"hardware.own_process": True, "training.epochs": 500}), name="own")
        resting.get_by_text(re.compile("running · epoch")).wait_for()
        until(run.metrics)
        other.close()
        resting.context.close()
    process = psutil.Process(run.status().pid)
    assert run.state == "running"  # with no server at all
    with serving(folder, shared_data) as address:
        page = opened(browser, address)
        expect(page.get_by_role("heading", name="own")).to_be_visible()
        process.send_signal(signal.SIGSTOP)  # so that it does not stop when it is asked to
        page.get_by_role("button", name="Stop, keep the last whole epoch").click()
        page.get_by_role("button", name="End it by force").click()
        page.get_by_role("button", name=re.compile("Go on after epoch")).wait_for()
        page.context.close()
    assert run.state == "interrupted" and run.can_resume()
