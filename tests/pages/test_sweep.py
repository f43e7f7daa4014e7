"""The Sweep page: the form, a sweep in view, and what follows."""

import shlex
import sys

import pytest

from expertnet.data.custom import scan
from expertnet.data.own.datasets import create_dataset
from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.sweeps.engine import advance, stop_sweep
from expertnet.sweeps.findings import what_matters
from expertnet.sweeps.journal import JOURNAL
from expertnet.sweeps.plan import Budget
from expertnet.sweeps.sweep import all_sweeps
from expertnet.sweeps.trials import best_trials, trials_of
from expertnet.training.pace import ENOUGH_STEPS, step_count, training_images
from expertnet.ui import tasks
from expertnet.ui.sweep import live
from expertnet.utils.home import install_command
from tests.support.opening import opened
from tests.support.own import flowers
from tests.support.sweeps import done, started, train


@pytest.fixture(autouse=True)
def paused():
    """Let nothing train, and end the threads of sweeps."""
    RunStore().root.mkdir()
    RunQueue(RunStore().root).pause(True)
    yield
    for sweep in all_sweeps(RunStore()):
        if sweep.active:
            stop_sweep(sweep)


def text(test):
    shown = (*test.markdown, *test.caption, *test.info, *test.warning, *test.error)
    return " ".join(part.value for part in shown).replace("\\", "")


def labels(test):
    return [button.label for button in test.button]


def click(test, label):
    next(button for button in test.button if button.label == label).click().run()


def test_the_form_starts_a_sweep_that_puts_its_trials_into_the_queue():
    test = opened("sweep")
    assert "20 trials, at most 120 epochs. Each trial is a run." in text(test)
    test.number_input(key="sweep trials").set_value(5).run()
    test.number_input(key="to model.num_experts").set_value(3.0).run()
    test.text_input(key="sweep name").set_value("<b>mine</b>").run()
    click(test, "Start sweep")
    (sweep,) = all_sweeps(RunStore())
    plan = sweep.plan()
    assert (plan.name, plan.budget, plan.settings.training.epochs) == ("<b>mine</b>", Budget(trials=5), 6)
    assert [d.text for d in plan.space] == ["training.lr=0.0001..0.01:log", "model.num_experts=2..3"]
    assert not test.exception and test.header[0].value == "\\<b\\>mine\\</b\\>" and "Stop sweep" in labels(test)
    assert "The queue is paused." in text(test)
    click(test, "Stop sweep")
    assert "Resume sweep" in labels(test) and sweep.status().state == "stopped"


def test_a_sweep_takes_a_dataset_of_your_own_from_the_list(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    dataset, empty = flowers(count=6), create_dataset("Empty").dataset
    test = opened("sweep")
    picker = test.selectbox(key="sweep dataset")
    assert "Flowers" in picker.options and "Empty" not in picker.options and picker.value != empty
    picker.set_value(dataset).run()
    click(test, "Start sweep")
    (sweep,) = all_sweeps(RunStore())
    assert not test.exception and sweep.plan().settings.data.dataset.startswith(f"{dataset}@")


def test_few_images_are_offered_smaller_batches_and_more_epochs(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    dataset = flowers(count=20)
    test = opened("sweep")
    assert "fit sweep" not in [button.key for button in test.button]
    test.selectbox(key="sweep dataset").set_value(dataset).run()
    test.text_area(key="sweep others").set_value("training.batch_size=256\nmodel.channels=8").run()
    assert "Trials of 6 steps teach a network little." in text(test)
    test.button(key="fit sweep").click().run()
    assert not test.exception and "fit sweep" not in [button.key for button in test.button]
    click(test, "Start sweep")
    plan = all_sweeps(RunStore())[0].plan()
    scan(plan.settings.data)
    images = training_images(plan.settings)
    assert plan.settings.training.batch_size < 256 and step_count(plan.settings, images) >= ENOUGH_STEPS
    assert plan.settings.model.channels == 8


def test_the_questions_of_the_report_and_lists_of_values():
    test = opened("sweep")
    click(test, "The report's questions")
    assert test.number_input(key="to model.channels").value == 128 and len(test.selectbox) == 2 + 5
    test.selectbox(key="scale model.channels").set_value("list").run()
    test.text_input(key="list model.channels").set_value("32,64").run()
    test.multiselect(key="sweep varied").set_value(["model.channels", "training.optimizer"]).run()
    click(test, "Start sweep")
    assert [d.text for d in all_sweeps(RunStore())[0].plan().space] == [
        "model.channels=32,64",
        "training.optimizer=adamw,sgd,muon,muon_sgd",
    ]


def test_what_is_wrong_is_said_and_nothing_starts():
    def start(test):
        return next(button for button in test.button if button.label == "Start sweep")

    test = opened("sweep")
    test.number_input(key="to model.num_experts").set_value(99.0).run()
    assert "“Experts per block” must be between 1 and 16. You entered 99." in text(test) and start(test).disabled
    test.number_input(key="to model.num_experts").set_value(5.0).run()
    test.number_input(key="sweep trials").set_value(0).run()
    assert "The number of trials must be greater than 0" in text(test) and start(test).disabled
    test.number_input(key="sweep trials").set_value(3).run()
    test.text_area(key="sweep others").set_value("model.chanels=3").run()
    assert "There is no setting 'model.chanels'. Did you mean “Channels”?" in text(test) and start(test).disabled
    test.text_area(key="sweep others").set_value("").run()
    test.multiselect(key="sweep varied").set_value([]).run()
    assert "Nothing varies." in text(test) and start(test).disabled and all_sweeps(RunStore()) == []


def test_a_sweep_that_ended_shows_its_findings_and_goes_on():
    sweep = done(started(RunStore(), "training.lr=1e-4..1e-1:log", "model.num_experts=1..3", budget=Budget(trials=12)))
    test = opened("sweep", sweep=sweep.id)
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
    click(test, "Train with these seeds")
    assert len(RunStore().list()) == 12 + 3 * 4
    click(test, "Train the best longer")
    assert {run.settings().training.epochs for run in RunStore().list()} == {4, 16}
    click(test, "10 more trials")
    assert sweep.plan().budget == Budget(trials=22) and sweep.active
    assert "New sweep" in labels(test)


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
