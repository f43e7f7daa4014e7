"""The Runs page: find, select, name, delete and compare runs."""

import json
import os
from types import SimpleNamespace

import pytest

from expertnet.charts.base import TEXT
from expertnet.settings.fields import build_settings
from expertnet.store.notes import Notes
from expertnet.store.run_store import RunStore
from expertnet.store.trash import move_to_trash, trashed
from expertnet.training.trackers.record import Tracked, write_tracked
from expertnet.ui import choices
from expertnet.ui.runs import state
from expertnet.ui.runs.state import SELECTED
from expertnet.ui.runs.table import fitted
from expertnet.utils.processes import this_process
from tests.support.opening import TINY, finished, new_session, opened, to_page, written


@pytest.fixture
def store():
    return RunStore()


def page(*selected, **query):
    """The Runs page with these runs selected."""
    test = new_session("runs")
    for name, value in query.items():
        test.query_params[name] = value
    test.session_state[SELECTED] = tuple(run.id for run in selected)
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


def test_a_comparison_survives_another_order_and_a_filter_that_hides_its_runs(store):
    runs = several(store)
    test = page(runs[2], runs[0])
    test.selectbox(key="order").set_value("name")
    test.multiselect(key="dataset").set_value(["Digits"])
    assert names(sound(test.run())) == ["Run 2", "Run 0", "Run 3", "Run 4", "Run 5", "Run 6"]  # which have Digits
    assert button(test, "Delete 2 runs")
    test.text_input(key="q").set_value("nothing like this")
    assert names(sound(test.run())) == ["Run 2", "Run 0"] and "No run matches the filters." in said(test)
    assert test.session_state[SELECTED] == (runs[2].id, runs[0].id)


def test_the_multiselect_compares_and_ticks(store):
    runs = several(store)
    test = page()
    assert not specs(test)
    test.multiselect(key="compared").set_value([runs[5].id, runs[1].id])
    sound(test.run())
    assert test.query_params["selected"] == f"{runs[5].id},{runs[1].id}" and len(specs(test)) == 2
    assert all(spec["config"]["axis"]["titleColor"] == TEXT for spec in specs(test))  # not Altair's gray
    table = test.dataframe[0]
    ticked = json.loads(table.proto.selection_state)["selection"]["rows"]
    assert list(table.value) == ["Line", "Run", "Best", "Test"]
    assert [names(test)[place] for place in ticked] == ["Run 5", "Run 1"] and ticked == [0, 1]
    first, second, *others = table.value["Line"]
    assert first and second and first != second and set(others) == {""}
    test.multiselect(key="compared").set_value([])
    assert "selected" not in sound(test.run()).query_params and not specs(test)


def test_the_browser_gets_the_new_name_of_a_compared_run(store):
    runs = several(store, 2)
    test = page(*runs)
    runs[0].annotate(Notes("Renamed", (), ""))
    for is_sent in (True, False):
        sent = sound(test.run()).multiselect(key="compared").proto
        assert sent.set_value is is_sent and list(sent.raw_values) == ["Renamed", "Run 1"] * is_sent
        assert test.session_state[SELECTED] == (runs[0].id, runs[1].id)


def test_a_comparison_is_in_the_url(store):
    ids = {run.id for run in several(store)[2:4]}
    test = sound(opened("runs", selected=",".join([*ids, "20200101-000000-abcd"])))
    assert set(test.session_state[SELECTED]) == ids and button(test, "Delete 2 runs")
    assert all(run_id in str(test.query_params["selected"]) for run_id in ids)
    assert "abcd" not in str(test.query_params["selected"])


@pytest.mark.parametrize("most", [1, 2])
def test_back_keeps_a_comparison_that_is_too_long_for_the_url(store, monkeypatch, most):
    monkeypatch.setattr(state, "MOST_IN_URL", most)
    test = page(*several(store, 2))
    assert ("selected" in test.query_params) is (most == 2)
    test.query_params.clear()
    monkeypatch.setattr(choices, "get_script_run_ctx", lambda: SimpleNamespace(is_history_navigation=True))
    assert len(sound(test.run()).session_state[SELECTED]) == (2 if most == 1 else 0)


def test_a_button_acts_on_the_selected_run_although_another_was_added_above_it(store):
    run = written(store, "old")
    test = page(open=run.id)
    newer = written(store, "new")
    newer.path.rename(store.root / "29990101-000000-abcd")  # now the first row
    press(test, "Delete this run")
    assert [left.title for left in store.list()] == ["new"] and [gone.title for gone in trashed(store)] == ["old"]


def test_one_form_changes_name_tags_and_note(store):
    run = written(store, "before")
    test = page(open=run.id)
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


