"""Every view of the routing lab opens: on a small network, one without routing, one whose images are gone, and a run in progress."""

import re

import pytest
from PIL import Image

from expertnet.inference.routing_cache import cached_routing
from expertnet.store.run_store import RunStore
from expertnet.ui import tasks
from expertnet.utils.processes import this_process
from tests.support.opening import finished, opened
from tests.support.small import LIMIT

VIEWS = ["One image", "Classes", "Experts", "What if", "Through training", "Compare"]


def looked_at(run, view, **address):
    """The view, once what it computes in the background is there."""
    test = opened("experts", run.id, view=view, **address)
    return settled(test)


def settled(test):
    """The page once its tasks, each of which may call for another, have ended."""
    for _ in range(3):
        tasks.join_all(LIMIT)
        test.run()
    assert not test.exception, [error.value for error in test.exception]
    return test


def words(test):
    """The text of the page, without escapes."""
    shown = (*test.markdown, *test.caption, *test.info, *test.warning, *test.error)
    return " ".join(part.value for part in shown).replace("\\", "")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("overrides", [{}, {"model.num_experts": 1}, {"model.num_blocks": 1, "model.num_experts": 2}])
def test_every_view_opens(view, overrides):
    store = RunStore()
    run, _ = finished(store, **overrides), finished(store, **overrides | {"seed": 1})
    test = looked_at(run, view)
    assert test.segmented_control(key="view").value == view
    assert not test.error


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_a_run_that_trains_shows_its_best_so_far(view):
    run = finished(RunStore())
    run.write_status(
        run.status().changed(process=this_process(), state="running", activity="Training", step=3, steps=9)
    )
    test = looked_at(run, view)
    assert not test.error
    assert not (run.path / "routing-best.safetensors").exists()


@pytest.mark.parametrize("view", VIEWS)
def test_without_the_images_what_lies_in_the_run_still_shows(view, monkeypatch, tmp_path):
    run = finished(RunStore())
    looked_at(run, "Classes")  # keeps the routing
    config = run.config()
    run.write_config(config | {"data": config["data"] | {"dataset": str(tmp_path / "gone.zip")}})
    test = looked_at(run, view)
    assert "are not on this machine" in words(test)
    if view in ("Classes", "Experts"):
        assert test.get("vega_lite_chart")


def test_the_routing_is_computed_once_and_kept():
    run = finished(RunStore())
    looked_at(run, "Classes")
    kept = run.path / "routing-best.safetensors"
    before = kept.stat().st_mtime_ns
    looked_at(run, "Experts")
    assert kept.stat().st_mtime_ns == before


def test_sliders_keep_the_sum_and_move_the_probabilities():
    test = looked_at(finished(RunStore()), "What if")

    def weights():
        return [slider.value for slider in test.slider if slider.label.startswith("Expert ")]

    def bars():
        return next(
            chart.proto.spec for chart in test.get("vega_lite_chart") if "Class probabilities" in chart.proto.spec
        )

    assert sum(weights()) == pytest.approx(1, abs=0.01)
    before = bars()
    next(slider for slider in test.slider if slider.label == "Expert 1").set_value(0.9).run()
    assert weights()[0] == pytest.approx(0.9)
    assert sum(weights()) == pytest.approx(1, abs=0.01)
    assert bars() != before
    next(button for button in test.button if button.label == "Use alone").click().run()
    assert weights() == pytest.approx([1, 0, 0])
    assert [button.disabled for button in test.button if button.label == "Switch off"] == [True, False, False]
    next(button for button in test.button if button.label == "Reset weights").click().run()
    assert bars() == before


def test_weights_that_were_set_stand_in_the_address():
    run = finished(RunStore())
    test = looked_at(run, "What if")
    assert "weights" not in test.query_params
    next(button for button in test.button if button.label == "Use alone").click().run()
    again = looked_at(run, "What if", weights=test.query_params["weights"])
    assert [slider.value for slider in again.slider if slider.label.startswith("Expert ")] == [1, 0, 0]
    again.number_input(key="image").set_value(2).run()  # for which none were set
    assert "weights" not in again.query_params
    next(button for button in test.button if button.label == "Reset weights").click().run()
    assert "weights" not in test.query_params


