"""The form of the Train page: settings, your own images, and the URL."""

import errno
import io
import json
import os
import zipfile

import pytest
import torch
from PIL import Image
from streamlit.runtime.scriptrunner import get_script_run_ctx

from expertnet.data.custom import save_folder, save_upload
from expertnet.data.images import FORMATS_TEXT
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.training.manager import manager
from expertnet.ui.train import expectation, own_images
from expertnet.utils.processes import this_process
from tests.support.opening import finished, opened, query_of, written
from tests.support.uploads import archive_of


def values(test):
    """Return the values of the form's fields by setting."""
    widgets = (*test.number_input, *test.selectbox, *test.text_input, *test.multiselect)
    return {widget.key.split()[-1]: widget.value for widget in widgets if (widget.key or "").startswith("field ")}


def form(run=None, **query):
    """Open the page with the settings unfolded."""
    test = opened("train", run, **query)
    test.session_state["form"].unfolded = True
    return test.run()


def own_images_form():
    """Open the page with the card of your own images chosen."""
    test = form("none")
    test.session_state["form"].source = "own"
    return test.run()


def archive_uploader(test):
    return next(uploader for uploader in test.file_uploader if uploader.label == "Upload an archive")


SIX = "6 images in 2 classes: 4 for training, 2 held out for the test."


def chosen(test):
    """Return the line on your own images that were found to be usable."""
    return next(mark.value for mark in test.markdown if ":material/check_circle:" in mark.value)


def classes_of(test):
    value = next(caption.value for caption in test.caption if caption.value.startswith("Classes: "))
    return value.replace("\\", "")


def own_card(test):
    """Return what is drawn in the card of your own images: a text or the URL of an image."""
    (strip,) = [json.loads(each.proto.json) for each in test.get("bidi_component") if "tiles" in each.proto.json]
    return strip["tiles"][-1][0]


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


