"""The Runs page: finding, ticking, naming, deleting and comparing runs, without a browser and without a training."""

import json
import os

import pytest

from expertnet.settings.fields import build_settings
from expertnet.store.notes import Notes
from expertnet.store.run_store import RunStore
from expertnet.store.trash import move_to_trash, trashed
from expertnet.ui.runs import table
from expertnet.ui.runs.table import TICKED, fitted
from expertnet.utils.processes import this_process
from tests.support.opening import TINY, finished, new_session, opened, written


@pytest.fixture
def store():
    return RunStore()


def page(*ticked, **address):
    """The Runs page with these runs ticked."""
    test = new_session("runs")
    for name, value in address.items():
        test.query_params[name] = value
    test.session_state[TICKED] = tuple(run.id for run in ticked)
    return sound(test.run())


def sound(test):
    assert not test.exception, [error.value for error in test.exception]
    return test


def names(test):
    return test.dataframe[0].value["Run"].tolist()


def button(test, label):
    (found,) = [button for button in test.button if button.label == label]
    return found


def press(test, label):
    """Presses a button and returns the page after it."""
    button(test, label).click()
    return sound(test.run())


def field(test, label):
    (found,) = [field for field in (*test.text_input, *test.text_area) if field.label == label]
    return found


def said(test):
    return "\n".join(item.value for item in (*test.caption, *test.markdown, *test.info, *test.text))


def several(store, count=7):
    return [
        written(
            store,
            f"Run {number}",
            preset="report" if number % 2 else "quick",
            dataset="cifar10" if number < 3 else "digits",
            state="stopped" if number == 0 else "finished",
            accuracy=0.5 + number / 50,
            **{"data.validation_share": 0.1, "training.lr": 0.001 * (number + 1), "model.residual": number % 2 == 0},
        )
        for number in range(count)
    ]


def test_runs_that_are_called_alike_are_told_apart(store):
    runs = [written(store), written(store, "another"), written(store, state="stopped")]
    alike = [f"Digits, quick · {run.id[-4:]}" for run in (runs[2], runs[0])]
    assert sorted(names(page())) == sorted([*alike, "another"])
    for run in runs:
        move_to_trash(run)
    test = page()
    test.session_state["trash"] = True  # unfolded
    assert sorted(names(sound(test.run()))) == sorted([*alike, "another"])


def test_few_runs_have_a_search_alone_and_one_has_nothing_to_search(store):
    written(store, "one")
    test = page()
    assert not test.text_input and not test.multiselect and not test.selectbox
    assert "1 run. Tick" in said(test)
    written(store, "two", dataset="cifar10")
    test = page()
    assert [field.label for field in test.text_input] == ["Search"] and not test.multiselect and not test.selectbox


def test_filters_come_with_what_there_is_to_choose_from(store):
    runs = several(store)
    assert [choice.label for choice in page().multiselect] == ["Dataset", "State", "Preset"]
    runs[0].annotate(Notes("", ("baseline",), ""))
    test = page()
    assert [choice.label for choice in test.multiselect] == ["Dataset", "State", "Preset", "Tag"]
    test.multiselect(key="tag").set_value(["baseline"])
    assert names(sound(test.run())) == ["Run 0"] and "1 of 7 runs" in said(test)


def test_the_address_searches_filters_and_orders(store):
    several(store)
    test = page(dataset="Digits", preset="quick", order="best validation")
    assert names(test) == ["Run 6", "Run 4"] and test.multiselect(key="dataset").value == ["Digits"]
    assert names(page(dataset="Digits", preset="quick", q="RUN 4")) == ["Run 4"]
    assert names(page(state="stopped")) == ["Run 0"]
    assert len(names(page(order="no such order", q=""))) == 7
    assert "None of the 7 runs matches." in said(page(state="<b>no such state</b>"))


def test_a_running_run_is_found_by_its_state(store):
    several(store)
    run = written(store, "live", **{"data.validation_share": 0.1})
    run.write_status(run.written_status().changed(process=this_process(), state="running"))
    test = page(state="running")
    assert names(test) == ["live"] and test.dataframe[0].value["State"].tolist() == ["▶ running"]


def test_where_nothing_matches_a_button_shows_all_again(store):
    several(store)
    test = page(q="nothing like this", state="failed")
    assert not test.dataframe and "None of the 7 runs matches." in said(test)
    button(test, "Clear the filters").click()
    assert len(names(sound(test.run()))) == 7 and test.text_input(key="q").value == ""


