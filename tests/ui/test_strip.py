"""The line on every page about the run in training."""

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.ui.shell import PAGES
from expertnet.utils.processes import this_process
from tests.support.opening import finished, opened, written
from tests.support.raw import connected
from tests.support.served import serving
from tests.support.stores import running

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("page", PAGES)
def test_the_run_in_training_is_named_on_every_page_unless_it_is_in_view(page):
    other, run = finished(RunStore()), running(RunStore())
    run.write_status(run.status().changed(epoch=1, seconds_left=80.0))
    test = opened(page, other.id)
    assert "Now training: " in test.button(key="in training").label
    assert "epoch 2 of 2 · 80 s left" in [caption.value for caption in test.caption]
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


def test_an_open_page_shows_the_runs_that_begin_later_and_the_line_stays_between_two_of_them(tmp_path, shared_data):
    store = RunStore(tmp_path / "runs")
    queue, first, second = RunQueue(store.root), written(store, "First"), written(store, "Second")
    for run in (first, second):
        run.write_status(run.status().changed(state="queued"))
    with serving(tmp_path, shared_data) as server, connected(server) as tab:
        answers = tab.answers("data")
        (page,) = (answer.navigation.page_script_hash for answer in answers if answer.HasField("navigation"))

        def ticked():
            nonlocal answers
            message = BackMsg()
            message.rerun_script.page_script_hash = page
            message.rerun_script.fragment_id = next(filter(None, (each.auto_rerun.fragment_id for each in answers)))
            found = tab.answers("data", message=message)
            if any(answer.HasField("auto_rerun") for answer in found):  # the whole page was drawn
                answers = found
            labels = [answer.delta.new_element.button.label for answer in found]
            return {label for label in labels if label.startswith(("Now training: ", "Next: "))}

        assert ticked() == set()
        for run in (first, second):  # a command's, which the server leaves alone
            queue.add(run.id, this_process().beating())
        assert ticked() == {"Next: First"}
        assert queue.take(first.id)
        first.write_status(first.status().changed(process=this_process(), state="running"))
        assert ticked() == {"Now training: First"}
        first.write_status(first.status().changed(state="finished"))
        queue.done(first.id)
        assert ticked() == {"Next: Second"}
        assert queue.take(second.id)
        second.write_status(second.status().changed(process=this_process(), state="running"))
        assert ticked() == {"Now training: Second"}
        second.write_status(second.status().changed(state="finished"))
        queue.done(second.id)
        assert ticked() == set()
