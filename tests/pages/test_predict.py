"""The Predict page: samples, galleries, probabilities, and answers that are corrected."""

import io
import json
import re
import shutil
from random import Random

import pyarrow as pa
import torch
from PIL import Image

from expertnet.data.images import load_image
from expertnet.data.own.folders import dataset_ids
from expertnet.data.own.versions import open_version
from expertnet.evaluation.outputs import measure_outputs
from expertnet.inference.attribution import attribute
from expertnet.inference.novelty import measure_novelty
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import load_own_test_set
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.utils.text import percent
from tests.support.opening import SHIPPED_CONTEXTS, finished, opened
from tests.support.predict import answers, files, second, sources, upload, uploading


def test_an_empty_page_names_the_classes_and_the_image_size():
    finished(RunStore())
    caption = uploading().caption[-1].value
    assert "10 classes: 0, 1, 2" in caption and "8 x 8 pixels" in caption
    assert "always answers with one of them" in caption


def test_the_page_begins_with_an_answer_for_a_test_image_and_links_to_its_routing_and_its_run():
    run = finished(RunStore())
    test = opened("predict")
    assert len(answers(test)) == 1 and len(test.get("vega_lite_chart")) == 2
    assert any(
        "true class of test image" in caption.value and caption.value.endswith(" is 0.") for caption in test.caption
    )
    back, link = test.get("page_link")
    assert (
        back.proto.label == "See training" and back.proto.page == "train" and back.proto.query_string == f"run={run.id}"
    )
    assert link.proto.label == "See routing" and f"run={run.id}" in link.proto.query_string
    place = int(re.search(r"image=(\d+)", link.proto.query_string)[1])
    assert load_own_test_set(run).labels[place - 1] == 0
    assert not test.warning


def test_without_the_test_images_the_page_begins_with_uploads(tmp_path, monkeypatch):
    run = finished(RunStore())
    config = run.config()
    run.write_config(config | {"data": config["data"] | {"dataset": str(tmp_path / "gone.zip")}})
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "empty"))
    test = opened("predict")
    assert sources(test).value == "Upload"
    assert not test.error and len(test.file_uploader) == 1
    sources(test).set_value("Samples").run()
    picker = next(control for control in test.selectbox if control.label == "Samples of")
    assert picker.options == ["Digits", "Shapes", "Contexts"] and len(answers(test)) == 1
    assert any("It is from Digits, where its class is 0." in caption.value for caption in test.caption)


def test_the_size_of_a_drawing_is_asked_for_with_its_reason_where_drawings_are_cropped():
    finished(RunStore())
    test = opened("predict")
    sources(test).set_value("Draw").run()
    (asked,) = [caption.value for caption in test.caption if "as large as the square" in caption.value]
    assert "cropped and enlarged" in asked
    run = Run(shutil.copytree(SHIPPED_CONTEXTS, RunStore().root / SHIPPED_CONTEXTS.name))
    test = opened("predict", run.id)
    sources(test).set_value("Draw").run()
    (asked,) = [caption.value for caption in test.caption if "as large as the square" in caption.value]
    assert "cropped" not in asked


def test_an_image_unlike_the_training_images_is_called_so_in_words_and_can_be_filtered():
    measure_novelty(finished(RunStore(), **{"training.epochs": 6}))
    noise, shades = io.BytesIO(), Random(0).randbytes(3 * 64)
    Image.frombytes("RGB", (8, 8), shades).save(noise, "PNG")
    digit, seen = io.BytesIO(), load_own_test_set(RunStore().list()[0]).images[0].permute(1, 2, 0).numpy()
    Image.fromarray(seen).save(digit, "PNG")
    test = uploading()
    for name, file in (("digit.png", digit), ("noise.png", noise)):
        test.file_uploader[0].upload(name, file.getvalue(), "image/png")
    test.run()
    assert any(caption.value.startswith("Nothing marks this image as unusual") for caption in test.caption)
    assert test.dataframe[0].value["unlike"].tolist() == [False, True]
    next(toggle for toggle in test.toggle if toggle.label == "Only unlike").set_value(True).run()
    assert files(test) == ["noise.png"] and "less typical than all 143 images" in test.warning[0].value
    assert test.warning[0].value.endswith("The answer may be wrong.")


def test_images_that_are_all_more_unusual_than_the_held_out_ones_are_sorted_by_their_score():
    run = finished(RunStore(), **{"training.epochs": 6})
    novelty, predictor, strange = measure_novelty(run), load_predictor(run), {}
    for seed in range(4):
        file = io.BytesIO()
        Image.frombytes("RGB", (8, 8), Random(seed).randbytes(3 * 64)).save(file, "PNG")
        strange[f"{seed}.png"] = file.getvalue()
    verdicts = novelty.verdicts(
        predictor.classify([load_image(each, predictor.image_size) for each in strange.values()])
    )
    assert all(verdict.as_unusual == 0 for verdict in verdicts)
    expected = [name for _, name in sorted(zip((-each.score for each in verdicts), strange, strict=True))]
    assert expected != list(strange)
    test = uploading()
    for name, content in strange.items():
        test.file_uploader[0].upload(name, content, "image/png")
    test.run()
    next(control for control in test.selectbox if control.label == "Order").set_value("Most unlike first").run()
    assert files(test) == expected


