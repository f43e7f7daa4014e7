"""The line on every page about the run in training."""

import pytest

from expertnet.store.run_store import RunStore
from expertnet.ui.shell import PAGES
from tests.support.opening import finished, opened
from tests.support.stores import running

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("page", PAGES)
def test_the_run_in_training_is_named_on_every_page_unless_it_is_in_view(page):
    other, run = finished(RunStore()), running(RunStore())
    run.write_status(run.status().changed(epoch=1, seconds_left=80.0))
    test = opened(page, other.id)
    assert "Now training: " in test.button(key="in training").label
    assert "epoch 2 of 2 · 1 min 20 s left" in [caption.value for caption in test.caption]
    assert test.button(key="stop training").label == "Stop"
    shown = [button.key for button in opened(page, run.id).button]
    assert ("in training" in shown) == (page != "train")


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_drawn_while_nothing_trains(page):
    run = finished(RunStore())
    test = opened(page, run.id)
    assert "in training" not in [button.key for button in test.button]


def test_stop_in_the_strip_asks_the_run_to_stop():
    run = running(RunStore())
    opened("predict", run.id).button(key="stop training").click().run()
    assert run.stop_asked() == "stop" and run.state == "stopping"
