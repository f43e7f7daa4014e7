"""The plan of the controls: what is missing, what counts, what is refused, and trainings that go on where they were."""

import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image

from expertnet.data.datasets import load_dataset
from expertnet.errors import DatasetError, RunError, SettingsError
from expertnet.network.controls import ARMS, CONTROLS
from expertnet.settings.fields import build_settings
from expertnet.store.queue import RunQueue
from expertnet.store.trash import move_to_trash
from expertnet.training.controls import begun_plan, next_control, plan_controls, queue_controls
from expertnet.training.lock import train_in_turn
from expertnet.training.manager import Manager
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop
from expertnet.utils.processes import this_process
from tests.support.controls import measured, original, with_controls
from tests.support.small import TINY, settings


@pytest.fixture
def trained(store):
    """A run that a network was trained for."""
    run = store.create(settings(**{"model.num_experts": 2}), "quick", "mine")
    run_training(run, Stop())
    assert run.state == "finished"
    return run


def state(plan):
    return {(trial.arm, trial.seed): trial.state for trial in plan.trials}


def test_the_plan_has_every_arm_for_every_seed_from_that_of_the_run(store):
    run = original(store, seed=5)
    plan = plan_controls(run, store, 2)
    expected = {(arm, seed): "missing" for seed in (5, 6) for arm in ARMS} | {("learned", 5): "finished"}
    assert state(plan) == expected and plan.seeds == [5, 6]
    assert all(trial.settings.seed == trial.seed for trial in plan.trials)
    assert begun_plan(run, store) is None


def test_the_largest_seed_leaves_room_for_others(store):
    last = 2**31 - 1
    assert plan_controls(original(store, seed=last), store, 3).seeds == [last, 0, 1]


def test_more_seeds_are_the_same_ones_and_others(store):
    """So that controls that were trained count when there are to be more."""
    run = original(store, seed=2**31 - 2)
    few, many = (plan_controls(run, store, count).seeds for count in (2, 3))
    assert many[:2] == few


def test_equal_networks_are_trained_once(store):
    run = original(store)  # of quick, where equal multiply-adds and parameters take the same width
    plan = plan_controls(run, store, 1)
    (one, other) = (next(t for t in plan.trials if t.arm == arm) for arm in ("multiply_adds", "parameters"))
    assert one.settings == other.settings and len(plan.open) == len(CONTROLS) - 1
    assert len(queue_controls(run, store, 1)) == len(CONTROLS) - 1


def test_queueing_adds_what_is_missing_and_nothing_twice(store):
    run = original(store)
    queued = queue_controls(run, store, 2)
    assert RunQueue(store.root).ids() == [control.id for control in queued] and len(set(queued)) == len(queued)
    assert {control.dataset_info() for control in queued} == {run.dataset_info()}
    assert {control.notes().tags for control in queued} == {("control",)}
    assert {"mine: equal weights, seed 0", "mine: learned routing, seed 1"} <= {control.title for control in queued}
    assert queue_controls(run, store, 2) == []
    first, wanted = queued[0], queued[0].settings()
    RunQueue(store.root).remove(first.id)
    first.leave_queue("stopped")
    move_to_trash(first)
    (again,) = queue_controls(run, store, 2)
    assert again.settings() == wanted


def test_a_run_that_was_trained_for_something_else_counts_if_settings_and_images_are_equal(store):
    run = original(store)
    plan = plan_controls(run, store, 2)
    learned = next(trial for trial in plan.trials if trial.arm == "learned" and trial.seed == 1)
    other_images = replace(run.dataset_info(), fingerprint="others-8px-v2")
    measured(store.create(learned.settings, own=other_images), 0.5)
    assert state(plan_controls(run, store, 2)) == state(plan)
    measured(store.create(learned.settings, own=run.dataset_info()), 0.8)
    assert state(plan_controls(run, store, 2)) == state(plan) | {("learned", 1): "finished"}
    assert begun_plan(run, store) is None  # no control yet
    with_controls(run, store, {"uniform": [0.8]})
    assert begun_plan(run, store).seeds == [0]


@pytest.mark.parametrize(
    ("kind", "values"), [("top_1", {"training.expert_dropout": 0.2}), ("sigmoid", {"training.temperature": 9.0})]
)
def test_kinds_whose_router_the_recipe_does_not_fit_can_be_read(store, kind, values):
    run = original(store, **values)
    assert all(control.has_settings for control in queue_controls(run, store, 1, [kind]))
    assert kind in {trial.arm for trial in plan_controls(run, store, 1).trials}  # found again by its settings


def test_a_finished_control_counts_before_one_that_was_stopped(store):
    run = original(store)
    plan = plan_controls(run, store, 1)
    control = next(trial for trial in plan.trials if trial.arm == "uniform")
    first = measured(store.create(control.settings, own=run.dataset_info()), 0.7)
    later = store.create(control.settings, own=run.dataset_info())
    later.write_status(later.status().changed(state="stopped"))
    found = {trial.arm: trial.row for trial in plan_controls(run, store, 1).trials}
    assert found["uniform"].id == first.id


