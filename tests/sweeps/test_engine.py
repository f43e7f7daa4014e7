"""A sweep from its start to its end, cut off anywhere, with trials that fail. No trial is trained twice.

The module is long because a sweep can be cut off in many places, and one function goes on from all of them.
"""

import re
import shutil
import subprocess
import sys

import pytest
from safetensors.torch import load_file, save_file

from expertnet.errors import DatasetError, RunError, SettingsError
from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.store.start_weights import FILE
from expertnet.store.trash import move_to_trash, restore_run
from expertnet.sweeps.engine import FAILURES, RESUMES, advance, resume_sweep, start_sweep, stop_sweep
from expertnet.sweeps.follow_up import queue_repeats, train_longer
from expertnet.sweeps.journal import JOURNAL
from expertnet.sweeps.plan import Budget
from expertnet.sweeps.space import parse_dimension
from expertnet.sweeps.study import open_study
from expertnet.sweeps.sweep import all_sweeps, find_sweep
from expertnet.sweeps.trials import best_trials, trials_of
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop, stop_run
from expertnet.utils.home import install_command
from expertnet.utils.processes import Process, this_process
from tests.support.class_files import class_files, write
from tests.support.served import ROOT
from tests.support.small import settings
from tests.support.sweeps import done, peak, plan, started, train

GRID = ("model.num_experts=1..3", "model.channels=8,16")


def states(sweep):
    return [trial.state for trial in trials_of(sweep)]


def test_a_sweep_ends_with_its_budget_and_knows_the_best(store):
    sweep = done(started(store))
    found = trials_of(sweep)
    assert states(sweep) == ["finished"] * 6 and sweep.status().reason == "6 trials"
    assert sweep.status().state == "finished" and advance(sweep) == []
    (best,) = best_trials(found)
    assert best.accuracy == max(peak(trial.run.settings()) for trial in found)
    assert [trial.run.title.partition(" of ")[0] for trial in found] == [f"Trial {n}" for n in range(1, 7)]
    assert {trial.run.notes().tags for trial in found} == {("sweep",)}
    assert all(trial.values["training.lr"] == trial.run.settings().training.lr for trial in found)
    assert all(trial.parameters and trial.multiply_adds and trial.seconds == 40.0 for trial in found)


@pytest.mark.slow
def test_the_same_plan_gives_the_same_trials_wherever_it_was_cut_off(store):
    whole, cut_off = done(started(store)), started(store)
    for _ in range(3):
        (run,) = advance(cut_off)
        assert [each.id for each in advance(cut_off)] == [run.id]  # nothing is asked twice
        train(run)
    stop_sweep(cut_off)
    assert cut_off.status().state == "stopped"
    resume_sweep(cut_off)
    done(cut_off)
    assert [trial.values for trial in trials_of(whole)] == [trial.values for trial in trials_of(cut_off)]


@pytest.mark.slow
def test_all_trials_start_from_the_run_that_latest_meant_at_the_start(store):
    source = store.create(settings())
    assert run_training(source, Stop()).state == "finished", source.log_tail()
    base = settings(**{"model.start_from": "latest"})
    sweep = start_sweep(store, plan("training.lr=1e-3,1e-2", settings=base, budget=Budget(trials=2)))
    for _ in range(2):
        (run,) = advance(sweep)
        assert run.settings().model.start_from == source.id
        RunQueue(store.root).remove(run.id)
        assert run_training(run, Stop()).state == "finished", run.log_tail()


@pytest.mark.slow
def test_all_trials_start_from_the_same_weights_although_their_run_trains_on_or_is_deleted(store):
    source = store.create(settings())
    assert run_training(source, Stop()).state == "finished", source.log_tail()
    base = settings(**{"model.start_from": source.id})
    sweep = start_sweep(store, plan("training.lr=1e-3,1e-2,1e-1", settings=base, budget=Budget(trials=3)))
    changed = {name: value + 1 for name, value in load_file(source.checkpoints.path("best")).items()}
    first, second = advance(sweep, slots=2)
    save_file(changed, source.checkpoints.path("best"), {"epoch": "1"})
    train(first)
    train(second)
    move_to_trash(source)
    (third,) = advance(sweep)
    starts = [(run.path / FILE).read_bytes() for run in (first, second, third)]
    assert starts[0] == starts[1] == starts[2] and third.settings().model.start_from == source.id
    train(third)
    assert advance(sweep) == []
    for run in (train_longer(sweep, 9), *queue_repeats(sweep, best=1, seeds=2)):
        assert (run.path / FILE).read_bytes() == starts[0]


