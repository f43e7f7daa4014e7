"""Images of the Predict page that are added to a class of a dataset, to learn from."""

from expertnet.data.images import read_image
from expertnet.data.own.datasets import create_dataset
from expertnet.data.own.folders import dataset_ids
from expertnet.data.own.versions import open_version
from expertnet.inference.predictor import load_predictor
from expertnet.store.run_store import RunStore
from tests.support.opening import finished, opened
from tests.support.own import twins
from tests.support.predict import answers, upload, uploading


def test_a_wrong_answer_is_corrected_with_one_click_into_a_dataset_of_ones_own(tmp_path, monkeypatch):
    run = finished(RunStore())
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))  # datasets of one's own are there
    test = upload(uploading(), "four.png")
    (menu,) = test.menu_button
    assert menu.options == list(load_predictor(run).classes)
    menu.click("4").run()
    (dataset,) = dataset_ids()
    contents = open_version(dataset).contents
    assert contents.title == "Corrections of Digits"
    assert [(contents.classes[image.label], image.name) for image in contents.images.values()] == [("4", "four.png")]
    assert "1 image added." in " ".join(caption.value for caption in test.caption)
    test.menu_button[0].click("5").run()  # the same image, into the same dataset
    assert sorted(open_version(dataset).contents.classes.values()) == ["4", "5"] and dataset_ids() == [dataset]


def test_corrections_go_to_the_dataset_of_the_run_whatever_was_chosen_for_another_one(tmp_path, monkeypatch):
    digits, own = finished(RunStore()), finished(RunStore())
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    name, config = create_dataset("Pets").reference, own.config()
    own.write_config(config | {"data": config["data"] | {"dataset": name}})
    test = upload(uploading(digits.id), "four.png")
    (chosen,) = [each for each in test.selectbox if each.label == "Dataset"]
    assert chosen.options == ["Pets", "Corrections of Digits (new)"] and chosen.value == ""
    test.query_params["run"] = own.id
    test.run()
    upload(test, "four.png")
    (chosen,) = [each for each in test.selectbox if each.label == "Dataset"]
    assert chosen.value == name.partition("@")[0]


def test_corrections_of_a_dataset_whose_name_no_dataset_may_have_get_one_like_it(tmp_path, monkeypatch):
    run = finished(RunStore())
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    config = run.config()
    folder = str(tmp_path / "گل\u200cها\\b")  # with a zero-width non-joiner and a backslash
    run.write_config(config | {"data": config["data"] | {"dataset": folder}})
    test = upload(uploading(run.id), "four.png")
    test.menu_button[0].click("4").run()
    assert not test.error
    (dataset,) = dataset_ids()
    assert open_version(dataset).contents.title == "Corrections of گلها-b"
    test.menu_button[0].click("5").run()
    assert dataset_ids() == [dataset]


def test_an_image_is_added_as_the_network_saw_it(tmp_path, monkeypatch):
    finished(RunStore())
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    test = upload(uploading(), "four.bmp")  # all black
    test.toggle(key="invert Upload").set_value(True).run()
    test.menu_button[0].click("4").run()
    (dataset,) = dataset_ids()
    version = open_version(dataset)
    (image,) = version.contents.images.values()
    assert image.name == "four.png" and read_image(version.read(image)).getextrema() == ((255, 255),) * 3


def test_a_correction_goes_to_the_chosen_one_of_two_datasets_of_one_title(tmp_path, monkeypatch):
    finished(RunStore())
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))
    ids = twins("Pets")
    test = upload(uploading(), "four.png")
    (chosen,) = [each for each in test.selectbox if each.label == "Dataset"]
    assert chosen.options[:2] == [f"Pets · {each}" for each in ids]
    chosen.select_index(0).run()
    test.menu_button[0].click("4").run()
    assert [len(open_version(each).contents.images) for each in ids] == [1, 0]


def test_test_images_are_not_offered_for_a_dataset_to_train_on():
    finished(RunStore())
    test = opened("predict")
    assert answers(test) and not test.menu_button
