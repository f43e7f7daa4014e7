"""Every view of the Experts page: on small networks, without routing, without the test images, and while a run trains."""

import re
import shutil
from io import BytesIO
from types import SimpleNamespace

import pytest
from PIL import Image

from expertnet.data.cache import data_root
from expertnet.data.datasets import load_test_split
from expertnet.inference.routing_cache import cached_routing
from expertnet.settings.schema import DataSettings
from expertnet.store.run_store import RunStore
from expertnet.ui import choices, tasks
from expertnet.ui.experts import effects
from expertnet.utils.processes import this_process
from tests.support.experts import MEASURE_ABLATIONS, class_folders, click, verdict, view_of
from tests.support.opening import finished, opened
from tests.support.settling import settled
from tests.support.settling import shown_text as text

VIEWS = ["One image", "Classes", "Each expert", "What if", "Controls", "Through training", "Compare"]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"model.num_experts": 1},
        {"model.num_blocks": 1, "model.num_experts": 2},
        {"model.num_blocks": 3, "model.expert_blocks": (2,), "model.head": "max", "model.activation": "gelu"},
    ],
)
def test_every_view_opens(view, overrides):
    store = RunStore()
    run, _ = finished(store, **overrides), finished(store, **overrides | {"seed": 1})
    test = view_of(run, view)
    assert test.segmented_control(key="view").value == view
    assert not test.error


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_a_running_training_shows_its_best_checkpoint_and_caches_nothing(view):
    run = finished(RunStore())
    run.write_status(
        run.status().changed(process=this_process(), state="running", activity="Training", step=3, steps=9)
    )
    test = view_of(run, view)
    assert not test.error
    assert not (run.path / "routing-best.safetensors").exists()


@pytest.mark.parametrize("view", VIEWS)
def test_without_the_test_images_cached_routing_still_shows(view, tmp_path, monkeypatch):
    run = finished(RunStore())
    view_of(run, "Classes")  # caches the routing
    config = run.config()
    run.write_config(config | {"data": config["data"] | {"dataset": str(tmp_path / "gone.zip")}})
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "empty"))
    test = view_of(run, view)
    assert "are not on this computer" in text(test)
    if view in ("Classes", "Each expert"):
        assert test.get("vega_lite_chart")


def test_a_network_without_its_images_shows_those_of_the_dataset_that_it_is_named_after(tmp_path, monkeypatch):
    run = finished(RunStore())
    view_of(run, "Classes")  # caches the routing
    config = run.config()
    run.write_config(config | {"data": config["data"] | {"dataset": "Digits (JPEG copy).tar.xz"}})
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "empty"))
    for page in ("experts", "predict"):
        test = opened(page, run.id)
        assert "try the network on those of Digits instead" in text(test)
        (link,) = (link for link in test.get("page_link") if link.proto.label.startswith("Get "))
        assert link.proto.label == "Get Digits on the Data page" and "dataset=digits" in link.proto.query_string
    said = next(
        caption.value
        for caption in opened("experts", run.id, view="Classes").caption
        if "click a cell" in caption.value
    )
    assert said.startswith("To see the numbers of images, which are not on this computer, click")
    run.write_config(run.config() | {"dataset": config["dataset"] | {"fingerprint": "archive-0"}})  # of other images
    load_test_split(run.settings().data.model_copy(update={"dataset": "digits"}))
    load_test_split(DataSettings(dataset="digits"))  # as the Data page does
    test = opened("experts", run.id)
    assert not [link for link in test.get("page_link") if link.proto.label.startswith("Get ")]
    assert next(each for each in test.segmented_control if each.label == "Image from").options == ["Digits", "Upload"]
    assert 'Digits test image 1: class "' in text(test) and "Answer: " in text(test)
    test = opened("predict", run.id)
    assert next(each for each in test.segmented_control if each.label == "Images from").value == "Samples"
    assert "It is from Digits, where its class is" in text(test)


def test_an_old_url_of_a_view_leads_to_its_new_name():
    test = settled(opened("experts", finished(RunStore()).id, view="Experts"))
    assert test.segmented_control(key="view").value == "Each expert" and not test.toast


def test_the_routing_is_computed_once_and_cached():
    run = finished(RunStore())
    view_of(run, "Classes")
    cache = run.path / "routing-best.safetensors"
    before = cache.stat().st_mtime_ns
    view_of(run, "Each expert")
    assert cache.stat().st_mtime_ns == before


def test_the_url_sets_the_block_and_the_image():
    test = view_of(finished(RunStore()), "One image", block="1", image="7")
    assert test.segmented_control(key="block").value == 1
    assert test.number_input(key="image").value == 7


def test_a_url_that_asks_for_something_missing_gets_a_message():
    run, other = finished(RunStore()), finished(RunStore())
    assert "There is no view “Nope”" in opened("experts", run.id, view="Nope").toast[0].value
    named = opened("experts", run.id, view="what IF")
    assert named.segmented_control(key="view").value == "What if" and not named.toast
    assert opened("experts", run.id, view="Nope", picture="7").segmented_control(key="view").value == "One image"
    test = view_of(run, "One image", image="9999")
    assert "Choose a number from 1 to 359" in text(test) and not test.get("vega_lite_chart")
    test.selectbox(key="class").set_value("3").run()  # fewer images, so the number becomes that of the last one
    assert test.number_input(key="image").label == f"Image (1 to {test.number_input(key='image').value})"
    assert "Choose a number" not in text(test) and test.get("vega_lite_chart")
    view_of(run, "Compare")  # caches both routings
    assert "not here" in opened("experts", run.id, view="Compare", **{"with": "20200101-000000-abcd"}).toast[0].value
    assert not opened("experts", run.id, view="Compare", **{"with": other.id}).toast


