"""The queue on the Train page."""

from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.training.local import LocalExecutor
from expertnet.training.manager import manager
from expertnet.utils.processes import this_process
from tests.support.opening import finished, opened, written
from tests.support.small import until
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
