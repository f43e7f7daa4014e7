"""The Runs page: find, order and select runs, and runs that are damaged."""

import os

import pytest

from expertnet.settings.fields import build_settings
from expertnet.store.notes import Notes
from expertnet.store.run_store import RunStore
from expertnet.store.trash import move_to_trash, trashed
from expertnet.ui.runs.table import fitted
from expertnet.utils.processes import this_process
from tests.support.opening import TINY, finished, opened, written
from tests.support.runs_page import button, field, names, page, press, said, several, sound


def test_runs_with_the_same_title_get_a_part_of_their_id(store):
    runs = [written(store), written(store, "another"), written(store, state="stopped")]
    alike = [f"Digits, quick · {run.id[-4:]}" for run in (runs[2], runs[0])]
    assert sorted(names(page())) == sorted([*alike, "another"])
    for run in runs:
        move_to_trash(run)
    assert sorted(names(page(open="trash"))) == sorted([*alike, "another"])


def test_few_runs_have_only_a_search_and_a_single_run_has_none(store):
    written(store, "one")
    test = page()
    assert not test.text_input and not test.multiselect and not test.selectbox
    assert "1 run. Click a name" in said(test)
    written(store, "two", dataset="cifar10")
    test = page()
    assert [field.label for field in test.text_input] == ["Search"] and not test.selectbox
    assert [field.label for field in test.multiselect] == ["Compared runs"]


def test_only_filters_with_a_choice_are_shown(store):
    runs = several(store)
    assert [choice.label for choice in page().multiselect] == ["Dataset", "State", "Preset", "Compared runs"]
    runs[0].annotate(Notes("", ("baseline",), ""))
    test = page()
    assert [choice.label for choice in test.multiselect] == ["Dataset", "State", "Preset", "Tag", "Compared runs"]
    test.multiselect(key="tag").set_value(["baseline"])
    assert names(sound(test.run())) == ["Run 0"] and "1 of 7 runs" in said(test)


def test_the_url_searches_filters_and_orders(store):
    several(store)
    test = page(dataset="Digits", preset="quick", order="best validation")
    assert names(test) == ["Run 6", "Run 4"] and test.multiselect(key="dataset").value == ["Digits"]
    assert names(page(dataset="Digits", preset="quick", q="RUN 4")) == ["Run 4"]
    assert names(page(state="stopped")) == ["Run 0"]
    assert len(names(page(order="no such order", q=""))) == 7
    assert "No run matches the filters." in said(page(state="<b>no such state</b>"))


def test_a_running_run_is_found_by_its_state(store):
    several(store)
    run = written(store, "live", **{"data.validation_share": 0.1})
    run.write_status(run.written_status().changed(process=this_process(), state="running"))
    test = page(state="running")
    assert names(test) == ["live"] and test.dataframe[0].value["State"].tolist() == ["▶ running"]


def test_filters_without_a_match_can_be_cleared(store):
    several(store)
    test = page(q="nothing like this", state="failed")
    assert not test.dataframe and "No run matches the filters." in said(test)
    button(test, "Clear filters").click()
    assert len(names(sound(test.run()))) == 7 and test.text_input(key="q").value == ""


def test_a_button_acts_on_the_selected_run_although_another_was_added_above_it(store):
    run = written(store, "old")
    test = page(open=run.id)
    newer = written(store, "new")
    newer.path.rename(store.root / "29990101-000000-abcd")  # now the first row
    press(test, "Delete this run")
    assert [left.title for left in store.list()] == ["new"] and [gone.title for gone in trashed(store)] == ["old"]


def test_the_monitored_set_is_shown_if_it_is_a_test_set(store):
    written(store, "one", **{"data.validation_share": 0.1})
    assert "Measured on" not in page().dataframe[0].value
    written(store, "two", **{"data.validation_share": 0.0})
    test = page()
    assert sorted(test.dataframe[0].value["Measured on"]) == ["test set", "validation"]
    assert "runs that hold out no validation images use the test set" in test.caption[-1].value


@pytest.mark.parametrize("text", ["short", "W" * 80, "i" * 80, "漢" * 80, "a b " * 20, ""])
def test_text_that_does_not_fit_a_cell_ends_in_an_ellipsis(text):
    cut = fitted(text, 250, " (damaged)")
    kept = cut.removesuffix(" (damaged)")
    assert cut.endswith(" (damaged)")
    assert kept == text if len(text) < 10 else kept.endswith("…") and text.startswith(kept[:-1])
    assert 10 < len(fitted(text, 250)) < 60 or len(text) < 10


def test_a_tag_is_added_to_all_selected_runs_and_removed(store):
    runs = several(store)
    runs[0].annotate(Notes("kept", ("first",), "kept too"))
    test = page(*runs[:2])
    field(test, "Tags").set_value("second, third")
    press(test, "Add to all")
    assert runs[0].notes() == Notes("kept", ("first", "second", "third"), "kept too")
    assert runs[1].notes().tags == ("second", "third") and runs[2].notes().tags == ()
    field(test, "Tags").set_value("second")
    press(test, "Remove from all")
    assert runs[0].notes().tags == ("first", "third") and runs[1].notes().tags == ("third",)


def test_an_unknown_state_is_shown_unchanged(store):
    runs = several(store)
    runs[0].write_status(runs[0].written_status().changed(state="dreaming"))
    assert names(page(state="dreaming")) == ["Run 0"]


def test_damaged_runs_are_listed_and_can_be_deleted(store):
    run, other = written(store, "torn"), written(store, "whole")
    (run.path / "config.json").write_text("{")
    (other.path / "status.json").write_text('{"best_val_accuracy": "x"}')
    test = page(run, other)
    assert all(name.endswith("(damaged)") for name in names(test))
    test = page(open=run.id)
    assert any("You can only delete" in error.value for error in test.error)
    press(test, "Delete this run")
    assert [left.id for left in store.list()] == [other.id]


def test_notes_that_cannot_be_read_do_not_stop_the_page(store):
    run = written(store, "mine")
    os.mkfifo(run.path / "notes.json")  # reading a pipe would block
    test = page(open=run.id)
    assert names(test) == ["mine"]
    field(test, "Name").set_value("other")
    assert any("could not be written" in error.value for error in press(test, "Save").error)


def test_other_pages_use_a_run_s_new_name(store):
    run = written(store, "before")
    run.annotate(Notes("after", (), ""))
    assert any("after" in heading.value for heading in opened("train", run.id).header)


def test_a_selection_does_not_move_to_another_run_when_one_is_added():
    """A selection holds row numbers, so other rows need another table."""
    finished(RunStore())
    test = opened("runs")
    before = test.dataframe[0].proto.id
    RunStore().create(build_settings("quick", "digits", TINY))
    assert test.run().dataframe[0].proto.id != before


def test_the_table_names_the_dataset_of_the_settings():
    store = RunStore()
    run = store.create(build_settings("quick", None, {"data.dataset": "/home/me/birds.zip"}))
    run.write_status(run.status().changed(state="failed", error="There is no dataset.", error_kind="data"))
    assert opened("runs").dataframe[0].value["Dataset"].tolist() == ["birds"]
