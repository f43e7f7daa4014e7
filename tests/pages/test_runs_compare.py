"""Runs that are compared: which, in what order, and with which curves and differences."""

import json
from types import SimpleNamespace

import pytest

from expertnet.charts.base import TEXT
from expertnet.store.notes import Notes
from expertnet.store.run_store import RunStore
from expertnet.ui import choices
from expertnet.ui.runs import state
from expertnet.ui.runs.state import SELECTED
from tests.support.opening import finished, opened, written
from tests.support.runs_page import button, names, page, said, several, sound, specs


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


def test_differing_settings_have_the_labels_of_the_form():
    runs = [finished(RunStore(), **{"training.lr": rate}) for rate in (0.01, 0.02)]
    assert page(*runs).dataframe[-1].value.index.tolist() == ["Learning rate"]
