"""The queue on the Train page."""

from streamlit.testing.v1 import AppTest

from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.training.local import LocalExecutor
from expertnet.training.manager import manager
from expertnet.utils.processes import this_process
from expertnet.utils.text import escape
from tests.support.opening import finished, opened, written
from tests.support.small import LIMIT, until
from tests.support.stores import running


def test_a_run_removed_from_the_queue_goes_to_the_trash_only_without_a_completed_epoch():
    store = RunStore()
    run = finished(store)
    manager().pause(True)  # keeps the runs in the queue
    manager().resume(run, epochs=3)
    new = manager().submit(build_settings("quick", "digits"))
    opened("train").button(key=f"remove {run.id}").click().run()
    assert run.state == "finished" and run.settings().training.epochs == len(run.metrics()) == 2
    opened("train").button(key=f"remove {new.id}").click().run()
    assert [each.id for each in store.list()] == [run.id]
    assert (store.root / ".trash" / new.id / "config.json").is_file()


def test_a_queued_run_in_view_can_be_removed_from_the_queue():
    store = RunStore()
    run = finished(store)
    manager().pause(True)
    manager().resume(run, epochs=3)
    new = manager().submit(build_settings("quick", "digits"))
    test = opened("train", run.id)
    labels = [button.label for button in test.button]
    assert "Remove from the queue" in labels and len(labels) == len(set(labels))
    test.button(key="remove").click().run()
    assert run.state == "finished" and [each.id for each in manager().waiting()] == [new.id]
    assert test.button(key="mistakes")  # what a finished run offers
    test = opened("train", new.id)
    test.button(key="remove").click().run()
    assert [each.id for each in store.list()] == [run.id] and test.header[0].value == "Train"
    assert "is in the trash" in test.toast[0].value


def test_a_run_in_view_that_is_about_to_start_draws_no_queue():
    store = RunStore()
    run, other = written(store, state="queued"), written(store)
    manager().queue.add(run.id, this_process())  # so that it waits until this process takes it
    for shown, drawn in ((run, False), (other, True)):
        assert [part.proto.popover.label for part in opened("train", shown.id).get("popover")].count(
            "Queue (1)"
        ) == drawn
    manager().queue.remove(run.id)


def test_the_queue_can_be_reordered_and_paused():
    manager().pause(True)
    runs = [manager().submit(build_settings("quick", "digits"), name=name) for name in "abc"]
    test = opened("train")
    labels = [button.label for button in test.button]
    assert len(labels) == len(set(labels)) and {"Remove 1", "Run 3 next", "Move 2 up"} < set(labels)
    test.button(key=f"next {runs[2].id}").click().run()
    opened("train").button(key=f"up {runs[1].id}").click().run()
    assert [run.name for run in manager().waiting()] == ["c", "b", "a"]
    test = opened("train")
    assert test.button(key="start").label == "Queue this run"
    assert test.number_input(key="trainings 1").set_value(2).run().number_input(key="trainings 2").value == 2
    assert manager().queue.limit == 2 and any(
        "Waits because the queue is paused." in each.value for each in test.markdown
    )
    for run in runs:
        manager().stop(run)
    opened("train").button(key="pause").click().run()
    assert not manager().queue.paused


def test_the_queue_of_a_cluster_says_what_is_wrong_instead_of_asking_how_many_runs_train(monkeypatch):
    monkeypatch.setenv("EXPERTNET_EXECUTOR", "ray")
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    run = manager().submit(build_settings("quick", "digits"))
    until(lambda: "“nowhere”" in manager().executor.room)
    test = opened("train")
    assert any("“nowhere”" in caption.value for caption in test.caption)
    assert any("“nowhere”" in each.value for each in test.markdown)  # why the run waits
    assert not [field for field in test.number_input if str(field.key).startswith("trainings")]
    manager().stop(run)


def queue_of(test):
    """Return what the queue lists under its buttons; None if the page has no queue."""
    drawn = [part for part in test.get("popover") if part.proto.popover.label.startswith("Queue (")]
    return " ".join(each.value for each in drawn[0].markdown) if drawn else None


def on_host(run, host):
    """Let a run train on a host."""
    process = this_process().beating().model_copy(update={"host": host})
    run.write_status(run.written_status().changed(process=process, state="running", device="CPU, 3 threads"))


def test_a_single_run_is_listed_with_its_computer_if_that_is_another_one():
    run = running(RunStore())
    assert queue_of(opened("train")) is None
    on_host(run, "*node*-2")
    assert escape("Trains on *node*-2: CPU, 3 threads.") in queue_of(opened("train"))
    assert any(escape("CPU, 3 threads on *node*-2") in each.value for each in opened("train", run.id).caption)
    on_host(run, this_process().host)
    test = opened("train", run.id)
    (foot,) = [each.value for each in test.caption if "CPU, 3 threads" in each.value]
    assert queue_of(test) is None and this_process().host not in foot.replace("\\", "")


def test_a_finished_run_does_not_name_the_computer_on_which_it_was_trained():
    """Its name may mean nothing any more: each new container has another one."""
    run = running(RunStore())
    on_host(run, "node-2")
    run.write_status(run.written_status().changed(state="finished"))
    captions = [each.value for each in opened("train", run.id).caption]
    assert any("CPU, 3 threads" in each for each in captions) and not any("node-2" in each for each in captions)


def test_a_single_run_of_a_cluster_is_listed_with_its_computer(monkeypatch):
    run = running(RunStore())
    on_host(run, this_process().host)
    monkeypatch.setenv("EXPERTNET_EXECUTOR", "ray")
    assert f"Trains on {this_process().host}: CPU, 3 threads." in queue_of(opened("train")).replace("\\", "")


def test_the_queue_is_drawn_again_once_another_computer_has_started_its_run():
    def script():
        import streamlit as st

        from expertnet.store.run_store import RunStore
        from expertnet.ui.train.queue import queue_panel
        from tests.pages.test_train_queue import on_host

        changed = queue_panel(st.container(), None)
        st.text(changed())
        on_host(RunStore().list()[0], "node-2")
        st.text(changed())

    running(RunStore())
    test = AppTest.from_function(script, default_timeout=LIMIT).run()
    assert [each.value for each in test.text] == ["False", "True"] and not test.exception


def test_a_run_that_ray_would_start_again_can_be_stopped(monkeypatch):
    run = running(RunStore())
    run.write_status(run.status().changed(state="interrupted"))
    monkeypatch.setattr(LocalExecutor, "restarts", lambda self, run: run.state == "interrupted")
    queue = manager().queue
    queue.add(run.id)
    queue.take_for("task", lambda run_id: True)
    test = opened("train", run.id)
    assert "resume" not in [button.key for button in test.button]
    test.button(key="stop").click().run()
    assert run.state == "stopped" and queue.tasks == {} and test.button(key="resume")