def test_images_named_in_the_url_are_inspected_only_on_request(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("L", (8, 8), 99).save(tmp_path / name / f"{number}.png")
    test = form(dataset=str(tmp_path))
    assert test.button(key="start").disabled
    assert not any("images in 2 classes" in mark.value for mark in test.markdown)
    test.button(key="look").click().run()
    for shown in (test, form(**query_of(test))):  # a reload does not ask again
        assert not shown.button(key="start").disabled
        assert chosen(shown).endswith(SIX) and "Classes: cat (3), dog (3)" in classes_of(shown)


def test_one_class_in_place_of_its_folder_leads_to_the_folder(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (8, 8), 99).save(tmp_path / "pets" / name / f"{number}.png")
    test = own_images_form()
    path = next(field for field in test.text_input if field.label == "Path on this computer")
    path.set_value(str(tmp_path / "pets" / "cat")).run()
    assert any("Did you mean its parent, pets, with 2 classes?" in each.value for each in test.warning)
    assert test.button(key="parent").label == "Use pets, the parent folder"
    test.button(key="parent").click().run()
    assert not test.exception and query_of(test)["dataset"] == str(tmp_path / "pets")
    assert classes_of(test).startswith("Classes: cat (3), dog (3).")
    assert [image.proto.imgs[0].caption for image in test.get("image")] == ["cat", "dog"]


def test_a_path_typed_after_an_upload_replaces_it(tmp_path):
    test = own_images_form()
    archive_uploader(test).upload("images.zip", b"PK\5\6" + bytes(18), "application/zip").run()
    assert query_of(test)["dataset"].endswith(".zip")
    path = next(field for field in test.text_input if field.label == "Path on this computer")
    assert path.value == ""  # not a folder that you do not know
    path.set_value(str(tmp_path)).run()
    assert query_of(test)["dataset"] == str(tmp_path)
    test.button(key="reset").click().run()
    assert next(field for field in test.text_input if field.label == "Path on this computer").value == str(tmp_path)


@pytest.mark.parametrize("classes", [("cat",), ("cat", "dog")])
def test_uploaded_images_are_inspected_before_the_start(classes):
    test = own_images_form()
    archive_uploader(test).upload("my own.zip", archive_of(*classes), "application/zip").run()
    if len(classes) == 1:
        said = [each.value for each in (*test.error, *test.warning) if "only one class" in each.value]
        assert len(said) == 1
        assert test.button(key="start").disabled
    else:
        assert not test.error
        assert not test.button(key="start").disabled
        assert chosen(
            test
        ) == f":material/check_circle: **my\\_own**: {SIX}" and "Classes: cat (3), dog (3)" in classes_of(test)


def test_an_uploaded_folder_becomes_an_archive_once_you_have_seen_that_it_is_whole():
    test = own_images_form()
    folder = next(uploader for uploader in test.file_uploader if uploader.label == "Upload a folder")
    with zipfile.ZipFile(io.BytesIO(archive_of("cat", "dog"))) as archive:
        folder.set_value([(f"pets/{name}", archive.read(name), "image/png") for name in archive.namelist()]).run()
    button = test.button(key="use folder")
    assert button.label == "Use 6 uploaded images" and values(test)["path"] == ""
    assert classes_of(test) == "Classes: cat (3), dog (3)."
    assert test.button(key="start").disabled and not test.warning
    assert any("Confirm the 6 images above first." in mark.value for mark in test.markdown)
    button.click().run()
    assert not test.button(key="start").disabled and chosen(test) == f":material/check_circle: **pets**: {SIX}"
    assert "use folder" not in [each.key for each in test.button]
    assert not test.file_uploader and "path" not in values(test)  # neither a second way, nor the path of a saved upload
    test.number_input(key="field 3 training.epochs").set_value(0).run()  # invalid
    assert chosen(test) == ":material/check_circle: **pets**" and not test.file_uploader
    test.button(key="other images").click().run()
    assert test.button(key="start").disabled and "pets" not in query_of(test).get("dataset", "")


@pytest.mark.parametrize("above", ["mine/pets", "pets/cat/of/mine"])
def test_a_folder_above_the_classes_is_used_and_one_without_classes_is_not_offered(above):
    test = own_images_form()
    folder = next(uploader for uploader in test.file_uploader if uploader.label == "Upload a folder")
    with zipfile.ZipFile(io.BytesIO(archive_of("cat", "dog"))) as archive:
        folder.set_value([(f"{above}/{name}", archive.read(name), "image/png") for name in archive.namelist()]).run()
    offered = "use folder" in [each.key for each in test.button]
    assert offered == (above == "mine/pets") and test.button(key="start").disabled
    said = "Classes: cat (3), dog (3)." if offered else "no images in class folders"
    assert any(said in caption.value.replace("\\", "") for caption in test.caption)


def test_the_files_of_a_folder_leave_the_memory_as_they_are_saved(monkeypatch):
    held = []

    def saved(name, files):
        context = get_script_run_ctx()

        def counted():
            for file in files:
                held.append(len(context.uploaded_file_mgr.file_storage[context.session_id]))
                yield file

        return save_folder(name, counted())

    monkeypatch.setattr(own_images, "save_folder", saved)
    test = own_images_form()
    folder = next(uploader for uploader in test.file_uploader if uploader.label == "Upload a folder")
    with zipfile.ZipFile(io.BytesIO(archive_of("cat", "dog"))) as archive:
        folder.set_value([(f"pets/{name}", archive.read(name), "image/png") for name in archive.namelist()]).run()
    test.button(key="use folder").click().run()
    assert held == [6, 5, 4, 3, 2, 1] and chosen(test) == f":material/check_circle: **pets**: {SIX}"


def test_an_upload_waits_to_be_confirmed_although_another_path_was_used_before(tmp_path):
    test = own_images_form()
    path = next(field for field in test.text_input if field.label == "Path on this computer")
    path.set_value(str(tmp_path)).run()  # an empty folder, so that the fields stay
    folder = next(uploader for uploader in test.file_uploader if uploader.label == "Upload a folder")
    folder.set_value([(f"pets/{name}.png", b"", "image/png") for name in ("cat/1", "cat/2", "dog/1", "dog/2")]).run()
    assert test.button(key="start").disabled
    assert ["Confirm the 4 images above first." in warning.value for warning in test.warning] == [True]


def test_the_first_look_at_your_own_images_shows_the_layout_and_no_warning():
    test = own_images_form()
    assert not test.warning and test.button(key="start").disabled
    assert any("flowers/rose/1.jpg" in code.value for code in test.code)
    assert any(FORMATS_TEXT in caption.value for caption in test.caption)


def test_the_card_of_your_own_images_shows_them():
    test = own_images_form()
    assert own_card(test) == "+"
    archive_uploader(test).upload("few.zip", archive_of("cat", "dog"), "application/zip").run()
    assert own_card(test).startswith("data:image/")


def test_few_images_get_smaller_batches_and_more_epochs_which_you_can_undo():
    test = own_images_form()
    archive_uploader(test).upload("few.zip", archive_of("cat", "dog"), "application/zip").run()
    said = "Batch size 16 and 300 epochs instead of 128 and 12, so that few images give 300 steps."
    assert said in [caption.value for caption in test.caption]
    assert values(test)["training.batch_size"] == 16 and values(test)["training.epochs"] == 300
    assert any("300 steps" in mark.value for mark in test.markdown)
    test.button(key="unfit").click().run()
    assert values(test)["training.batch_size"] == 128 and values(test)["training.epochs"] == 12
    assert said not in [caption.value for caption in test.caption]
    assert any("Only 12 steps in all, too few to learn much." in mark.value for mark in test.markdown)
    button = test.button(key="more steps")
    assert button.label == "Use batch size 16 and 300 epochs"
    button.click().run()
    assert values(test)["training.batch_size"] == 16 and values(test)["training.epochs"] == 300
    assert "more steps" not in [each.key for each in test.button]


def test_the_digits_get_a_warning_only_if_steps_are_too_few_to_learn_them():
    test = form()
    for epochs, warns in ((12, False), (8, False), (1, True)):
        test.number_input(key="field 1 training.epochs").set_value(epochs).run()
        assert ("more steps" in [button.key for button in test.button]) == warns
    test.segmented_control(key="field 1 preset").set_value("fast").run()  # 12 steps, of all images each
    assert any("12 steps" in mark.value for mark in test.markdown)
    assert "more steps" not in [button.key for button in test.button]


def steps_text(test):
    """Return what stands beside the button that starts."""
    return next(mark.value for mark in test.markdown if " steps" in mark.value)


def timed_as(monkeypatch, seconds):
    """Let every image take so many seconds in the steps that are timed. Returns the settings that were timed."""
    asked = []
    monkeypatch.setattr(expectation, "seconds_per_image", lambda settings, *_: asked.append(settings) or seconds)
    return asked


def test_without_a_run_to_go_by_a_few_timed_steps_give_a_rough_range(monkeypatch):
    asked = timed_as(monkeypatch, 0.03)
    test = form("none", **{"data.image_size": "24", "hardware.device": "cpu"})
    while "estimating" in steps_text(test):
        test.run()
    # 12 epochs of 1,294 images take 466 s by the steps, and from half to one and a half times as long
    assert steps_text(test) == ":small[120 steps · roughly 3 to 12 min on this computer]"
    assert next(mark.help for mark in test.markdown if "120 steps" in mark.value).endswith("from a few steps.")
    test.number_input(key="field 1 training.epochs").set_value(24).run()
    assert "240 steps · roughly 7 to 24 min" in steps_text(test)
    for epochs, said in ((9, "roughly 2 to 9 min"), (240, "roughly 1 to 4 h")):
        test.number_input(key="field 1 training.epochs").set_value(epochs).run()
        assert said in steps_text(test)
    assert len(asked) == 1  # the network is the same


def test_the_time_of_a_run_counts_more_than_that_of_a_few_steps(monkeypatch):
    asked = timed_as(monkeypatch, 0.03)
    run = written(RunStore(), **{"data.image_size": "40", "hardware.device": "cpu"})  # 2 seconds an epoch
    run.write_config(run.config() | {"dataset": {"name": "digits", "images": 1294}})
    run.write_status(run.status().changed(device="CPU, 2 threads", process=this_process()))
    test = opened("train", "none", **{"data.image_size": "40", "hardware.device": "cpu"})
    assert not asked and "about 20 s on this computer" in steps_text(test)


def test_no_steps_are_timed_beside_a_run_that_waits_and_disturbed_ones_give_no_range(monkeypatch):
    asked = timed_as(monkeypatch, float("inf"))
    manager().pause(True)
    manager().submit(build_settings("quick", "digits", {"hardware.device": "cpu"}))
    query = {"data.image_size": "48", "hardware.device": "cpu"}
    assert steps_text(opened("train", "none", **query)) == ":small[120 steps]" and not asked
    manager().stop(manager().waiting()[0])
    test = opened("train", "none", **query)
    while "estimating" in steps_text(test):
        test.run()
    assert steps_text(test) == ":small[120 steps · this computer was too busy for an estimate]" and len(asked) == 1


def test_a_second_press_within_seconds_asks_before_it_queues_a_duplicate():
    manager().pause(True)
    test = opened("train")
    test.button(key="start").click().run()
    test.button(key="start").click().run()
    assert len(manager().waiting()) == 1
    test.button(key="start again").click().run()
    assert len(manager().waiting()) == 2
    assert "start again" not in [button.key for button in test.button]


def test_an_upload_is_saved_once(monkeypatch):
    saved = []
    monkeypatch.setattr(own_images, "save_upload", lambda *upload: saved.append(upload) or save_upload(*upload))
    test = own_images_form()
    archive_uploader(test).upload("images.zip", archive_of("cat", "dog"), "application/zip").run()
    test.number_input(key="field 3 training.epochs").set_value(3).run()
    assert len(saved) == 1
    test.button(key="other images").click().run()
    assert archive_uploader(test).value is None  # the server keeps no copy in memory
    archive_uploader(test).upload("others.zip", archive_of("cat", "eel"), "application/zip").run()
    assert len(saved) == 2
    assert "Classes: cat (3), eel (3)" in classes_of(test)


def test_an_upload_that_cannot_be_saved_is_not_tried_again(monkeypatch):
    tried = []

    def full(name, content):
        tried.append(name)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(own_images, "save_upload", full)
    test = own_images_form()
    archive_uploader(test).upload("images.zip", archive_of("cat", "dog"), "application/zip").run()
    assert not test.exception and "disk is full" in test.error[0].value
    test.number_input(key="field 1 training.epochs").set_value(3).run()
    assert tried == ["images.zip"] and not test.exception


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


def test_few_images_of_your_own_are_told_what_a_start_from_a_run_gains():
    finished(RunStore())
    test = own_images_form()
    archive_uploader(test).upload("few.zip", archive_of("cat", "dog"), "application/zip").run()
    assert any("With few images, choose a network" in caption.value for caption in test.caption)
    (field,) = [field for field in test.selectbox if field.key.endswith("model.start_from")]  # not in the settings, too
    field.set_value(RunStore().list()[0].id).run()
    assert (values(test)["training.epochs"], values(test)["training.frozen_epochs"]) == (300, 240)
