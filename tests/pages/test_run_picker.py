"""Choosing a run and its weights on the Experts and Predict pages."""

import json
import shutil

import pytest

from expertnet.store.notes import Notes
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.trash import move_to_trash
from expertnet.training.controls import TAG
from expertnet.ui import run_picker
from expertnet.ui.run_picker import CHOSEN
from tests.support.opening import finished, new_session, opened, to_page
from tests.support.stores import changed, damaged, stopped_at_once, without_classes


def in_the_trash(store):
    run = finished(store)
    move_to_trash(run)
    return run


@pytest.mark.parametrize("page", ["experts", "predict"])
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (without_classes, "its classes are unknown"),
        (stopped_at_once, "was stopped before it completed an epoch"),
        (damaged, "You can only delete"),
        (lambda store: None, "There is no run at this URL"),
        (in_the_trash, "This run is in the trash."),
    ],
)
def test_a_run_that_cannot_be_shown_gets_a_reason_and_no_other_run_replaces_it(page, make, why):
    other, run = finished(RunStore()), make(RunStore())
    test = opened(page, run.id if run else "20200101-000000-abcd")
    assert [why in error.value.replace("\\", "") for error in test.error] == [True]
    assert test.selectbox[0].value is None and len(test.selectbox[0].options) == 1 and len(test.selectbox) == 1
    test.selectbox[0].set_value(other.id).run()
    assert not test.exception and not test.error and test.query_params["run"] == other.id


@pytest.mark.parametrize("page", ["experts", "predict"])
def test_the_first_choice_is_your_newest_finished_run_or_else_an_included_one(page):
    store = RunStore()
    runs = {name: finished(store) for name in ("own", "stopped", "shipped")}
    runs["stopped"].write_status(runs["stopped"].status().changed(state="stopped"))
    runs["shipped"].write_config(runs["shipped"].config() | {"shipped": True})
    assert opened(page).selectbox[0].value == runs["own"].id
    move_to_trash(runs["own"])
    assert opened(page).selectbox[0].value == runs["shipped"].id
    config = runs["shipped"].config()
    # An included run without its images
    without_images = Run(shutil.copytree(runs["shipped"].path, store.root / "29990101-000000-abcd"))
    gone = {
        "data": config["data"] | {"dataset": "gone.zip"},
        "dataset": config["dataset"] | {"fingerprint": "archive-0"},
    }
    without_images.write_config(config | gone)
    assert opened(page).selectbox[0].value == runs["shipped"].id


def test_runs_are_listed_by_title_and_accuracy_and_equal_ones_by_a_part_of_their_id():
    store = RunStore()
    same, again, better, stopped = (finished(store) for _ in range(4))
    better.write_status(better.status().changed(test_accuracy=0.875))
    stopped.write_status(stopped.status().changed(test_accuracy=0.875, state="stopped"))
    accuracy = f"{same.status().test_accuracy:.1%}"
    assert opened("predict").selectbox[0].options == [
        "<b>mine</b> *x* · 87.5% · stopped",
        "<b>mine</b> *x* · 87.5%",
        f"<b>mine</b> *x* · {again.id[-4:]} · {accuracy}",
        f"<b>mine</b> *x* · {same.id[-4:]} · {accuracy}",
    ]