def test_ablations_are_measured_in_the_background_and_shown():
    run = finished(RunStore())
    test = looked_at(run, "What if")
    for label in ("Route the test set in six ways", "Switch off each expert in turn"):
        next(button for button in test.button if button.label == label).click().run()
        tasks.join_all(LIMIT)
        test.run()
    assert not test.exception and not test.error
    assert "image routing " in words(test) and "costs the most" in words(test)
    assert (run.path / "policies-best.safetensors").is_file()

    def worst_and_shown():
        (costs,) = re.findall(r"Switching off expert (\d) of block (\d) costs the most", words(test))
        (shown,) = re.findall(r"Without expert (\d) of block (\d),", words(test))
        return costs, shown

    assert len(set(worst_and_shown())) == 1
    test.toggle(key="renormalise").set_value(False).run()
    next(button for button in test.button if button.label == "Switch off each expert in turn").click().run()
    settled(test)
    assert len(set(worst_and_shown())) == 1  # of another table


def test_an_address_names_the_block_and_the_image():
    test = looked_at(finished(RunStore()), "One image", block="1", image="7")
    assert test.select_slider(key="block").value == 1
    assert test.number_input(key="image").value == 7


def test_what_an_address_asks_for_in_vain_is_said():
    run, other = finished(RunStore()), finished(RunStore())
    assert "There is no view “Nope”" in opened("experts", run.id, view="Nope").toast[0].value
    assert opened("experts", run.id, view="Nope", picture="7").segmented_control(key="view").value == "One image"
    test = looked_at(run, "One image", image="9999")
    assert "Choose a number from 1 to 359" in words(test) and not test.get("vega_lite_chart")
    test.selectbox(key="class").set_value("3").run()  # which has fewer images: the last of them
    assert test.number_input(key="image").label == f"Image (1 to {test.number_input(key='image').value})"
    assert "Choose a number" not in words(test) and test.get("vega_lite_chart")
    looked_at(run, "Compare")  # keeps both routings
    assert "not here" in opened("experts", run.id, view="Compare", **{"with": "20200101-000000-abcd"}).toast[0].value
    assert not opened("experts", run.id, view="Compare", **{"with": other.id}).toast


def test_two_images_stand_side_by_side():
    test = looked_at(finished(RunStore()), "One image", two="true")
    assert sum(field.label.startswith("Image (1 to") for field in test.number_input) == 2
    assert "those of the first image" in words(test)


def test_runs_that_cannot_be_compared_are_not_offered():
    store = RunStore()
    run, _ = finished(store), finished(store, **{"model.num_experts": 2})
    assert "No other trained network" in words(looked_at(run, "Compare"))


def test_the_routing_of_kept_epochs_can_be_looked_at():
    run = finished(RunStore(), **{"training.keep_every": 1})
    test = looked_at(run, "Through training", epoch="1")
    assert test.select_slider(key="epoch").value == 1
    assert (run.path / "routing-epoch-0001.safetensors").is_file()
    assert "saved no extra checkpoints" in words(looked_at(finished(RunStore()), "Through training"))


def test_two_runs_of_one_description_are_told_apart():
    store = RunStore()
    runs = [finished(store), finished(store)]
    runs[1].write_config(runs[1].config() | {"created": runs[0].created})
    for run in runs:
        assert looked_at(run, "Through training").query_params["run"] in (run.id, [run.id])


def own_folder(path, classes, count=6):
    for number, name in enumerate(classes):
        (path / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (8, 8), (index * 9, 60 * number, 99)).save(path / name / f"{index}.png")
    return path


def read(test):
    """Presses the button that reads images that have changed."""
    next(button for button in test.button if button.label == "Read the images").click().run()
    return settled(test)


def test_own_images_that_have_changed_are_routed_anew(tmp_path):
    folder = own_folder(tmp_path / "own", ("cat", "dog", "eel"), count=12)
    run = finished(RunStore(), **{"data.dataset": str(folder)})
    looked_at(run, "Experts")
    for number in range(6):
        (folder / "cat" / f"{number}.png").unlink()
    test = read(looked_at(run, "Experts"))
    assert "have changed since" in " ".join(warning.value for warning in test.warning)
    assert cached_routing(run).labels.bincount().tolist() == [1, 2, 2]


def test_own_images_with_other_classes_are_refused(tmp_path):
    folder = own_folder(tmp_path / "own", ("cat", "dog"))
    run = finished(RunStore(), **{"data.dataset": str(folder)})
    (folder / "dog").rename(folder / "eel")
    test = read(looked_at(run, "One image"))
    assert "have changed since" in " ".join(error.value for error in test.error)


def test_one_expert_has_nothing_to_route():
    run = finished(RunStore(), **{"model.num_experts": 1})
    assert any("nothing to route" in info.value for info in opened("experts", run.id).info)


def test_a_test_image_is_named_in_plain_words():
    test = opened("experts", finished(RunStore()).id)
    captions = [image.caption for shown in test.get("image") for image in shown.proto.imgs]
    assert re.fullmatch(r'Test image \d+: class "\d"', captions[0])