@pytest.mark.parametrize(
    ("values", "changes", "says"),
    [
        ({"model.num_experts": 1}, {}, "has one expert per block"),
        ({"model.routing": "uniform"}, {}, "is a control itself"),
        ({}, {"state": "stopped"}, "mine is stopped. Controls are compared"),
        ({}, {"state": "failed"}, "mine is failed"),
        ({}, {"test_accuracy": None}, "has no test accuracy"),
    ],
)
def test_runs_without_controls_say_why(store, values, changes, says):
    run = original(store, **values)
    run.write_status(run.status().changed(**changes))
    for plan in (plan_controls, queue_controls):
        with pytest.raises(RunError, match=says):
            plan(run, store)
    assert len(store.list()) == 1


def test_a_run_that_started_from_another_has_no_controls(store):
    run = original(store)
    run.write_config(run.config() | {"model": run.config()["model"] | {"start_from": "20260101-000000-abcd"}})
    with pytest.raises(RunError, match="Choose a run that started with random weights"):
        plan_controls(run, store)


@pytest.mark.parametrize("seeds", [0, -1, 31])
def test_a_wrong_number_of_seeds_is_refused(store, seeds):
    with pytest.raises(SettingsError, match=f"between 1 and 30. You entered {seeds}."):
        plan_controls(original(store), store, seeds)


def test_images_that_are_gone_leave_no_run_behind(store, tmp_path):
    run = original(store, dataset=str(tmp_path / "gone"))
    with pytest.raises(DatasetError, match="There is no folder or archive"):
        queue_controls(run, store)
    assert len(store.list()) == 1 and RunQueue(store.root).ids() == []


@pytest.mark.slow
def test_the_controls_of_digits_from_the_queue_to_their_accuracies(trained, store):
    RunQueue(store.root).pause(True)
    queued = queue_controls(trained, store, 1)
    Manager(store).close()  # a server that ends before any of them
    RunQueue(store.root).pause(False)
    later = Manager(store)
    later.wake()
    assert later.join(timeout=300)
    later.close()
    plan = plan_controls(trained, store, 1)
    assert not plan.open and all(trial.finished for trial in plan.trials)
    assert {control.status().epochs for control in queued} == {1}
    assert queue_controls(trained, store, 1) == []


def test_controls_train_on_the_images_of_the_run_though_its_folder_has_changed(store, tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    for name in ("cat", "dog"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(20):
            Image.new("L", (8, 8), 9 * number).save(tmp_path / "own" / name / f"{number}.png")
    run = store.create(build_settings("quick", str(tmp_path / "own"), TINY | {"model.num_experts": 2}))
    assert run_training(run, Stop()).state == "finished", run.log_tail()
    before = load_dataset(run.settings().data, 0, own=run.dataset_info())
    shutil.rmtree(tmp_path / "own" / "cat")
    (control, *_) = queue_controls(run, store, 1)
    assert train_in_turn(control, Stop()).state == "finished", control.log_tail()
    assert control.dataset_info() == run.dataset_info()
    after = load_dataset(control.settings().data, 0, own=control.dataset_info())
    assert torch.equal(before.test.images, after.test.images)


def test_controls_of_a_run_with_a_relative_path_are_trained_once(store, tmp_path):
    """As older versions wrote it; controls have the absolute one."""
    run = original(store)
    config = run.config()
    run.write_config(config | {"data": config["data"] | {"dataset": "photos"}})
    for trial in plan_controls(run, store, 1).trials:
        data = trial.settings.data.model_copy(update={"dataset": str(tmp_path / "photos")})
        measured(store.create(trial.settings.model_copy(update={"data": data}), own=run.dataset_info()), 0.5)
    assert {*state(plan_controls(run, store, 1)).values()} == {"finished"}


def test_a_training_that_was_cut_off_goes_on_but_is_begun_only_once(store):
    run = original(store)
    me = this_process().beating()
    trial, first = next_control(run, store, 1, me)
    assert RunQueue(store.root).head().owner == me and trial.arm == "uniform"
    RunQueue(store.root).remove(first.id)
    first.leave_queue("stopped")  # as Ctrl-C does
    _, again = next_control(run, store, 1, me)
    assert again.id == first.id and again.state == "queued"
    RunQueue(store.root).remove(first.id)
    first.leave_queue("stopped")  # as a user does
    _, other = next_control(run, store, 1, me, begun={trial.settings})
    assert other.id != first.id
    with_controls(run, store, {arm: [0.8] for arm in CONTROLS if arm != "uniform"})
    assert next_control(run, store, 1, me, begun={trial.settings}) is None