def test_experts_opens_on_the_finished_run_whose_routing_differs_most_between_images():
    store = RunStore()
    runs = [finished(store) for _ in range(3)]
    for run, entropy in zip(runs, (0.9, 0.1, 0.0), strict=True):
        row = {"epoch": 2, "expert_usage": [[0.4, 0.3, 0.3]], "routing_entropy": [entropy]}
        (run.path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    runs[2].write_status(runs[2].status().changed(state="stopped"))
    assert opened("experts").selectbox[0].value == runs[1].id
    assert opened("experts", runs[0].id).selectbox[0].value == runs[0].id
    assert opened("predict").selectbox[0].value == max(run.id for run in runs[:2])


def test_the_last_checkpoint_gets_its_own_accuracy():
    run = finished(RunStore())
    best, last = (run.checkpoints.load(kind)[0] for kind in ("best", "last"))
    run.checkpoints.save("best", best, 1)
    (first, second) = run.metrics()
    (run.path / "metrics.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in (first, second | {"val_accuracy": 0.125}))
    )
    test = opened("predict", run.id)
    assert not any("in the list of runs" in caption.value for caption in test.caption)
    test.selectbox(key=f"weights {run.id}").set_value("last").run()
    said = "Epoch 2, the last, recognizes 12.5% of the validation images. The accuracy in the list of runs is that of the best epoch."
    assert said in [caption.value for caption in test.caption]
    run.checkpoints.save("best", last, 2)
    assert said not in [caption.value for caption in test.run().caption]


@pytest.mark.parametrize("page", ["experts", "predict"])
def test_a_control_is_no_first_choice(page):
    store = RunStore()
    own, control = finished(store), finished(store)
    control.annotate(Notes(tags=(TAG,)))
    assert opened(page).selectbox[0].value == own.id
    move_to_trash(own)
    assert opened(page).selectbox[0].value == control.id


def test_the_chosen_run_is_chosen_on_the_other_page_too():
    older, newer = sorted((finished(RunStore()), finished(RunStore())), key=lambda run: run.id)
    test = opened("experts")
    assert test.selectbox[0].value == newer.id
    test.selectbox[0].set_value(older.id).run()
    del test.query_params["run"]  # like a link in the navigation
    assert to_page(test, "predict").run().selectbox[0].value == older.id
    move_to_trash(older)
    test = new_session("experts")
    test.session_state[CHOSEN] = older.id
    assert test.run().selectbox[0].value == newer.id and not test.error


@pytest.mark.parametrize("page", ["train", "predict"])
def test_the_run_of_a_link_is_shown_on_the_other_pages_too_and_one_shown_by_default_is_not(page):
    older, newer = sorted((finished(RunStore()), finished(RunStore())), key=lambda run: run.id)
    test = opened(page, older.id)
    del test.query_params["run"]  # like a link in the navigation
    assert to_page(test, "experts").run().selectbox[0].value == older.id
    test = opened("predict")
    assert test.selectbox[0].value == newer.id
    assert CHOSEN not in test.run().session_state  # although the page has written it to the URL


@pytest.mark.parametrize("page", ["experts", "predict", "train"])
def test_a_missing_best_checkpoint_gets_a_warning(page):
    run = finished(RunStore())
    run.checkpoints.path("best").unlink()
    said = [warning.value.replace("\\", "") for warning in opened(page, run.id).warning]
    assert ["is missing. Use the last one instead" in sentence for sentence in said] == [True]


@pytest.mark.parametrize("page", ["experts", "predict"])
def test_if_the_best_checkpoint_is_damaged_the_last_can_be_chosen(page):
    run = changed(finished(RunStore()), "best.safetensors", b"")
    test = opened(page, run.id)
    assert ["Use the last one instead" in error.value for error in test.error] == [True]
    weights = test.selectbox(key=f"weights {run.id}")
    assert weights.options == ["best, damaged", "last, epoch 2"]
    weights.set_value("last").run()
    assert not test.exception and not test.error


def test_the_browser_gets_the_new_label_of_the_chosen_weights():
    run = finished(RunStore())
    test = opened("predict", run.id)
    test.selectbox(key=f"weights {run.id}").set_value("last").run()
    changed(run, "best.safetensors", b"")
    for is_sent in (True, False):
        weights = test.run().selectbox(key=f"weights {run.id}")
        assert weights.value == "last"
        assert weights.proto.set_value is is_sent and weights.proto.raw_value == "last, epoch 2" * is_sent


@pytest.mark.parametrize("page", ["experts", "predict", "evaluate"])
def test_of_many_runs_the_newest_are_listed_and_a_search_finds_others(page, monkeypatch):
    monkeypatch.setattr(run_picker, "LISTED", 2)
    store = RunStore()
    runs = sorted((finished(store) for _ in range(4)), key=lambda run: run.id)
    runs[0].annotate(Notes("the first one"))
    test = opened(page)
    assert test.selectbox[0].value == runs[3].id and len(test.selectbox[0].options) == 2
    search = test.text_input(key="search run")
    assert search.placeholder == "Search 4 runs"
    search.set_value("FIRST").run()
    assert (
        any("the first one" in option for option in test.selectbox[0].options) and test.selectbox[0].value == runs[3].id
    )
    assert "1 found" in [caption.value for caption in test.caption]
    test.selectbox[0].set_value(runs[0].id).run()
    assert not test.exception and test.query_params["run"] == runs[0].id
    search = test.text_input(key="search run")
    search.set_value("").run()
    assert test.selectbox[0].value == runs[0].id and len(test.selectbox[0].options) == 3