def test_text_that_is_too_long_is_refused_with_the_limit(store):
    run = written(store, "before")
    test = page(open=run.id)
    field(test, "Name").set_value("n" * 81)
    assert [error.value for error in press(test, "Save").error] == [
        "The name has 81 characters. Shorten it to at most 80."
    ]
    field(test, "Name").set_value("short")
    field(test, "Tags").set_value("t" * 41)
    assert "has 41 characters. Shorten it to at most 40" in press(test, "Save").error[0].value
    assert run.notes() == Notes() and names(test) == ["before"]
    run.annotate(Notes("", tuple(map(str, range(20))), ""))
    test = page(run, written(store, "other"))
    field(test, "Tags").set_value("one more")
    assert "A run can have at most 20 tags. This would make 21." in press(test, "Add to all").error[0].value
    assert len(run.notes().tags) == 20


def test_saving_the_form_as_it_is_gives_no_new_name(store):
    run = written(store, "before")
    test = page(open=run.id)
    press(test, "Save")
    assert run.notes() == Notes()


def test_the_form_shows_what_another_tab_has_saved(store):
    run = written(store, "before")
    test = page(open=run.id)
    field(test, "Name").set_value("typed here")
    run.annotate(Notes("saved there", ("new",), ""))
    sound(test.run())
    assert field(test, "Name").value == "saved there" and field(test, "Tags").value == "new"


def test_a_run_can_be_named_while_it_trains_but_not_deleted(store):
    run = written(store, "live")
    run.write_status(run.written_status().changed(process=this_process(), state="running"))
    test = page(open=run.id)
    labels = [button.label for button in test.button]
    assert "Stop" in labels and "Save" in labels and "Delete this run" not in labels


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


def test_the_drawer_shows_the_full_name_the_curves_and_the_settings(store):
    run = written(store, "n" * 80, **{"training.lr": 0.0125})
    write_tracked(run.path, "mlflow", Tracked(url="http://here:5000/#/runs/1", error="no answer *yet*"))
    write_tracked(run.path, "wandb", Tracked(url="javascript:alert(1)", command="wandb sync here"))
    assert names(page())[0].endswith("n…")
    test = page(open=run.id)
    assert [dialog.proto.dialog.title for dialog in test.get("dialog")] == ["n" * 80]
    assert [spec["title"] for spec in specs(test)] == ["Accuracy", "Loss"]
    settings = test.dataframe[1].value.set_index("Setting")["Value"]
    assert settings["Learning rate"] == "0.0125"
    assert [link.proto.url for link in test.get("link_button")] == ["http://here:5000/#/runs/1"]
    assert "wandb sync here" in [code.value for code in test.code]
    assert "MLflow could not be reached: no answer \\*yet\\*" in [caption.value for caption in test.caption]


def test_a_run_in_the_url_that_is_gone_is_named(store):
    written(store, "one")
    test = page(open="20200101-000000-abcd")
    assert ["no run at this URL" in toast.value for toast in test.toast] == [True] and "open" not in test.query_params


def test_the_drawer_stays_open_if_the_browser_sends_the_url_from_before_and_is_closed_after_another_page(store):
    run = written(store, "one")
    test = press(page(run), "Open run")

    def drawers():
        return len(sound(test.run()).get("dialog"))

    del test.query_params["open"]
    assert drawers() == 1 and test.query_params["open"] == run.id
    for name in ("train", "runs"):
        to_page(test, name)
        test.query_params.clear()
        assert drawers() == 0


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


def test_two_runs_whose_routing_fits_lead_to_its_comparison(store):
    one, other, untrained = finished(store), finished(store), written(store)

    def links(*runs):
        return [link.proto for link in page(*runs).get("page_link") if link.proto.label == "Compare routing"]

    (link,) = links(other, one)
    assert link.query_string == f"run={other.id}&view=Compare&with={one.id}"
    assert not links(one, untrained)
    other.write_config(other.config() | {"model": other.config()["model"] | {"num_experts": 2}})
    assert not links(other, one)


def test_a_toggle_is_on_or_off_and_a_long_name_is_cut(store):
    a, b = written(store, "n" * 80), written(store, "short", **{"model.residual": True})
    table = page(a, b).dataframe[-1].value
    assert table.index.tolist() == ["Residual blocks"] and sorted(table.iloc[0]) == ["off", "on"]
    assert any(name.startswith("nnn") and name.endswith("…") and len(name) < 60 for name in table.columns)


def test_with_many_runs_each_is_a_row_of_the_differences(store):
    runs = several(store)
    table = page(*runs).dataframe[1].value
    assert len(table) == 7 and "Learning rate" in table.columns and table.columns[0] == "Best accuracy"


def test_settings_are_related_to_accuracy_only_within_one_dataset(store):
    runs = several(store, 23)
    assert "Compare runs of a single dataset" in said(page(*runs))
    test = page(*runs[3:])
    assert "a higher “Learning rate”" in said(test).replace("\\", "")
    assert len(specs(test)) == 3
    assert "Compare at least 8 finished runs" in said(page(*runs[3:8]))
    assert len(specs(page(*runs[3:7]))) == 2  # four runs are too few for parallel coordinates


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


def test_differing_settings_have_the_labels_of_the_form():
    runs = [finished(RunStore(), **{"training.lr": rate}) for rate in (0.01, 0.02)]
    assert page(*runs).dataframe[-1].value.index.tolist() == ["Learning rate"]