def test_ticks_stay_with_their_runs_in_another_order_and_go_with_a_filter(store):
    runs = several(store)
    test = page(runs[2])
    assert [link.proto.label for link in test.get("page_link")].count("Open") == 1
    test.selectbox(key="order").set_value("name")
    assert f"delete {runs[2].id}" in [button.key for button in sound(test.run()).button]
    assert test.session_state[TICKED] == (runs[2].id,)
    test.multiselect(key="dataset").set_value(["Digits"])
    sound(test.run())
    assert test.session_state[TICKED] == () and "Open" not in [link.proto.label for link in test.get("page_link")]
    test.multiselect(key="dataset").set_value([])
    assert sound(test.run()).session_state[TICKED] == ()


def test_a_comparison_stands_in_the_address(store):
    runs = several(store)
    test = page(runs[2], runs[4])
    ticked = test.query_params["ticked"]
    again = new_session("runs")  # a session that begins with that address
    again.query_params["ticked"] = f"{ticked[0] if isinstance(ticked, list) else ticked},20200101-000000-abcd"
    sound(again.run())
    assert set(again.session_state[TICKED]) == {runs[2].id, runs[4].id} and "2 runs" in said(again)
    assert "abcd" not in str(again.query_params["ticked"])


def test_a_button_acts_on_the_run_that_was_ticked_though_another_came_before_it(store):
    run = written(store, "old")
    test = page(run)
    newer = written(store, "new")
    newer.path.rename(store.root / "29990101-000000-abcd")  # now the first row
    press(test, "Delete this run")
    assert [left.title for left in store.list()] == ["new"] and [gone.title for gone in trashed(store)] == ["old"]


def test_name_tags_and_note_are_changed_in_one_form(store):
    run = written(store, "before")
    test = page(run)
    field(test, "Name").set_value("<script>alert(1)</script>")
    field(test, "Tags").set_value("baseline, to *repeat*, Baseline")
    field(test, "Note").set_value("# no heading")
    press(test, "Save")
    assert run.notes() == Notes("<script>alert(1)</script>", ("baseline", "to *repeat*"), "# no heading")
    assert names(test) == ["<script>alert(1)</script>"]
    assert [list(tags) for tags in test.dataframe[0].value["Tags"]] == [["baseline", "to *repeat*"]]
    assert [text.value for text in test.text] == ["# no heading"]  # as text, not as Markdown
    assert field(test, "Name").value == "<script>alert(1)</script>"
    field(test, "Name").set_value("")
    assert names(press(test, "Save")) == ["before"]


def test_what_is_too_long_is_refused_with_the_limit(store):
    run = written(store, "before")
    test = page(run)
    field(test, "Name").set_value("n" * 81)
    assert [error.value for error in press(test, "Save").error] == [
        "The name has 81 characters; shorten it to at most 80."
    ]
    field(test, "Name").set_value("short")
    field(test, "Tags").set_value("t" * 41)
    assert "has 41 characters; shorten it to at most 40" in press(test, "Save").error[0].value
    assert run.notes() == Notes() and names(test) == ["before"]
    run.annotate(Notes("", tuple(map(str, range(20))), ""))
    test = page(run, written(store, "other"))
    field(test, "Tags").set_value("one more")
    assert "would be 21 tags; a run has at most 20" in press(test, "Add to all 2").error[0].value
    assert len(run.notes().tags) == 20


def test_saving_the_form_as_it_is_gives_no_new_name(store):
    run = written(store, "before")
    test = page(run)
    press(test, "Save")
    assert run.notes() == Notes()


def test_the_form_shows_what_another_tab_has_saved(store):
    run = written(store, "before")
    test = page(run)
    field(test, "Name").set_value("typed here")
    run.annotate(Notes("saved there", ("new",), ""))
    sound(test.run())
    assert field(test, "Name").value == "saved there" and field(test, "Tags").value == "new"


def test_a_run_can_be_named_while_it_trains_but_not_deleted(store):
    run = written(store, "live")
    run.write_status(run.written_status().changed(process=this_process(), state="running"))
    test = page(run)
    labels = [button.label for button in test.button]
    assert "Stop" in labels and "Save" in labels and "Delete this run" not in labels


def test_a_shipped_run_stays_as_it_is(store):
    run = written(store, "example")
    run.write_config(run.config() | {"shipped": True})
    other = written(store, "mine")
    labels = [button.label for button in page(run).button]
    assert "Save" not in labels and "Delete this run" not in labels
    test = page(run, other)
    assert "Cannot be deleted, because they came with the app: “example”." in said(test)
    press(test, "Delete this run")
    assert [left.title for left in store.list()] == ["example"]


