"""The view What if: changed routing weights, and experts that are switched off."""

import io
import re

import pytest
from PIL import Image

from expertnet.store.run_store import RunStore
from expertnet.utils.processes import this_process
from tests.support.experts import MEASURE_ABLATIONS, click, verdict, view_of
from tests.support.opening import finished
from tests.support.settling import settled
from tests.support.settling import shown_text as text


def test_sliders_keep_the_sum_of_the_weights_and_change_the_probabilities():
    test = view_of(finished(RunStore()), "What if")

    def weights():
        return [slider.value for slider in test.slider if slider.label.startswith("Expert ")]

    def bars():
        return next(
            chart.proto.spec for chart in test.get("vega_lite_chart") if "Class probabilities" in chart.proto.spec
        )

    def answer():
        return next(part.value for part in test.markdown if part.value.startswith("Answer: "))

    assert sum(weights()) == pytest.approx(1, abs=0.01)
    before, learned = bars(), answer()
    next(slider for slider in test.slider if slider.label == "Expert 1").set_value(0.9).run()
    assert weights()[0] == pytest.approx(0.9)
    assert sum(weights()) == pytest.approx(1, abs=0.01)
    assert bars() != before and answer().endswith(f"; before: {learned.removeprefix('Answer: ')}")
    click(test, "Use expert 1 of block 2 alone")
    assert weights() == pytest.approx([1, 0, 0])
    assert [button.disabled for button in test.button if button.label.startswith("Switch off expert")] == [
        True,
        False,
        False,
    ]
    click(test, "Reset weights")
    assert bars() == before and answer() == learned


def test_changed_weights_are_stored_in_the_url():
    run = finished(RunStore())
    test = view_of(run, "What if")
    assert "weights" not in test.query_params
    click(test, "Use expert 1 of block 2 alone")
    again = view_of(run, "What if", weights=test.query_params["weights"])
    assert [slider.value for slider in again.slider if slider.label.startswith("Expert ")] == [1, 0, 0]
    again.number_input(key="image").set_value(2).run()  # which has no changed weights
    assert "weights" not in again.query_params
    click(test, "Reset weights")
    assert "weights" not in test.query_params


def test_ablations_are_measured_in_the_background_and_shown():
    run = finished(RunStore())
    test = view_of(run, "What if")
    click(test, MEASURE_ABLATIONS)
    settled(test)
    assert not test.error
    assert "per-image routing: " in text(test) and "on the 143 validation images" in text(test)
    assert (run.path / "routings-validation-best.safetensors").is_file()
    assert "as shipped" in verdict(test) and any("“As shipped” is" in caption.value for caption in test.caption)

    def assert_worst_is_selected(what):
        (shown,) = re.findall(rf"With expert (\d) of block (\d) {what}, the answer changes", text(test))
        table = next(each.value for each in test.dataframe if "utilization" in each.value)
        worst = table.iloc[int(table["change"].argmin())]
        assert tuple(map(int, shown)) == (worst["expert"], worst["block"])

    assert_worst_is_selected("switched off")
    test.segmented_control(key="ablation").set_value("Replaced by its mean").run()
    assert_worst_is_selected("replaced by its mean")


def test_changes_are_measured_on_the_test_images_on_request_and_alone_if_no_others_were_held_out():
    run = finished(RunStore())
    test = view_of(run, "What if")
    test.segmented_control(key="measured on").set_value("Test images").run()
    settled(test)
    click(test, MEASURE_ABLATIONS)
    settled(test)
    assert "accuracy on the test images" in text(test)
    assert "on the 359 test images" in text(test) and (run.path / "ablations-test-best.safetensors").is_file()
    test = view_of(finished(RunStore(), **{"data.validation_share": 0}), "What if")
    assert "held out no validation images" in text(test) and not test.exception
    one = finished(RunStore(), **{"model.num_blocks": 1, "model.num_experts": 2})
    assert "No batch norm comes after the only block" in text(view_of(one, "What if"))
    kernels = finished(RunStore(), **{"model.num_blocks": 1, "model.num_experts": 2, "model.mixing": "kernels"})
    assert "No batch norm" not in text(view_of(kernels, "What if"))  # its own comes after the mix


def test_what_was_measured_while_the_run_trains_is_known_to_the_card_above():
    run = finished(RunStore())
    run.write_status(run.written_status().changed(process=this_process(), state="running", epochs=9))
    test = view_of(run, "What if")
    assert "has not been measured" in verdict(test)
    click(test, "Measure whether the network relies on routing")
    settled(test)
    assert "per-image routing: " in text(test) and "has not been measured" not in verdict(test)
    assert not (run.path / "routings-validation-best.safetensors").exists()  # its best epoch may change


def test_another_upload_of_the_same_name_begins_with_its_own_weights():
    test = view_of(finished(RunStore()), "What if")
    test.segmented_control(key="source").set_value("Upload").run()

    def upload(gray):
        file = io.BytesIO()
        Image.new("L", (8, 8), gray).save(file, "PNG")
        test.file_uploader(key="upload").set_value([("image.png", file.getvalue(), "image/png")]).run()

    upload(10)
    click(test, "Use expert 1 of block 2 alone")
    assert "Changed blocks: 2." in text(test)
    upload(250)
    assert "Changed blocks" not in text(test) and "weights" not in test.query_params
    upload(10)
    assert "Changed blocks: 2." in text(test)


def test_a_measurement_without_the_training_images_says_so(tmp_path, monkeypatch):
    run = finished(RunStore())
    config = run.config()
    run.write_config(config | {"data": config["data"] | {"dataset": str(tmp_path / "gone.zip")}})
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "empty"))
    assert text(view_of(run, "What if")).count("This needs the images that the network was trained on") == 3


def test_what_if_begins_with_all_images():
    test = view_of(finished(RunStore()), "What if")
    assert [heading.value for heading in test.subheader] == ["All images", "One image"]
