"""The Evaluate page: every view, with few experts, without the images and while a run trains, and what its widgets do."""

from types import SimpleNamespace

import pytest

from expertnet.data.own.versions import open_version
from expertnet.evaluation.compare import in_common
from expertnet.evaluation.outputs import cached_outputs, measure_outputs
from expertnet.evaluation.own_image import find_own_image
from expertnet.inference.predictor import load_predictor
from expertnet.routing.effects import load_part
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop
from expertnet.ui.evaluate.subject import Subject, report_button
from expertnet.utils.processes import this_process
from tests.support.opening import TINY, finished, opened
from tests.support.own import flowers
from tests.support.settling import settled, shown_text

VIEWS = ["Results", "Calibration", "Robustness", "Compare"]


def view_of(run, view, **address):
    """A view with the results of its background tasks."""
    return settled(opened("evaluate", run.id, view=view, **address))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("overrides", [{}, {"model.num_experts": 1}, {"data.validation_share": 0}])
def test_every_view_opens(view, overrides):
    store = RunStore()
    run, _ = finished(store, **overrides), finished(store, **overrides)
    test = view_of(run, view)
    assert test.segmented_control(key="view").value == view and not test.error
    assert test.get("vega_lite_chart")
    caveat = "held out no validation images" if overrides.get("data.validation_share") == 0 else "chose the epoch"
    assert caveat in shown_text(test)


def test_the_results_are_of_the_images_that_were_chosen_and_are_kept():
    run = finished(RunStore())
    test = view_of(run, "Results")
    assert "143 validation images" in shown_text(test) and test.metric[0].label == "Accuracy on validation images"
    test.segmented_control(key="images").set_value("Test images").run()
    settled(test)
    assert "359 test images" in shown_text(test) and "chose the epoch" not in shown_text(test)
    accuracy = (cached_outputs(run, "test").predictions == cached_outputs(run, "test").labels).double().mean().item()
    assert test.metric[0].value == f"{100 * accuracy:.1f}%" and test.metric[0].label == "Accuracy on test images"


def test_a_class_and_an_answer_open_their_images():
    run = finished(RunStore())
    view_of(run, "Results", images="Test images")
    outputs = cached_outputs(run, "test")
    wrong = outputs.places(wrong=True)
    label, answer = int(outputs.labels[wrong[0]]), int(outputs.predictions[wrong[0]])
    test = view_of(run, "Results", images="Test images", **{"class": str(label), "answer": str(answer)})
    count = len(outputs.places(label, answer))
    assert f"{count} test image" in shown_text(test)
    assert f"Test image {int(outputs.places(label, answer)[0]) + 1}: {label}" in shown_text(test)
    test.selectbox(key="answer").set_value("Any answer").run()
    assert f"{int((outputs.labels == label).sum())} test images" in shown_text(test)
    test.selectbox(key="class").set_value("Any class").run()
    assert "359 test images" in shown_text(test)


def test_a_class_that_the_next_run_does_not_have_is_not_asked_for():
    test = view_of(finished(RunStore()), "Results", **{"class": "<b>nope</b>", "answer": "nope"})
    assert test.selectbox(key="class").value == "Any class" and test.selectbox(key="answer").value == "Wrong answers"


def test_results_of_a_running_training_are_shown_and_not_kept():
    run = finished(RunStore())
    run.write_status(
        run.status().changed(process=this_process(), state="running", activity="Training", step=3, steps=9)
    )
    test = view_of(run, "Results")
    assert not test.error and test.metric
    assert not (run.path / "outputs-validation-best.safetensors").exists()


def test_without_the_images_kept_results_still_show(tmp_path, monkeypatch):
    run = finished(RunStore())
    view_of(run, "Calibration", images="Test images")
    config = run.config()
    run.write_config(config | {"data": config["data"] | {"dataset": str(tmp_path / "gone.zip")}})
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "empty"))
    for view in ("Results", "Calibration"):
        test = view_of(run, view, images="Test images")
        assert "are not on this computer" in shown_text(test) and test.get("vega_lite_chart") and not test.error
    assert "needs the images" in shown_text(view_of(run, "Robustness", images="Test images"))


def test_two_runs_are_compared_on_the_same_images():
    store = RunStore()
    run, other = finished(store), finished(store, seed=1)
    mine, _ = in_common(load_part(run, "validation"), load_part(other, "validation"))
    assert f"compared on {len(mine)} images that both have, of 143 and 143" in shown_text(view_of(run, "Compare"))
    test = view_of(run, "Compare", images="Test images")
    assert test.selectbox[1].value == other.id or other.id in test.query_params["with"]
    assert "only the first is right on" in shown_text(test)


def test_the_report_is_asked_to_compare_with_the_run_that_the_page_compares_with(monkeypatch):
    store, compared = RunStore(), []
    run, other, small = finished(store), finished(store, seed=1), finished(store, **{"data.image_size": 16})
    monkeypatch.setattr(
        "expertnet.ui.evaluate.subject.report_button", lambda _, subject: compared.append(subject.other)
    )
    for view, chosen, expected in (
        ("Compare", {}, other),
        ("Compare", {"with": other.id}, other),
        ("Results", {"with": other.id}, other),
        ("Results", {"with": small.id}, None),  # other images
        ("Results", {"with": run.id}, None),
        ("Results", {}, None),
    ):
        view_of(run, view, **chosen)
        assert (compared[-1] and compared[-1].id) == (expected and expected.id)


def test_the_report_on_the_page_compares_with_the_second_network_if_it_can():
    store, made = RunStore(), []
    run, other, small = finished(store), finished(store, seed=1), finished(store, **{"data.image_size": 16})
    outputs, split = measure_outputs(run, "test"), load_part(run, "test")
    row = SimpleNamespace(download_button=lambda _, report, *__, **___: made.append(report()))
    for second in (other, small, None):
        report_button(row, Subject(run, "best", load_predictor(run), outputs, "test", split, second))
    assert [text.count("Comparison with a second network") for text in made] == [1, 0, 0]
    assert f"The second network is run {other.id}" in made[0]


def test_a_wrong_label_is_mended_where_it_is_seen_and_can_be_undone(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    dataset = flowers(count=10)
    run = RunStore().create(build_settings("quick", dataset, TINY))
    run_training(run, Stop())
    test = view_of(run, "Results", images="Test images", answer="Any answer")
    (place, *_) = cached_outputs(run, "test").places().tolist()
    found = find_own_image(run, "test", place)
    other = "tulip" if found.now == "rose" else "rose"
    assert test.selectbox(key=f"class of {found.key} {found.now}").options == [other]
    test.button(key="relabel").click().run()
    assert find_own_image(run, "test", place).now == other and open_version(dataset).number == 3
    assert f"Now in “{other}”" in shown_text(test) and f"1 image moved from “{found.now}” to “{other}”" in shown_text(
        test
    )
    test.button(key="undo label").click().run()
    assert find_own_image(run, "test", place) == found and "Now in" not in shown_text(test)
    test.button(key="drop").click().run()
    assert find_own_image(run, "test", place).now is None and "removed from the dataset" in shown_text(test)
    assert "relabel" not in [button.key for button in test.button]