def test_those_that_cannot_be_deleted_are_named_few_of_many(store):
    runs = [written(store, f"*live {number}*") for number in range(7)]
    for run in runs:
        run.write_status(run.written_status().changed(process=this_process(), state="running"))
    told = said(page(*runs))
    assert "Cannot be deleted, because they have not ended: “\\*live" in told and "” and 2 more." in told
    assert told.count("“\\*live") == 5


def test_what_the_accuracy_is_measured_on_is_said_where_it_is_the_test_set(store):
    written(store, "one", **{"data.validation_share": 0.1})
    assert "Watched" not in page().dataframe[0].value
    written(store, "two", **{"data.validation_share": 0.0})
    assert sorted(page().dataframe[0].value["Watched"]) == ["test set", "validation"]


@pytest.mark.parametrize("text", ["short", "W" * 80, "i" * 80, "漢" * 80, "a b " * 20, ""])
def test_a_text_that_its_cell_has_no_room_for_says_so(text):
    cut = fitted(text, 250, " (damaged)")
    kept = cut.removesuffix(" (damaged)")
    assert cut.endswith(" (damaged)")
    assert kept == text if len(text) < 10 else kept.endswith("…") and text.startswith(kept[:-1])
    assert 10 < len(fitted(text, 250)) < 60 or len(text) < 10


def test_the_whole_name_of_the_run_that_is_ticked_stands_below_the_table(store):
    run = written(store, "n" * 80)
    test = page(run)
    assert names(test)[0].endswith("n…") and f"**{'n' * 80}**" in said(test)


def test_deleting_is_undone(store):
    run = written(store, "*mine*")
    test = page(run)
    assert any("goes to the trash" in text.value for text in test.markdown)
    press(test, "Delete this run")
    assert store.list() == [] and any("\\*mine\\* is in the trash" in text.value for text in test.markdown)
    assert any("There are no runs yet" in info.value for info in test.info)
    press(test, "Undo")
    assert [back.id for back in store.list()] == [run.id] and "Undo" not in [button.label for button in test.button]


def test_several_are_deleted_and_brought_back_together(store):
    runs = several(store)
    test = page(*runs[:3])
    press(test, "Delete 3 runs")
    drawn = [item for item in test.main if item in [test.dataframe[0], button(test, "Undo")]]
    assert drawn == [test.dataframe[0], button(test, "Undo")]  # below the table, which so stays where it is
    assert len(store.list()) == 4 and "3 runs are in the trash" in said(test)
    assert len(names(press(test, "Undo"))) == 7


def test_an_undo_that_cannot_be_says_why(store):
    run = written(store, "mine")
    test = page(run)
    press(test, "Delete this run")
    run.path.mkdir()
    assert any("has a run" in error.value for error in press(test, "Undo").error)
    assert trashed(store)[0].title == "mine"


def test_a_tag_is_given_to_all_that_are_ticked_and_taken_away(store):
    runs = several(store)
    runs[0].annotate(Notes("kept", ("first",), "kept too"))
    test = page(*runs[:2])
    field(test, "Tags").set_value("second, third")
    press(test, "Add to all 2")
    assert runs[0].notes() == Notes("kept", ("first", "second", "third"), "kept too")
    assert runs[1].notes().tags == ("second", "third") and runs[2].notes().tags == ()
    field(test, "Tags").set_value("second")
    press(test, "Remove from all")
    assert runs[0].notes().tags == ("first", "third") and runs[1].notes().tags == ("third",)


def test_the_trash_is_read_when_it_is_unfolded_and_emptied_when_asked(store):
    for number in range(3):
        move_to_trash(written(store, f"gone {number}"))
    test = page()
    assert not test.dataframe and [panel.label for panel in test.expander] == ["Import a run", "Trash (3)"]
    test.session_state["trash"] = True
    sound(test.run())
    assert sorted(test.dataframe[0].value["Run"]) == ["gone 0", "gone 1", "gone 2"]
    press(test, "Bring all back")
    assert len(store.list()) == 3 and [panel.label for panel in test.expander] == ["Import a run"]
    for run in store.list():
        move_to_trash(run)
    test = page()
    test.session_state["trash"] = True
    sound(test.run())
    press(test, "Delete for good")
    assert trashed(store) == [] and not list((store.root / ".trash").iterdir())


def specs(test):
    return [json.loads(chart.proto.spec) for chart in test.get("vega_lite_chart")]


