"""Servers that end during a training: the queue and a training in its own process outlive them, and pages show it."""

import re
import signal
from contextlib import ExitStack

import psutil
import pytest
from playwright.sync_api import expect

from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES
from expertnet.training.manager import Manager
from tests.support.served import PATIENCE, ROOT, free_port, open_page, serving, settle
from tests.support.small import can_resume, until

pytestmark = pytest.mark.long


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "runs").mkdir()
    yield tmp_path
    for run in RunStore(tmp_path / "runs").list():  # a test that failed half-way must leave no training behind
        if run.status().own_process and run.state in ACTIVE_STATES:
            psutil.Process(run.status().pid).kill()


def settings(**overrides):
    """Return settings whose epochs are no shorter than the time between two looks of the page at the store."""
    return build_settings("quick", "digits", {"training.epochs": 1, "hardware.device": "cpu"} | overrides)


def test_ending_the_server_interrupts_the_training_and_the_next_server_continues_the_queue(
    new_page, folder, shared_data
):
    store = RunStore(folder / "runs")
    queue = Manager(store)
    queue.pause(True)
    first = queue.submit(settings(**{"training.epochs": 500}), name="first")
    second = queue.submit(settings(), name="second")
    with serving(folder, shared_data) as url:
        page = new_page()
        open_page(page, f"{url}/train")
        page.get_by_role("button", name="Queue (2, paused)").click()
        settle(page.get_by_text(re.compile("1. first")))
        page.get_by_role("button", name="Resume queue").click()
        until(first.metrics)
    until(lambda: first.state == "interrupted")
    assert can_resume(first) and second.state == "queued"
    # With this option Streamlit reads an edited page again
    with serving(folder, shared_data, "--server.fileWatcherType=auto") as url:
        page = new_page()
        open_page(page, f"{url}/train")
        until(lambda: second.state == "finished")
        page.goto(f"{url}/train?run={first.id}")
        page.get_by_role("button", name=re.compile("Resume after epoch")).click()
        until(lambda: first.state == "running")
        settle(page.get_by_text(re.compile("running · epoch")))
        (ROOT / "pages" / "train.py").touch()  # as an editor does
        page.reload()
        settle(page.get_by_text(re.compile("running · epoch")))
        epochs = len(first.metrics())
        until(lambda: len(first.metrics()) > epochs)
        page.get_by_role("button", name="Stop", exact=True).click()
        until(lambda: first.state == "stopped")


def test_a_training_in_its_own_process_is_found_again_and_an_idle_page_notices_it(new_page, folder, shared_data):
    store = RunStore(folder / "runs")
    with serving(folder, shared_data) as url:
        idle = new_page()
        open_page(idle, f"{url}/train")
        expect(idle.get_by_role("button", name="Start training")).to_be_visible()
        other = Manager(store)  # acts like another server on the same store
        run = other.submit(settings(**{"hardware.own_process": True, "training.epochs": 500}), name="own")
        idle.get_by_text(re.compile("running · epoch")).wait_for()
        until(run.metrics)
        other.close()
    process = psutil.Process(run.status().pid)
    assert run.state == "running"  # although no server is left
    with serving(folder, shared_data) as url:
        page = new_page()
        open_page(page, f"{url}/train")
        expect(page.get_by_role("heading", name="own")).to_be_visible()
        process.send_signal(signal.SIGSTOP)  # a halted process cannot react to the request to stop
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_role("button", name="Force stop").click()
        page.get_by_role("button", name=re.compile("Resume after epoch")).wait_for()
    assert run.state == "interrupted" and can_resume(run)


def test_a_page_that_is_open_while_the_studio_restarts_keeps_its_settings(new_page, folder, shared_data):
    page, port = new_page(), free_port()
    chosen = page.get_by_role("radio", name="report", exact=True)
    with serving(folder, shared_data, port=port) as url:
        open_page(page, f"{url}/train?preset=fast")
        chosen.click()
        page.wait_for_url("**/train?preset=report*")
    with ExitStack() as until_the_end:
        with page.expect_navigation(timeout=PATIENCE):  # once its new session has begun
            until_the_end.enter_context(serving(folder, shared_data, port=port))
        settle(page.get_by_role("heading", name="Train"))
        expect(chosen).to_be_checked()
        assert "preset=report" in page.url