def test_the_routing_of_saved_epochs_is_shown():
    run = finished(RunStore(), **{"training.keep_every": 1})
    test = view_of(run, "Through training", epoch="1")
    assert test.segmented_control(key="epoch").value == 1
    assert (run.path / "routing-epoch-0001.safetensors").is_file()
    assert "saved no extra checkpoints" in text(view_of(finished(RunStore()), "Through training"))


def test_changed_images_are_not_taken_for_those_of_the_run(tmp_path, own_data):
    folder = class_folders(tmp_path / "own", ("cat", "dog", "eel"), count=12)
    run = finished(RunStore(), **{"data.dataset": str(folder)})
    for number in range(6):
        (folder / "cat" / f"{number}.png").unlink()
    assert not view_of(run, "Each expert").error
    assert cached_routing(run).labels.bincount().tolist() == [2, 2, 2]
    (run.path / "routing-best.safetensors").unlink()
    shutil.rmtree(data_root() / "decoded")
    test = view_of(run, "Each expert")
    click(test, "Read the images")
    assert ": 36 images then, 30 now." in settled(test).error[0].value
    assert cached_routing(run) is None


def test_the_first_view_says_what_routing_does_and_whether_it_matters():
    run = finished(RunStore())
    test = view_of(run, "One image")
    assert "per-image routing" in verdict(test) and "on the validation images" in verdict(test)
    assert (run.path / "routings-validation-best.safetensors").is_file()


def test_what_takes_longer_is_measured_once_asked_for(monkeypatch):
    monkeypatch.setattr(effects, "UNASKED", 1e-9)
    monkeypatch.setattr(tasks, "JUDGED_AFTER", 0.0)
    run, measure = finished(RunStore()), "Measure whether the network relies on routing"
    for view in ("One image", "Classes", "What if"):
        test = view_of(run, view)
        assert "about the class" in verdict(test) and "-image routing" not in verdict(test)
        assert [button.label for button in test.button].count(measure) == 1 and not test.error
    click(test, measure)
    settled(test)
    for view in ("One image", "Classes", "What if"):
        test = view_of(run, view)
        assert "per-image routing" in verdict(test) and measure not in [button.label for button in test.button]


def test_one_expert_has_nothing_to_route():
    run = finished(RunStore(), **{"model.num_experts": 1})
    assert any("nothing to route" in info.value for info in opened("experts", run.id).info)


def test_a_test_image_has_its_number_and_class_as_caption_and_as_text_alternative():
    test = opened("experts", finished(RunStore()).id)
    (alt,) = [image.proto.imgs[0].alt for image in test.get("image") if "Test image" in image.proto.imgs[0].alt]
    assert re.fullmatch(r'Test image \d+: class "\d"', alt)
    assert alt.replace(":", r"\:") in [caption.value for caption in test.caption]


@pytest.mark.parametrize("view", ["One image", "What if"])
def test_an_uploaded_image_has_its_file_name_as_caption_and_as_text_alternative(view):
    test = opened("experts", finished(RunStore()).id, view=view)
    test.segmented_control(key="source").set_value("Upload").run()
    file = BytesIO()
    Image.new("L", (8, 8), 99).save(file, "PNG")
    test.file_uploader[0].upload("my_*4*.png", file.getvalue(), "image/png")
    test.run()
    assert "my_*4*.png" in [image.proto.imgs[0].alt for image in test.get("image")]
    assert "my\\_\\*4\\*.png" in [caption.value for caption in test.caption]


def test_every_choice_of_a_view_is_in_the_url_and_back_undoes_it(monkeypatch):
    test = opened("experts", finished(RunStore()).id)
    assert "view" not in test.query_params
    test.segmented_control(key="view").set_value("Compare").run()

    def shown(url):
        test.query_params["view"] = url
        return test.run().segmented_control(key="view").value

    assert shown("One image") == "Compare"  # a click that the browser sent before it had the new URL
    assert test.query_params["view"] in ("Compare", ["Compare"])
    monkeypatch.setattr(choices, "get_script_run_ctx", lambda: SimpleNamespace(is_history_navigation=True))
    assert shown("Classes") == "Classes"


def test_through_training_draws_one_figure_at_a_time():
    test = view_of(finished(RunStore()), "Through training")
    assert len(test.get("vega_lite_chart")) == 1 and "entropy of the mean routing" in text(test)
    test.segmented_control(key="figure").set_value("Usage of each expert").run()
    assert len(test.get("vega_lite_chart")) == 1 and "times a fair share" in text(test)


def test_through_training_routes_no_images_and_shows_the_verdict_if_they_have_been_routed():
    run = finished(RunStore())
    assert "per-image routing" not in text(view_of(run, "Through training")) and cached_routing(run) is None
    view_of(run, "Classes")
    assert "per-image routing" in verdict(view_of(run, "Through training"))


def named_twice(test):
    labels = [part.proto.popover.label for part in test.get("popover")] + [button.label for button in test.button]
    return {label for label in labels if labels.count(label) > 1}


@pytest.mark.parametrize("view", VIEWS)
def test_every_button_has_a_name_of_its_own(view):
    store = RunStore()
    run, _ = finished(store), finished(store, seed=1)
    test = view_of(run, view, two="true")
    if view == "What if":
        click(test, MEASURE_ABLATIONS)
        settled(test)
    assert not named_twice(test)