def test_curves_follow_the_options(store):
    runs = several(store)
    test = page(*runs)
    assert [layer["encoding"]["x"]["field"] for layer in specs(test)[0]["layer"]] == ["epoch"]
    test.slider(key="curves smoothing").set_value(0.9)
    test.toggle(key="curves log").set_value(True)
    test.segmented_control(key="curves over").set_value("images")
    accuracy, loss = specs(sound(test.run()))[:2]
    assert [layer["encoding"]["y"]["field"] for layer in loss["layer"]] == ["value", "smooth"]
    assert loss["layer"][0]["encoding"]["x"]["field"] == "images"
    assert loss["layer"][0]["encoding"]["y"]["scale"]["type"] == "log"
    assert accuracy["layer"][0]["encoding"]["y"]["scale"]["type"] == "linear"


def test_a_truth_value_is_on_or_off_and_a_long_name_is_cut(store):
    a, b = written(store, "n" * 80), written(store, "short", **{"model.residual": True})
    table = page(a, b).dataframe[-1].value
    assert table.index.tolist() == ["Residual blocks"] and sorted(table.iloc[0]) == ["off", "on"]
    assert any(name.startswith("nnn") and name.endswith("…") and len(name) < 60 for name in table.columns)


def test_of_many_runs_each_is_a_line_of_the_differences(store):
    runs = several(store)
    table = page(*runs).dataframe[1].value
    assert len(table) == 7 and "Learning rate" in table.columns and table.columns[0] == "Best accuracy"


def test_settings_that_go_with_accuracy_are_told_of_one_data_set_alone(store):
    runs = several(store, 23)
    assert "With runs of one dataset" in said(page(*runs))
    test = page(*runs[3:])
    assert "a higher “Learning rate”" in said(test).replace("\\", "")
    assert len(specs(test)) == 3
    assert "With 8 finished runs or more" in said(page(*runs[3:8]))


def test_a_state_that_nobody_knows_is_shown_as_it_is(store):
    runs = several(store)
    runs[0].write_status(runs[0].written_status().changed(state="dreaming"))
    assert names(page(state="dreaming")) == ["Run 0"]


def test_damaged_runs_stand_beside_the_others_and_can_be_deleted(store):
    run, other = written(store, "torn"), written(store, "whole")
    (run.path / "config.json").write_text("{")
    (other.path / "status.json").write_text('{"best_val_accuracy": "x"}')
    test = page(run, other)
    assert all(name.endswith("(damaged)") for name in names(test))
    test = page(run)
    assert any("You can only delete" in error.value for error in test.error)
    press(test, "Delete this run")
    assert [left.id for left in store.list()] == [other.id]


def test_notes_that_are_no_notes_do_not_stop_the_page(store):
    run = written(store, "mine")
    os.mkfifo(run.path / "notes.json")  # reading it would wait for ever
    test = page(run)
    assert names(test) == ["mine"]
    field(test, "Name").set_value("other")
    assert any("could not be written" in error.value for error in press(test, "Save").error)


def test_other_pages_call_a_run_by_its_new_name(store):
    run = written(store, "before")
    run.annotate(Notes("after", (), ""))
    assert any("after" in heading.value for heading in opened("train", run.id).subheader)


def tables_before_and_after():
    """The Runs page with one run, drawn again after another has come."""
    test = opened("runs")
    before = [frame.proto.id for frame in test.dataframe]
    RunStore().create(build_settings("quick", "digits", TINY))
    return before, [frame.proto.id for frame in test.run().dataframe]


def test_a_selection_does_not_move_to_another_run_when_one_is_added():
    """Ticks are row numbers, so a table of other rows is another table, with no tick."""
    finished(RunStore())
    before, after = tables_before_and_after()
    assert before and after and before[0] != after[0]


def test_the_table_names_the_dataset_of_the_settings():
    store = RunStore()
    run = store.create(build_settings("quick", None, {"data.dataset": "/home/me/birds.zip"}))
    run.write_status(run.status().changed(state="failed", error="There is no dataset.", error_kind="data"))
    assert opened("runs").dataframe[0].value["Dataset"].tolist() == ["birds.zip"]


def test_differing_settings_have_the_labels_of_the_form(monkeypatch):
    for rate in (0.01, 0.02):
        finished(RunStore(), **{"training.lr": rate})
    monkeypatch.setattr(table, "run_table", lambda runs: runs)
    assert opened("runs").dataframe[-1].value.index.tolist() == ["Learning rate"]