@pytest.fixture
def pets(store, tmp_path, own_data):
    """A sweep of three trials on a folder of images, with the run of the first one, which has been trained."""
    write(tmp_path / "pets", class_files(count=10))
    base = settings(**{"data.dataset": str(tmp_path / "pets"), "data.validation_share": 0.2, "training.batch_size": 8})
    sweep = started(store, settings=base, budget=Budget(trials=3))
    (first,) = advance(sweep)
    RunQueue(store.root).remove(first.id)
    assert run_training(first, Stop()).state == "finished", first.log_tail()
    write(tmp_path / "pets", class_files(count=20))
    return sweep, first


@pytest.mark.slow
def test_all_trials_and_what_follows_train_on_the_images_of_the_first_one(store, pets, tmp_path):
    sweep, first = pets
    runs = [first]
    for _ in range(2):
        runs += advance(sweep)
        RunQueue(store.root).remove(runs[-1].id)
        assert run_training(runs[-1], Stop()).state == "finished", runs[-1].log_tail()
    assert advance(sweep) == []
    shutil.rmtree(tmp_path / "pets")  # the decoded images are still there
    runs.append(train_longer(sweep, 2))
    assert run_training(runs[-1], Stop()).state == "finished", runs[-1].log_tail()
    assert len({run.id for run in runs}) == 4 and {run.dataset_info().content for run in runs} == {
        first.dataset_info().content
    }
    assert {run.status().validation_images for run in runs} == {first.status().validation_images}


@pytest.mark.slow
def test_a_trial_whose_images_are_gone_when_it_goes_on_fails_alone(pets, tmp_path):
    sweep, first = pets
    killed(first)
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "pets" / "cat").rename(tmp_path / "pets" / "cow")
    (second,) = advance(sweep)
    assert second.id != first.id and states(sweep)[0] == "failed"
    assert "1 class missing (cat)" in trials_of(sweep)[0].error


def test_two_workers_keep_two_different_trials_in_the_queue(store):
    sweep = started(store)
    first, second = advance(sweep, slots=2)
    assert RunQueue(store.root).ids() == [first.id, second.id]
    assert {run.id for run in advance(find_sweep(store, sweep.id), slots=2)} == {first.id, second.id}
    train(first)
    still, third = advance(sweep, slots=2)
    assert still.id == second.id and third.id not in (first.id, second.id)


@pytest.mark.parametrize("sampler", ["grid", "tpe", "random"])
def test_a_finite_space_is_tried_once_and_then_the_sweep_ends(store, sampler):
    sweep = done(started(store, *GRID, sampler=sampler, budget=Budget(trials=50)))
    values = [tuple(trial.values.values()) for trial in trials_of(sweep)]
    assert sorted(values) == [(k, c) for k in (1, 2, 3) for c in (8, 16)]
    assert sweep.status().reason == "every combination was tried"
    assert sampler != "grid" or values == sorted(values)


def test_hours_and_epochs_end_a_trial_in_the_middle(store):
    by_epochs = done(started(store, budget=Budget(epochs=6)))
    assert [(trial.epoch, trial.state) for trial in trials_of(by_epochs)] == [(4, "finished"), (2, "cut off")]
    by_hours = done(started(store, budget=Budget(hours=70 / 3600)))  # an epoch takes 10 seconds
    assert [(trial.epoch, trial.state) for trial in trials_of(by_hours)] == [(4, "finished"), (3, "cut off")]
    assert by_epochs.status().reason == "6 epochs"


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"trials": 10}, "10 trials"),
        ({"trials": 11}, "11 trials"),
        ({"epochs": 10}, "10 epochs"),
        ({"epochs": 100}, "100 epochs"),
        ({"hours": 10}, "10 hours"),
    ],
)
def test_a_sweep_that_spends_its_budget_has_finished_whatever_the_number(store, limit, reason):
    sweep = started(store, sampler="random", budget=Budget(**limit))
    while runs := advance(sweep):
        for run in runs:
            train(run)
            if "hours" in limit:
                run.write_status(run.written_status().changed(seconds=3 * 3600.0))
    assert (sweep.status().state, sweep.status().reason) == ("finished", reason)


