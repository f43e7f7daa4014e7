"""What was uploaded on the Train page: chosen again there, kept as a dataset, and deleted on the Data page."""

import pytest

from expertnet.data.own.folders import dataset_ids
from expertnet.data.uploads import save_upload
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.sweeps.plan import Budget, Plan
from expertnet.sweeps.space import parse_space
from expertnet.sweeps.sweep import create_sweep
from tests.support.form import archive_uploader, chosen, own_images_form, values
from tests.support.opening import opened, pressed, query_of
from tests.support.own import files_of
from tests.support.uploads import archive_of, packed

SIX = "6 images in 2 classes: 4 for training and validation, 2 held out for the test."


pytestmark = pytest.mark.usefixtures("own_data")


def said(test):
    return " ".join(each.value for kind in ("markdown", "caption", "error") for each in test.get(kind))


def test_what_was_uploaded_can_be_chosen_again():
    test = own_images_form()
    assert "Your uploads" not in [field.label for field in test.selectbox]
    archive_uploader(test).upload("few.zip", archive_of("cat", "dog"), "application/zip").run()
    path = query_of(test)["dataset"]
    for again in (test, own_images_form()):  # in another session, too
        if again is test:
            test.button(key="other images").click().run()
        (uploads,) = [field for field in again.selectbox if field.label == "Your uploads"]
        assert uploads.value is None and [option.split(" · ")[0] for option in uploads.options] == ["few"]
        uploads.set_value(path).run()
        assert chosen(again) == f":material/check_circle: **few**: {SIX}" and query_of(again)["dataset"] == path


def test_an_upload_that_cannot_be_used_stays_in_the_list_and_can_be_left():
    test = own_images_form()
    archive_uploader(test).upload("alone.zip", archive_of("cat"), "application/zip").run()
    (uploads,) = [field for field in test.selectbox if field.label == "Your uploads"]
    assert uploads.value == query_of(test)["dataset"] and "keep" not in " ".join(each.key for each in test.button)


def test_an_upload_is_kept_as_a_dataset_which_the_form_then_has():
    test = own_images_form()
    archive = packed(*files_of("cat", "dog", count=10))
    archive_uploader(test).upload("pets.zip", archive, "application/zip").run()
    fitted = values(test)
    test.button(key=f"keep {query_of(test)['dataset']}").click().run()
    assert not test.exception and dataset_ids() == ["pets"] and query_of(test)["dataset"] == "pets@2"
    assert chosen(test).startswith(
        ":material/check_circle: **pets, version 2**: 20 images in 2 classes: 16 for training and validation"
    )
    assert ["“pets” is now one of your datasets. 20 images added." in toast.value for toast in test.toast] == [True]
    assert values(test) == fitted
    test.button(key="other images").click().run()
    assert "Your uploads" not in [field.label for field in test.selectbox]
    archive_uploader(test).upload("pets.zip", archive, "application/zip").run()  # the same images again
    assert not test.button(key="start").disabled and "Keep as a dataset" not in [each.label for each in test.button]


def test_uploads_of_the_train_page_are_kept_as_datasets_or_deleted():
    assert "Uploads" not in [box.label for box in opened("data").selectbox]
    path = save_upload("pets.zip", packed(*files_of("cat", "dog")))
    other = save_upload("others.zip", packed(*files_of("cat", "dog", count=2)))
    run = RunStore().create(build_settings("quick", str(other)), "quick", "<b>mine</b>")
    test = opened("data")
    (uploads,) = [box for box in test.selectbox if box.label == "Uploads"]
    assert {option.split(" · ")[0] for option in uploads.options} == {"pets", "others"}
    uploads.set_value(str(path)).run()
    pressed(test, "Keep as a dataset")
    assert dataset_ids() == ["pets"] and "**pets**, version 2 · 8 images in 2 classes" in said(test)
    (uploads,) = [box for box in test.selectbox if box.label == "Uploads"]
    assert [option.startswith("pets") for option in uploads.options if option.endswith(" · kept")] == [True]
    uploads.set_value(str(path)).run()
    pressed(test, "Delete")  # what is kept as a dataset needs no upload
    assert not path.exists() and "8 images in 2 classes" in said(test)
    pressed(test, "Delete")
    assert "\\<b\\>mine\\</b\\>” needs these images." in said(test) and other.is_file()
    run.write_status(run.status().changed(state="finished"))
    pressed(test, "Delete")
    assert not other.exists() and "Uploads" not in [box.label for box in test.selectbox]


def test_an_upload_that_a_sweep_needs_is_not_deleted():
    path = save_upload("pets.zip", packed(*files_of("cat", "dog", count=5)))
    sweep = create_sweep(
        RunStore(),
        Plan(
            settings=build_settings("quick", str(path)),
            space=parse_space(["training.lr=1e-4..1e-2"]),
            budget=Budget(trials=1),
        ),
    )
    test = pressed(opened("data"), "Delete")
    assert "needs these images." in said(test) and path.is_file()
    sweep.end("stopped", "it was stopped")
    pressed(test, "Delete")
    assert not path.exists()
