"""Uploads on the Predict page: each is classified once, shown, and named if it is no image."""

import io

import pytest
from PIL import Image, ImageDraw

from expertnet.inference.predictor import Predictor
from expertnet.store.run_store import RunStore
from expertnet.ui.predict.gallery import CHOSEN, KNOWN, TILES
from tests.support.opening import finished
from tests.support.predict import answers, files, sources, upload, uploading


@pytest.fixture
def classified(monkeypatch):
    """The number of images in each call of the network."""
    counts, classify = [], Predictor.classify

    def counting(predictor, images, top=5):
        counts.append(len(images))
        return classify(predictor, images, top)

    monkeypatch.setattr(Predictor, "classify", counting)
    return counts


def test_dark_on_light_gets_a_notice_and_a_button_that_inverts(classified):
    finished(RunStore())
    test = uploading()
    file, paper = io.BytesIO(), Image.new("L", (80, 80), 240)
    ImageDraw.Draw(paper).line([(25, 20), (55, 20), (35, 60)], fill=20, width=8)
    paper.save(file, "PNG")
    test.file_uploader[0].upload("seven.png", file.getvalue(), "image/png")
    test.run()
    assert "dark on light" in test.warning[0].value
    next(button for button in test.button if button.label == "Invert light and dark").click().run()
    assert test.toggle(key="invert Upload").value and not any("on light" in warning.value for warning in test.warning)
    assert sum(classified[1:]) == 2  # once each way
    test.toggle(key="invert Upload").set_value(False).run()
    assert "dark on light" in test.warning[0].value


def test_a_drawing_is_not_inverted_because_a_photo_was():
    finished(RunStore())
    test = uploading()
    test.toggle(key="invert Upload").set_value(True).run()
    sources(test).set_value("Draw").run()
    (toggle,) = [toggle for toggle in test.toggle if toggle.label == "Invert"]
    assert not toggle.value


def test_the_newest_image_is_shown_and_the_chosen_one_stays_in_another_order_and_inverted():
    finished(RunStore(), **{"training.epochs": 6})
    test = upload(uploading(), "dark.png", "light.png")

    def shown():
        (name,) = {caption.value for caption in test.caption} & {"dark.png", "light.png"}
        return name

    assert shown() == "dark.png"
    test.session_state[KNOWN] = test.session_state[KNOWN][:1]  # as if the second had arrived just now
    test.run()
    assert shown() == "light.png"
    test.session_state[CHOSEN] = test.session_state[KNOWN][0]  # as a press on the first tile does
    test.run()
    order = next(control for control in test.selectbox if control.label == "Order")
    for name in ("Least certain first", "Most certain first"):  # it is first in one of them at most
        order.set_value(name).run()
        assert shown() == "dark.png"
    test.toggle(key="invert Upload").set_value(True).run()
    assert shown() == "dark.png"


def test_an_upload_gets_an_answer_its_probabilities_and_its_routing():
    finished(RunStore())
    test = upload(uploading(), "gray.png")
    assert len(answers(test)) == 1
    assert len(test.get("vega_lite_chart")) == 2
    assert files(test) == ["gray.png"]


def test_each_upload_is_classified_once(classified):
    finished(RunStore())
    test = upload(uploading(), "dark.png", "light.png")
    test.run()
    assert files(test) == ["dark.png", "light.png"] and sum(classified) == 1 + 2  # the sample at first


def test_another_network_classifies_the_uploads_again(classified):
    runs = [finished(RunStore()), finished(RunStore(), seed=1)]
    test = upload(uploading(runs[0].id), "gray.png")
    test.selectbox[0].set_value(runs[1].id).run()
    assert not test.exception and sum(classified) == 1 + 2


def test_a_file_that_is_no_image_is_named_beside_the_others():
    finished(RunStore())
    test = uploading()
    test.file_uploader[0].upload("<b>no</b>.png", b"not an image", "image/png")
    upload(test, "gray.png")
    (error,) = test.error
    assert "not an image" in error.value and "<b>" not in error.value
    assert files(test) == ["<b>no</b>.png", "gray.png"]
    assert test.dataframe[0].value["error"].notna().tolist() == [True, False]


def test_many_uploads_are_all_in_the_table_and_one_is_shown_large():
    finished(RunStore())
    test = upload(uploading(), *(f"{number}.png" for number in range(TILES + 2)))
    assert len(test.get("vega_lite_chart")) == 2 and len(answers(test)) == 1
    assert len(files(test)) == TILES + 2
    assert any(f"All {TILES + 2} files" in caption.value for caption in test.caption)


def test_uploads_stay_while_the_camera_is_used():
    finished(RunStore())
    test = upload(uploading(), "gray.png")
    sources(test).set_value("Camera").run()
    assert not test.exception and files(test) == ["gray.png"]