def test_no_more_trials_start_than_the_budget_allows_however_many_run_at_once(store):
    sweep = started(store, budget=Budget(trials=2))
    for _ in range(2):
        assert len(advance(sweep, slots=4)) == 2
    done(sweep)
    assert len(store.list()) == 2


def test_a_sweep_has_failed_if_its_last_ten_trials_failed_although_its_budget_is_spent_too(store):
    sweep = done(started(store, "model.pool_after=2/3", "training.lr=1e-3..1e-2", budget=Budget(trials=FAILURES)))
    assert sweep.status().state == "failed" and sweep.status().reason.startswith("10 trials in a row failed.")


def test_the_median_stops_a_trial_that_is_worse_than_the_others(store):
    sweep = started(store, "training.lr=1e-3,2e-3,3e-3,4e-3,5e-3", pruner="median", budget=Budget(trials=5))
    order = iter([0.8, 0.8, 0.8, 0.8, 0.3])

    def accuracy(values):
        return accuracies.setdefault(values.training.lr, next(order, 0.0))

    accuracies = {}
    done(sweep, accuracy)
    last = trials_of(sweep)[-1]
    assert states(sweep) == ["finished"] * 4 + ["pruned"]
    assert last.epoch == 2 and last.run.state == "stopped" and last.known


def test_a_trial_that_a_user_stops_or_deletes_ends_and_the_sweep_goes_on(store):
    sweep = started(store)
    (first,) = advance(sweep)
    stop_run(first)
    (second,) = advance(sweep)
    train(second, after_epoch=lambda: stop_run(second))
    (third,) = advance(sweep)
    RunQueue(store.root).remove(third.id)
    third.leave_queue("stopped")
    move_to_trash(third)
    done(sweep)
    assert states(sweep) == ["stopped", "stopped", "failed", "finished", "finished", "finished"]
    assert trials_of(sweep)[1].epoch == 1 and trials_of(sweep)[2].error == "Its run was deleted."


def test_the_rows_of_trials_that_have_ended_are_kept_and_those_of_others_are_read_again(store):
    sweep = started(store)
    (first,) = advance(sweep)
    train(first)
    (second,) = advance(sweep)
    ended, waits = trials_of(sweep)
    second.write_status(second.status().changed(state="running", epoch=2))
    again, trains = trials_of(sweep)
    assert again is ended and (waits.state, trains.state, trains.epoch) == ("queued", "running", 2)
    move_to_trash(first)
    assert trials_of(sweep)[0].run is None
    restore_run(store, first.id)
    assert trials_of(sweep)[0].run.id == first.id


def test_a_training_that_fails_fails_its_trial_alone(store):
    sweep = started(store)
    (run,) = advance(sweep)
    RunQueue(store.root).remove(run.id)
    error = "The network needs 900 GiB of memory."
    run.write_status(run.status().changed(state="failed", error=error))
    done(sweep)
    assert states(sweep) == ["failed", *["finished"] * 5] and trials_of(sweep)[0].error == error


def test_values_that_do_not_fit_together_fail_their_trial_alone(store):
    sweep = done(started(store, "model.pool_after=1/1,2", "training.lr=1e-3,1e-2", budget=Budget(trials=9)))
    failed = [trial for trial in trials_of(sweep) if trial.state == "failed"]  # there is one block
    assert {trial.values["model.pool_after"] for trial in failed} == {"1,2"} and len(failed) == 2
    assert all("must list blocks between 1 and 1" in trial.error and trial.run is None for trial in failed)
    assert len(store.list()) == 2


