"""The Sweep page: a sweep in view, and what follows."""

import shlex
import sys

import pytest

from expertnet.store.run_store import RunStore
from expertnet.sweeps.engine import advance, resume_sweep
from expertnet.sweeps.findings import what_matters
from expertnet.sweeps.journal import JOURNAL
from expertnet.sweeps.plan import Budget
from expertnet.sweeps.trials import best_trials, trials_of
from expertnet.training.stop import stop_run
from expertnet.ui import tasks
from expertnet.ui.sweep import live
from expertnet.utils.home import install_command
from tests.support.opening import opened
from tests.support.sweeps import click, done, labels, started, text, train

pytestmark = pytest.mark.usefixtures("paused")


def test_a_sweep_that_ended_shows_its_findings_and_goes_on():
    sweep = done(started(RunStore(), "training.lr=1e-4..1e-1:log", "model.num_experts=1..3", budget=Budget(trials=12)))
    test = opened("sweep", sweep=sweep.id)
    assert test.get("progress")[0].proto.text.endswith("finished · 12 trials · 48 epochs · 8 min 0 s of training")
    (best,) = best_trials(trials_of(sweep))
    assert f"The best is trial {best.number} with {best.accuracy:.1%} of the validation images: learning rate" in text(
        test
    )
    assert len(test.dataframe[0].value) == 12 and test.dataframe[0].value["Trial"].tolist()[0] == best.number
    for view, says in (
        ("What matters", " 12 trials"),
        ("One setting", "Learning rate of the best quarter of the trials"),
        ("All settings", ""),
        ("Accuracy and cost", "not beaten by a cheaper one"),
    ):
        test.segmented_control(key="sweep view").set_value(view).run()
        assert not test.exception and says in text(test) and test.get("vega_lite_chart")
    trials, seeds = (frame.value for frame in test.dataframe)
    assert seeds["Learning rate"].tolist() == trials["Learning rate"].tolist()[: len(seeds)]  # rounded alike
    click(test, "Train with these seeds")
    assert len(RunStore().list()) == 12 + 3 * 4 and "12 runs added to the queue." in test.toast[-1].value
    click(test, "Train with these seeds")
    assert len(RunStore().list()) == 12 + 3 * 4 and "already queued" in test.toast[-1].value
    click(test, "Train the best longer")
    assert {run.settings().training.epochs for run in RunStore().list()} == {4, 16}
    click(test, "10 more trials")
    assert sweep.plan().budget == Budget(trials=22) and sweep.active
    assert "New sweep" in labels(test)


def test_a_sweep_whose_only_trial_was_stopped_continues_with_it():
    sweep = started(RunStore(), budget=Budget(trials=1))
    (run,) = advance(sweep)
    train(run, after_epoch=lambda: stop_run(run))
    test = opened("sweep", sweep=done(sweep).id)
    assert "The best is trial 1 with " in text(test)
    click(test, "Train the best longer")
    assert {each.settings().training.epochs for each in RunStore().list()} == {4, 16} and not test.error


def test_no_more_trials_are_offered_once_every_combination_was_tried():
    sweep = done(started(RunStore(), "model.num_experts=1..2", budget=Budget(trials=9)))
    test = opened("sweep", sweep=sweep.id)
    assert "finished, every combination was tried" in test.get("progress")[0].proto.text
    assert "10 more trials" not in labels(test)


def test_what_matters_among_many_trials_is_computed_in_the_background(monkeypatch):
    monkeypatch.setattr(live, "AT_ONCE", 11)
    sweep = done(started(RunStore(), sampler="random", budget=Budget(trials=12)))
    test = opened("sweep", sweep=sweep.id)
    test.segmented_control(key="sweep view").set_value("What matters").run()
    tasks.find(("importance", str(sweep.path), False, 12)).join()
    assert what_matters(sweep.plan(), trials_of(sweep)).sentence in text(test.run()) and test.get("vega_lite_chart")


def test_the_table_of_many_trials_shows_the_best(monkeypatch):
    sweep = done(started(RunStore(), sampler="random", budget=Budget(trials=12)))
    monkeypatch.setattr(live, "SHOWN", 5)
    test = opened("sweep", sweep=sweep.id)
    best = [trial.number for trial in best_trials(trials_of(sweep), 5)]
    assert test.dataframe[0].value["Trial"].tolist() == best and "The best 5 of 12 trials." in text(test)


def test_the_page_shows_how_to_open_optunas_dashboard_where_it_is_installed(monkeypatch, tmp_path):
    sweep = done(started(RunStore(), budget=Budget(trials=1)))
    assert not opened("sweep", sweep=sweep.id).code
    (tmp_path / "optuna_dashboard.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    (shown,) = opened("sweep", sweep=sweep.id).code
    assert shown.value == f"optuna-dashboard {shlex.quote(str((sweep.path / JOURNAL).resolve()))}"


def test_a_sweep_that_is_not_active_can_be_deleted_and_its_runs_stay():
    sweep = done(started(RunStore(), name="<b>mine</b> *x*"))
    test, elsewhere = (opened("sweep", sweep=sweep.id) for _ in range(2))
    assert "Its runs stay on the Runs page." in text(test)
    click(test, "Delete this sweep")
    assert not sweep.path.exists() and len(RunStore().list()) == 6
    assert test.header[0].value == "Sweep" and "is deleted. Its runs stay" in test.toast[0].value and not test.error
    elsewhere.segmented_control(key="sweep view").set_value("All settings").run()
    assert "There is no sweep at this URL." in text(elsewhere) and not elsewhere.error
    active = started(RunStore())
    assert "Delete this sweep" not in labels(opened("sweep", sweep=active.id))


def test_a_sweep_whose_trials_cannot_be_read_can_be_deleted():
    sweep = done(started(RunStore()))
    sweep.write_plan(sweep.plan().model_copy(update={"database": "postgresql+psycopg://me@gone/trials"}))
    test = opened("sweep", sweep=sweep.id)
    assert "is not set" in test.error[0].value and f"Its study {sweep.id} stays in the database" in text(test)
    click(test, "Delete this sweep")
    assert not sweep.path.exists() and not test.error


def test_a_sweep_that_another_tab_has_resumed_is_not_deleted():
    sweep = done(started(RunStore()))
    test = opened("sweep", sweep=sweep.id)
    resume_sweep(sweep, Budget(trials=9))
    click(test, "Delete this sweep")
    assert sweep.active and "Stop sweep" in labels(test) and not test.exception


def test_one_trial_can_be_stopped_and_the_next_one_follows():
    sweep = started(RunStore())
    (first,) = advance(sweep)
    train(first)
    (second,) = advance(sweep)
    test = opened("sweep")  # the one that is active
    click(test, "Stop trial 2")
    advance(sweep)
    assert [trial.state for trial in trials_of(sweep)] == ["finished", "stopped", "queued"]
    assert second.state == "stopped"


def test_a_missing_sweep_and_missing_optuna_get_a_sentence(monkeypatch):
    assert "There is no sweep at this URL." in text(opened("sweep", sweep="20260101-000000-abcd"))
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert install_command("optuna") in text(opened("sweep"))
