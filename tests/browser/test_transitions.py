"""Nothing jumps while a training begins, completes an epoch and ends, neither in its own view nor below the line on other pages.

The test plays the training: it writes what a training writes, so that no press excuses a jump.
"""

import shutil

import pytest
from playwright.sync_api import expect

from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.utils.processes import this_process
from tests.support.opening import copy_of_shipped
from tests.support.served import PATIENCE, open_page, serving, settle
from tests.support.views import MOST_SHIFT, RECORD, jumps

SCREENS = [(1280, 720), (390, 844)]


class Played:
    """A copy of a finished run, which is put into earlier states."""

    def __init__(self, store, of):
        path = of.path.with_name("20261124-123318-0002")
        shutil.copytree(of.path, path)
        self.run, self.queue = store.get(path.name), RunQueue(store.root)
        self.ended, self.metrics = self.run.status(), self.run.path / "metrics.jsonl"
        self.lines = self.metrics.read_text().splitlines(keepends=True)

    def waits(self):
        self.metrics.write_text("")
        self.run.write_status(self.ended.changed(state="queued", epoch=0, test_accuracy=None))
        self.queue.add(self.run.id, this_process())  # whose it is, so that the server does not train it

    def trains(self, epoch):
        self.queue.add(self.run.id, this_process())
        self.queue.take(self.run.id)
        self.metrics.write_text("".join(self.lines[:epoch]))
        live = {"state": "running", "activity": "Training", "step": 3, "seconds_left": 60.0, "test_accuracy": None}
        self.run.write_status(self.ended.changed(process=this_process(), epoch=epoch, **live))

    def ends(self):
        self.metrics.write_text("".join(self.lines))
        self.run.write_status(self.ended)
        self.queue.done(self.run.id)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return RunStore(tmp_path_factory.mktemp("transitions") / "runs")


@pytest.fixture(scope="module")
def finished(store):
    return copy_of_shipped(store, "Finished")


@pytest.fixture(scope="module")
def played(store, finished):
    return Played(store, finished)


@pytest.fixture(scope="module")
def server(store, played, shared_data):
    with serving(store.root.parent, shared_data) as url:
        yield url


@pytest.fixture(scope="module", params=SCREENS, ids=str)
def page(request, chromium):
    width, height = request.param
    context = chromium.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(PATIENCE)
    context.add_init_script(RECORD)
    yield context.new_page()
    context.close()


def shift(page, before=0):
    """Return how far the page has moved since the first `before` jumps, and what moved."""
    found = jumps(page)[before:]
    return sum(value for value, _ in found), found


def all_is_drawn(page):
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.locator("[data-testid=stVegaLiteChart]:not(:has(.marks))")).to_have_count(0)
    page.wait_for_function("[...document.images].every((image) => image.complete)")


def test_nothing_jumps_while_a_training_in_view_begins_completes_an_epoch_and_ends(page, server, played):
    played.waits()
    open_page(page, f"{server}/train?run={played.run.id}")
    settle(page.get_by_text("Not training"))
    all_is_drawn(page)
    before = len(jumps(page))
    played.trains(epoch=0)
    settle(page.get_by_role("button", name="Stop", exact=True))
    began, moved = shift(page, before)
    assert began < MOST_SHIFT, moved
    played.trains(epoch=4)
    expect(page.get_by_text("epoch 5 of 12")).to_be_visible()
    played.ends()
    settle(page.get_by_role("link", name="Try it"))
    all_is_drawn(page)
    ended, moved = shift(page, before)
    assert ended < MOST_SHIFT, moved


@pytest.mark.parametrize("name", ["runs", "predict", "experts"])
def test_hardly_anything_jumps_when_the_line_about_a_training_goes_and_comes(page, server, played, finished, name):
    played.trains(epoch=4)
    open_page(page, f"{server}/{name}?run={finished.id}")
    line = page.get_by_role("button", name="Now training")
    settle(line)
    all_is_drawn(page)
    before = len(jumps(page))
    played.ends()
    expect(line).to_have_count(0)
    moved, what = shift(page, before)
    assert moved < MOST_SHIFT, what
    before = len(jumps(page))
    played.trains(epoch=5)
    settle(line)
    moved, what = shift(page, before)
    assert moved < MOST_SHIFT, what
    played.ends()