def test_a_sweep_whose_trials_all_fail_gives_up_with_their_error(store):
    sweep = done(started(store, "model.pool_after=2/3", "training.lr=1e-3..1e-2", budget=Budget(epochs=99)))
    assert sweep.status().state == "failed" and len(trials_of(sweep)) == FAILURES
    assert sweep.status().reason.startswith("10 trials in a row failed. The last one: `model.pool_after`")
    resume_sweep(sweep)  # tries as many again
    assert len(trials_of(done(sweep))) == 2 * FAILURES


def test_stopping_a_sweep_stops_a_trial_that_ray_would_start_again(store):
    sweep, queue = started(store), RunQueue(store.root)
    (run,) = advance(sweep)
    assert queue.take_for("task", lambda run: True) == run.id
    dead = this_process().model_copy(update={"pid": 2**22 + 1})
    run.write_status(run.status().changed(state="running", process=dead))
    stop_sweep(sweep)
    assert (sweep.status().state, run.state, queue.tasks) == ("stopped", "stopped", {})


def test_stopping_and_resuming_goes_on_with_the_same_trial(store):
    sweep = started(store)
    (run,) = advance(sweep)
    stop_sweep(sweep)
    assert advance(sweep) == [] and (sweep.status().state, run.state) == ("stopped", "stopped")
    with pytest.raises(RunError, match="is not active: it is stopped"):
        stop_sweep(sweep)
    resume_sweep(sweep)
    (again,) = advance(sweep)
    assert again.id == run.id and again.state == "queued"
    done(sweep)
    assert len(store.list()) == 6
    with pytest.raises(RunError, match="has used its budget of 6 trials"):
        resume_sweep(sweep)
    resume_sweep(sweep, Budget(trials=8))
    with pytest.raises(RunError, match="is already running"):
        resume_sweep(sweep)
    assert len(trials_of(done(sweep))) == 8


def killed(run):
    """Leave a run as a kill does."""
    RunQueue(run.path.parent).remove(run.id)
    dead = Process(host=run.status().host, pid=1, process_start=0.0, boot="another")
    run.write_status(run.written_status().changed(process=dead, state="running"))


def test_a_trial_whose_process_was_killed_goes_on_and_is_given_up_if_it_never_gets_further(store):
    sweep = started(store)
    (run,) = advance(sweep)
    for _ in range(RESUMES):
        killed(run)
        (again,) = advance(sweep)
        assert again.id == run.id and again.state == "queued"
    killed(run)
    (other,) = advance(sweep)
    assert other.id != run.id and trials_of(sweep)[0].error == "It was interrupted repeatedly."


def test_a_trial_that_users_stop_and_resume_often_goes_on(store):
    sweep = started(store)
    (run,) = advance(sweep)
    killed(run)
    advance(sweep)
    for _ in range(RESUMES + 1):
        run.write_status(run.written_status().changed(before=None))  # it has begun to train
        stop_sweep(sweep)
        assert run.state == "stopped"
        resume_sweep(sweep)
    (again,) = advance(sweep)
    assert again.id == run.id and again.state == "queued"


def test_a_kill_between_two_steps_leaves_no_trial_lost_or_twice(store):
    sweep = started(store)
    with open_study(sweep) as study:
        study.ask()  # killed before its run had an id
    with open_study(sweep) as study:
        study.note(study.ask(), run="20260101-000000-abcd")  # killed before its run had a folder
    journal = sweep.path / JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 4, "torn')  # killed while it wrote
    (run,) = advance(sweep)
    assert run.id == "20260101-000000-abcd" and run.state == "queued"
    done(sweep)
    assert states(sweep) == ["finished"] * 6 and len(store.list()) == 6


@pytest.mark.parametrize("asked", [True, False])
def test_a_kill_between_two_steps_of_a_grid_leaves_no_combination_out(store, asked):
    sweep = started(store, *GRID, sampler="grid", budget=Budget(trials=50))
    with open_study(sweep) as study:
        space = study.plan.space
        study.study.enqueue_trial({dimension.key: dimension.values[0] for dimension in space})  # a grid's first trial
        if asked:
            study.study.ask({dimension.key: dimension.distribution() for dimension in space})
    values = [tuple(trial.values.values()) for trial in trials_of(done(sweep))]
    assert values == [(k, c) for k in (1, 2, 3) for c in (8, 16)]


