"""The form of the Train page: settings, and the URL."""

import os

import pytest
import torch

from expertnet.store.run_store import RunStore
from expertnet.training.manager import manager
from tests.support.form import form, values
from tests.support.opening import finished, opened, query_of


def test_the_form_marks_changed_settings_and_shows_the_command():
    test = form()
    test.number_input(key="field 1 training.epochs").set_value(3).run()
    assert test.number_input(key="field 1 training.epochs").label == "● Epochs (preset: 12)"
    test.session_state["details"] = True  # unfolded
    assert any("--set training.epochs=3" in code.value for code in test.run().code)


def test_the_details_compare_the_cost_of_image_sizes():
    test = form()
    test.session_state["details"] = True  # unfolded
    table = test.run().dataframe[0].value
    assert table["Image size"].tolist() == ["32 pixels", "64 pixels", "96 pixels", "128 pixels"]
    assert table["Relative cost"].tolist() == ["1x", "4x", "9x", "16x"]
    test.number_input(key="field 1 data.image_size").set_value(48)
    test.number_input(key="field 1 data.cutout").set_value(40)
    table = test.run().dataframe[0].value  # images of 32 pixels are smaller than the cutout
    assert table["Image size"].tolist() == ["48 pixels", "64 pixels", "96 pixels", "128 pixels"]
    assert table["Relative cost"].tolist()[0] == "1x"


def test_a_preset_wins_over_what_was_typed_when_it_was_clicked():
    """Both changes arrive together, so the form has been filled when the second one is copied to it."""
    test = form()
    test.number_input(key="field 1 model.reduction").set_value(4)
    test.number_input(key="field 1 training.epochs").set_value(3)
    test.segmented_control(key="field 1 preset").set_value("report").run()
    assert not test.exception
    assert (values(test)["training.epochs"], values(test)["model.reduction"]) == (100, 8)
    assert test.session_state["form"].preset == "report"


def test_a_changed_toggle_is_marked_without_the_preset():
    test = form()
    test.toggle(key="field 1 model.residual").set_value(True).run()
    assert test.toggle(key="field 1 model.residual").label == "● Residual blocks"
    test.selectbox(key="field 1 model.routing").set_value("uniform").run()
    assert test.selectbox(key="field 1 model.routing").label == "● Routing (preset: learned)"


