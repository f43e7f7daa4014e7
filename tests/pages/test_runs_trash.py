"""Runs that are deleted, restored and deleted for good."""

from expertnet.store.trash import move_to_trash, trashed
from expertnet.utils.processes import this_process
from tests.support.opening import written
from tests.support.runs_page import button, names, page, press, said, several


def test_a_shipped_run_stays_as_it_is(store):
    run = written(store, "example")
    run.write_config(run.config() | {"shipped": True})
    other = written(store, "mine")
    labels = [button.label for button in page(open=run.id).button]
    assert "Save" not in labels and "Delete this run" not in labels
    test = page(run, other)
    assert "Active and included runs cannot be deleted: “example”." in said(test)
    press(test, "Delete this run")
    assert [left.title for left in store.list()] == ["example"]


def test_only_some_of_many_runs_that_cannot_be_deleted_are_named(store):
    runs = [written(store, f"*live {number}*") for number in range(7)]
    for run in runs:
        run.write_status(run.written_status().changed(process=this_process(), state="running"))
    text = said(page(*runs))
    assert "Active and included runs cannot be deleted: “\\*live" in text and "” and 2 more." in text
    assert text.count("“\\*live") == 5


def test_a_deletion_can_be_undone(store):
    run = written(store, "*mine*")
    test = page(open=run.id)
    assert any("to the trash" in text.value for text in test.markdown)
    press(test, "Delete this run")
    assert store.list() == [] and any("“\\*mine\\*” is in the trash" in text.value for text in test.markdown)
    assert any("There are no runs yet" in info.value for info in test.info)
    press(test, "Undo")
    assert [back.id for back in store.list()] == [run.id] and "Undo" not in [button.label for button in test.button]


def test_several_runs_are_deleted_and_restored_together(store):
    runs = several(store)
    test = page(*runs[:3])
    press(test, "Delete 3 runs")
    drawn = [item for item in test.main if item in [test.dataframe[0], button(test, "Undo")]]
    assert drawn == [test.dataframe[0], button(test, "Undo")]  # below the table, which does not move
    assert len(store.list()) == 4 and "3 runs are in the trash" in said(test)
    assert len(names(press(test, "Undo"))) == 7


def test_a_failed_undo_says_why(store):
    run = written(store, "mine")
    test = page(open=run.id)
    press(test, "Delete this run")
    run.path.mkdir()
    assert any("has a run" in error.value for error in press(test, "Undo").error)
    assert trashed(store)[0].title == "mine"


def test_deleted_runs_can_be_restored_or_deleted_for_good(store):
    for number in range(3):
        move_to_trash(written(store, f"gone {number}"))
    assert not page().dataframe
    test = page(open="trash")
    assert sorted(test.dataframe[0].value["Run"]) == ["gone 0", "gone 1", "gone 2"]
    press(test, "Restore all")
    assert len(store.list()) == 3 and "The trash is empty." in said(test)
    for run in store.list():
        move_to_trash(run)
    press(page(open="trash"), "Delete permanently")
    assert trashed(store) == [] and not list((store.root / ".trash").iterdir())
