"""Two images side by side, and the view Compare with two runs."""

import shutil

import torch
from PIL import Image

from expertnet.data.cache import data_root
from expertnet.inference.routing_cache import cached_routing, load_own_test_set, route_test_set
from expertnet.store.run_store import RunStore
from expertnet.training.manager import manager
from expertnet.utils.text import escape
from tests.support.experts import class_folders, view_of
from tests.support.opening import finished, opened, to_page
from tests.support.settling import settled
from tests.support.settling import shown_text as text


def test_two_images_are_compared_side_by_side():
    test = view_of(finished(RunStore()), "One image", two="true")
    assert sum(field.label.startswith("Image (1 to") for field in test.number_input) == 2
    assert "those of the first image" in text(test)


def test_runs_that_cannot_be_compared_are_not_offered():
    store = RunStore()
    run, _ = finished(store), finished(store, **{"model.num_experts": 2})
    assert "No other trained network" in text(view_of(run, "Compare"))


def test_two_runs_with_the_same_description_can_both_be_chosen():
    store = RunStore()
    runs = [finished(store), finished(store)]
    runs[1].write_config(runs[1].config() | {"created": runs[0].created})
    for run in runs:
        assert view_of(run, "Through training").query_params["run"] in (run.id, [run.id])


def test_two_runs_are_compared_each_on_its_own_images(tmp_path, own_data):
    folder = class_folders(tmp_path / "own", ("cat", "dog"))
    first = finished(RunStore(), **{"data.dataset": str(folder), "seed": 1})
    for number in range(6):
        Image.new("RGB", (8, 8), (number * 9, 7, 200)).save(folder / "dog" / f"{number}.png")
    second = finished(RunStore(), **{"data.dataset": str(folder), "seed": 2})
    view_of(first, "Compare")
    compared = cached_routing(second).routing
    (second.path / "routing-best.safetensors").unlink()
    assert torch.equal(route_test_set(second, load_own_test_set(second)).routing, compared)
    shutil.rmtree(data_root() / "decoded")
    assert [button.label for button in view_of(first, "Compare").button].count("Read the images") == 2


def test_compare_begins_with_the_agreement():
    run = finished(RunStore())
    finished(RunStore(), seed=1)
    assert view_of(run, "Compare").subheader[0].value == "Agreement"


def test_compare_without_a_second_run_repeats_the_network_with_another_seed():
    run, manage = finished(RunStore(), **{"training.lr": 0.005}), manager()
    manage.pause(True)
    test = to_page(opened("train", run="none"), "experts")  # the session has a form with other settings
    test.query_params.update({"run": run.id, "view": "Compare"})
    button = next(each for each in settled(test).button if each.label == "Repeat with another seed")
    button.click().run()
    (again,) = manage.waiting()
    assert again.settings() == run.settings().model_copy(update={"seed": run.settings().seed + 1})
    assert again.preset == run.preset and test.header[0].value == escape(again.title)
    manage.stop(again)
