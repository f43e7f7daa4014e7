"""Your own images on the Train page: found, uploaded, saved and looked at before the start."""

import errno
import io
import json
import zipfile

import pytest
from PIL import Image
from streamlit.runtime.scriptrunner import get_script_run_ctx

from expertnet.data.images import FORMATS_TEXT
from expertnet.data.uploads import save_folder, save_upload
from expertnet.store.run_store import RunStore
from expertnet.ui.train import choose_images
from tests.support.form import archive_uploader, chosen, form, own_images_form, values
from tests.support.opening import finished, query_of
from tests.support.uploads import archive_of

SIX = "6 images in 2 classes: 4 for training and validation, 2 held out for the test."


def classes_of(test):
    value = next(caption.value for caption in test.caption if caption.value.startswith("Classes: "))
    return value.replace("\\", "")


def own_card(test):
    """Return what is drawn in the card of your own images: a text or the URL of an image."""
    (strip,) = [json.loads(each.proto.json) for each in test.get("bidi_component") if "tiles" in each.proto.json]
    return strip["tiles"][-1][0]


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


def test_a_removed_dataset_named_in_the_url_is_said_to_be_removed():
    test = form(dataset="flowers@4")
    assert test.button(key="start").disabled and not any(button.key == "look" for button in test.button)
    assert any("There is no dataset 'flowers@4'. It was removed" in each.value for each in (*test.error, *test.warning))


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
    assert any("Select “Use 6 uploaded images” above first." in mark.value for mark in test.markdown)
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

    monkeypatch.setattr(choose_images, "save_folder", saved)
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
    assert ["Select “Use 4 uploaded images” above first." in warning.value for warning in test.warning] == [True]


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


def test_an_upload_is_saved_once(monkeypatch):
    saved = []
    monkeypatch.setattr(choose_images, "save_upload", lambda *upload: saved.append(upload) or save_upload(*upload))
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

    monkeypatch.setattr(choose_images, "save_upload", full)
    test = own_images_form()
    archive_uploader(test).upload("images.zip", archive_of("cat", "dog"), "application/zip").run()
    assert not test.exception and "disk is full" in test.error[0].value
    test.number_input(key="field 1 training.epochs").set_value(3).run()
    assert tried == ["images.zip"] and not test.exception


def test_few_images_of_your_own_are_told_what_a_start_from_a_run_gains():
    finished(RunStore())
    test = own_images_form()
    archive_uploader(test).upload("few.zip", archive_of("cat", "dog"), "application/zip").run()
    assert any("With few images, choose a network" in caption.value for caption in test.caption)
    (field,) = [field for field in test.selectbox if field.key.endswith("model.start_from")]  # not in the settings, too
    field.set_value(RunStore().list()[0].id).run()
    assert (values(test)["training.epochs"], values(test)["training.frozen_epochs"]) == (300, 240)