def test_a_computer_with_several_gpus_offers_them_among_the_first_settings(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    test = form()
    labels = [field.label for field in test.number_input]
    assert labels.index("GPUs") < labels.index("Router reduction")
    test.number_input(key="field 1 hardware.processes").set_value(2)
    test.session_state["details"] = True  # unfolded
    assert any("--set hardware.processes=2" in code.value for code in test.run().code)


def test_on_a_cluster_the_gpus_of_this_computer_are_not_offered(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert {"cuda:0", "cuda:1"} <= set(form().selectbox(key="field 1 hardware.device").options)
    monkeypatch.setenv("EXPERTNET_EXECUTOR", "ray")
    monkeypatch.setenv("EXPERTNET_RUNS", f"{os.environ['EXPERTNET_RUNS']} on Ray")  # another store has another manager
    test = form()
    assert test.selectbox(key="field 1 hardware.device").options == ["auto", "cpu", "cuda"]
    assert "GPUs" not in [field.label for field in test.number_input]


@pytest.mark.parametrize(
    ("key", "label", "value", "allowed"),
    [
        ("training.epochs", "Epochs", 0, "between 1 and 10000"),
        ("training.epochs", "Epochs", 2.7, "a whole number"),
        ("training.epochs", "Epochs", 1e9, "between 1 and 10000"),
        ("seed", "Seed", 2.0**70, "between 0 and 2147483647"),
        ("model.num_blocks", "Blocks", 10**15, "between 1 and 64"),
        ("model.num_blocks", "Blocks", -3, "between 1 and 64"),
        ("training.lr", "Learning rate", 0.0, "greater than 0"),
    ],
)
def test_an_invalid_number_is_refused_with_the_allowed_values(key, label, value, allowed):
    test = form()
    test.number_input(key=f"field 1 {key}").set_value(value).run()
    (warning,) = test.warning
    assert f"“{label}” must be" in warning.value and allowed in warning.value.replace("\\", "")
    at_fields = [mark.value.replace("\\", "") for mark in test.markdown if ":red[" in mark.value]
    assert [allowed in text for text in at_fields] == [True]
    assert test.button(key="start").disabled


def test_every_invalid_setting_is_marked():
    test = form()
    test.number_input(key="field 1 training.epochs").set_value(0).run()
    test.number_input(key="field 1 model.channels").set_value(-8).run()
    assert sum(":red[" in mark.value for mark in test.markdown) == 2
    assert ["1 more problem is marked in the form" in warning.value for warning in test.warning] == [True]


def test_settings_that_contradict_each_other_block_the_start():
    test = form()
    test.number_input(key="field 1 data.cutout").set_value(64).run()
    warnings = [warning.value.replace("\\", "") for warning in test.warning]
    assert warnings == ["“Cutout” must be at most “Image size” (32). You entered 64."]
    assert test.button(key="start").disabled


def test_fewer_blocks_for_a_moment_lose_no_pooling():
    test = form()
    blocks = test.number_input(key="field 1 model.num_blocks")
    blocks.set_value(1).run()
    warnings = ["“Pool after blocks” must list blocks between 1 and 1" in warning.value for warning in test.warning]
    assert warnings == [True]
    blocks.set_value(4).run()
    assert list(test.multiselect(key="field 1 model.pool_after").value) == [1, 2] and not test.warning
    assert not test.button(key="start").disabled


def test_typed_settings_survive_a_reload_and_leave_the_rest_of_the_url():
    test = form("none", view="x")
    assert query_of(test) == {"run": "none", "view": "x"}
    test.segmented_control(key="field 1 preset").set_value("report").run()
    test.number_input(key="field 2 training.epochs").set_value(3).run()
    test.number_input(key="field 2 training.lr").set_value(0.0015).run()
    test.multiselect(key="field 2 model.pool_after").set_value([2, 4]).run()
    test.text_input(key="field 2 model.widths").set_value("8 16 ²").run()
    test.number_input(key="field 2 data.cutout").set_value(64).run()  # invalid, like the widths
    query = query_of(test)
    assert query == {
        "run": "none",
        "view": "x",
        "preset": "report",
        "dataset": "digits",
        "training.epochs": "3",
        "training.lr": "0.0015",
        "model.pool_after": "2,4",
        "model.widths": "8,16,²",
        "data.cutout": "64",
    }
    again = form(**query)
    assert values(again) == values(test) | {"model.widths": "", "data.cutout": 0}
    assert ["model.widths" in warning.value.replace("\\", "") for warning in again.warning] == [True]
    again.number_input(key="field 1 training.epochs").set_value(4).run()
    assert not again.warning and query_of(again)["training.epochs"] == "4"


def test_settings_copied_from_a_run_are_in_the_url():
    run = finished(RunStore(), **{"training.lr": 1e-9})  # smaller than the step of its field
    test = form(run.id).button(key="from").click().run()
    assert not test.exception
    query = query_of(test)
    assert query["run"] == "none" and query["training.lr"] == "1e-09" and query["data.image_size"] == "8"
    assert values(form(**query)) == values(test)
    test.button(key="reset").click().run()
    assert query_of(test) == {"run": "none"}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"training.lr": "fast"}, "`training.lr` must be a number greater than 0 and at most 10. You entered 'fast'."),
        ({"training.epohcs": "3"}, "Did you mean training.epochs?"),
        ({"preset": "<script>alert(1)</script>"}, "There is no preset"),
        ({"model.num_blocks": "9" * 5000}, "model.num_blocks"),
        ({"model.pool_after": "7"}, "model.pool_after"),
        ({"dataset": ""}, "You entered nothing."),
        ({"dataset": "x" * 9000}, "too long"),
        ({"seed": "-1"}, "seed"),
        ({"hardware.device": "cuda:99' + alert(1) + '"}, "hardware.device"),
    ],
)
def test_invalid_settings_in_the_url_get_one_message_and_the_others_count(query, says):
    test = form(**query, **{"training.batch_size": "32"})
    (warning,) = test.warning
    assert says in warning.value.replace("\\", "") and len(warning.value) < 500
    assert values(test)["training.batch_size"] == (128 if "too long" in says else 32)
    assert set(query_of(test)) <= {"preset", "dataset", "training.batch_size"}
    assert not test.button(key="start").disabled


def test_the_digits_get_a_warning_only_if_steps_are_too_few_to_learn_them():
    test = form()
    for epochs, warns in ((12, False), (8, False), (1, True)):
        test.number_input(key="field 1 training.epochs").set_value(epochs).run()
        assert ("more steps" in [button.key for button in test.button]) == warns
    test.segmented_control(key="field 1 preset").set_value("fast").run()  # 12 steps, of all images each
    assert any("12 steps" in mark.value for mark in test.markdown)
    assert "more steps" not in [button.key for button in test.button]


def test_a_second_press_within_seconds_asks_before_it_queues_a_duplicate():
    manager().pause(True)
    test = opened("train")
    test.button(key="start").click().run()
    test.button(key="start").click().run()
    assert len(manager().waiting()) == 1
    test.button(key="start again").click().run()
    assert len(manager().waiting()) == 2
    assert "start again" not in [button.key for button in test.button]


def test_a_run_to_start_from_brings_its_network_and_random_weights_bring_back_the_presets():
    run = finished(RunStore())
    test = form("none")
    field = test.selectbox(key="field 1 model.start_from")
    assert field.options == ["Random weights", run.title]
    field.set_value(run.id).run()
    assert values(test)["model.channels"] == 8 and values(test)["data.image_size"] == 8
    assert any("Only the classifier learns" in caption.value for caption in test.caption)
    assert not test.button(key="start").disabled and query_of(test)["model.start_from"] == run.id
    test.number_input(key="field 2 model.channels").set_value(16).run()
    assert test.button(key="start").disabled
    assert ["its “Channels” is 8, and yours is 16" in warning.value for warning in test.warning] == [True]
    test.selectbox(key="field 2 model.start_from").set_value("").run()
    assert values(test)["model.channels"] == 32 and "model.start_from" not in query_of(test)
    assert not test.button(key="start").disabled