@pytest.mark.slow
def test_the_journal_knows_a_run_before_its_folder_exists_and_its_figures_once_the_sweep_has_ended(store, monkeypatch):
    sweep, known, create = started(store), [], RunStore.create

    def created(self, *arguments, **named):
        known.append(named["run_id"] in (sweep.path / JOURNAL).read_text())
        return create(self, *arguments, **named)

    monkeypatch.setattr(RunStore, "create", created)
    done(sweep)
    assert known == [True] * 6
    code = (
        "import sys; from expertnet.store.run_store import RunStore; from expertnet.sweeps.sweep import find_sweep\n"
        "from expertnet.sweeps.trials import trials_of\n"
        "print(*(trial.accuracy for trial in trials_of(find_sweep(RunStore(sys.argv[1]), 'latest'))))"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code, store.root], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert seen.stdout.split() == [str(trial.accuracy) for trial in trials_of(sweep)]


def test_a_sweep_of_a_command_that_died_is_interrupted(store):
    dead = Process(host="here", pid=1, process_start=0.0, boot="another")
    sweep = start_sweep(store, plan(), dead)
    assert sweep.status().state == "interrupted"
    resume_sweep(sweep)
    assert sweep.status().state == "running" and len(advance(sweep)) == 1


def test_a_damaged_sweep_is_left_out_and_says_so(store):
    sweep = started(store)
    (sweep.path / JOURNAL).write_text("{}\n[1]\n")
    with pytest.raises(RunError, match="journal.log of sweep .* is damaged"):
        trials_of(find_sweep(store, sweep.id[:-1]))
    written = (sweep.path / "plan.json").read_text()
    (sweep.path / "plan.json").write_text(written.replace("training.lr", "training.of_another_version"))
    assert all_sweeps(store) == []
    (sweep.path / "plan.json").write_text("{")
    assert all_sweeps(store) == []
    with pytest.raises(RunError, match="There is no sweep in "):
        find_sweep(store, "latest")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"budget": Budget()}, "The budget is empty"),
        ({"budget": Budget(hours=0)}, "hours must be greater than 0"),
        ({"budget": Budget(trials=-3)}, "trials must be greater than 0 and at most 10,000. You entered -3."),
        ({"sampler": "grid"}, "needs steps, and `training.lr` has none"),
        (
            {"sampler": "grid", "space": (parse_dimension("training.lr=1..2:step=1e-9"),)},
            "The grid has 1,000,000,001 combinations",
        ),
        ({"settings": settings(**{"data.validation_share": 0.0})}, "validation images"),
        (
            {"settings": settings(**{"model.start_from": "x"}), "space": (parse_dimension("model.channels=8..16"),)},
            "fit one network, so `model.channels` cannot vary",
        ),
        (
            {"settings": settings(**{"model.start_from": "x"}), "space": (parse_dimension("data.image_size=8..16"),)},
            "fit one network, so `data.image_size` cannot vary",
        ),
    ],
)
def test_an_impossible_plan_leaves_nothing_behind(store, values, says):
    with pytest.raises(SettingsError, match=says):
        start_sweep(store, plan(**values))
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("name", "says"), [("gone", "There is no folder or archive"), ("empty", "class"), ("single", "one training image")]
)
def test_images_that_cannot_be_used_leave_nothing_behind(store, tmp_path, name, says):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "single", class_files(count=2))  # one is held out for the test
    with pytest.raises(DatasetError, match=says):
        start_sweep(store, plan(settings=settings(**{"data.dataset": str(tmp_path / name)})))
    assert not store.root.exists()


def test_without_optuna_one_sentence_says_how_to_install_it(store, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(SettingsError, match=f"Run '{re.escape(install_command('optuna'))}'"):
        started(store)
    assert not store.root.exists()