def test_where_the_true_class_is_known_the_page_says_whether_the_answer_is_right():
    """Also of an image that is unlike the others, and of each of two runs."""
    run, other = finished(RunStore()), finished(RunStore(), seed=1)
    novelty, predictor, split = measure_novelty(run), load_predictor(run), load_own_test_set(run)
    answered = predictor.classify(list(split.images))
    right = [answer.predictions[0].label == predictor.classes[split.labels[n]] for n, answer in enumerate(answered)]
    unlike = [verdict.unlike for verdict in novelty.verdicts(answered)]
    for place in (right.index(True), right.index(False), unlike.index(True)):
        test = opened("predict", run.id, image=str(place + 1))
        said, judged = [caption.value for caption in test.caption], "right" if right[place] else "wrong"
        assert f"The answer is {judged}. The true class of test image {place + 1} is {split.labels[place]}." in said
        assert bool(test.warning) is unlike[place] and not any("may be wrong" in each.value for each in test.warning)
    second(test).set_value(other.id).run()
    assert sum(caption.value.startswith("The answer is ") for caption in test.caption) == 2


def test_many_images_can_be_ordered_by_certainty_and_filtered_by_class():
    finished(RunStore())
    test = upload(uploading(), *(f"{number}.png" for number in range(6)))
    order = next(control for control in test.selectbox if control.label == "Order")
    order.set_value("Least certain first").run()
    table = test.dataframe[0].value
    assert table["probability"].is_monotonic_increasing
    label = table["class"][0]
    next(control for control in test.selectbox if control.label == "Answer").set_value(label).run()
    assert set(test.dataframe[0].value["class"]) == {label}


def test_the_page_says_where_the_decision_lies_and_what_each_expert_adds():
    run = finished(RunStore())
    test = opened("predict")
    label = answers(test)[0].split()[1]
    said = " ".join(caption.value for caption in test.caption)
    assert f"Orange positions raise the logit of {label}" in said
    found = attribute(load_predictor(run), load_own_test_set(run).images[load_own_test_set(run).labels == 0][0])
    for part, added in zip(found.parts, found.maps[int(label)].sum((1, 2)).tolist(), strict=True):
        assert f"{part}: {added:+.2f}" in said


def test_an_image_that_two_runs_answer_can_be_added_to_a_dataset_once(tmp_path, monkeypatch):
    run, other = finished(RunStore()), finished(RunStore(), seed=1)
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "data"))  # datasets of one's own are there
    test = upload(uploading(run.id), "four.png")
    second(test).set_value(other.id).run()
    (menu,) = test.menu_button
    menu.click("4").run()
    (dataset,) = dataset_ids()
    assert len(answers(test)) == 2 and len(open_version(dataset).contents.images) == 1


def test_calibrated_probabilities_are_shown_on_request_beside_those_before():
    """They are those of the logits over the temperature. Until then, the page shows what Evaluate and Mistakes show."""
    run = finished(RunStore())
    before = opened("predict", run.id)
    assert not any(toggle.label == "Calibrated" for toggle in before.toggle)
    temperature = measure_outputs(run, "validation").temperature
    test, predictor, split = opened("predict", run.id), load_predictor(run), load_own_test_set(run)
    toggle = next(toggle for toggle in test.toggle if toggle.label == "Calibrated")
    assert not toggle.value and answers(test) == answers(before)
    assert not any(caption.value.startswith("Calibrated") for caption in test.caption)
    toggle.set_value(True).run()
    with torch.inference_mode():
        logits = predictor.model(predictor.normalized(split.images[split.labels == 0][:1]))[0]
    own, calibrated = (percent((logits / each).softmax(0).max().item()) for each in (1, temperature))
    assert own != calibrated and answers(test)[0].endswith(f"({calibrated})")
    assert f"Calibrated; {own} before." in [caption.value for caption in test.caption]


def test_the_table_of_calibrated_answers_has_the_probabilities_before():
    run = finished(RunStore())
    measure_outputs(run, "validation")
    test = upload(uploading(), "dark.png", "light.png")
    before = test.dataframe[0].value
    next(toggle for toggle in test.toggle if toggle.label == "Calibrated").set_value(True).run()
    after = test.dataframe[0].value
    assert "before calibration" not in before and after["before calibration"].tolist() == before["probability"].tolist()
    assert after["probability"].tolist() != before["probability"].tolist()


def test_the_table_gives_probabilities_as_the_answer_does():
    finished(RunStore())
    test = upload(uploading(), "gray.png")
    column = json.loads(test.dataframe[0].proto.columns)["probability"]["type_config"]
    (label,), (share,) = test.dataframe[0].value["class"], test.dataframe[0].value["probability"]
    assert answers(test) == [f"Answer: {label} ({column['format'] % share})"]
    assert column["format"] % column["max_value"] == percent(1)


def test_only_blocks_that_have_experts_show_routing():
    run = Run(shutil.copytree(SHIPPED_CONTEXTS, RunStore().root / SHIPPED_CONTEXTS.name))
    test = opened("predict", run.id)
    (dataset,) = test.get("vega_lite_chart")[1].proto.datasets
    table = pa.ipc.open_stream(dataset.data.data).read_pandas()
    assert run.settings().model.routed_blocks == (2,) and set(table["block"]) == {2} and len(table) == 3
