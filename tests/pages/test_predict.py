"""The Predict page: uploads are classified once, and a file that cannot be read is named."""

import io

import pytest
from PIL import Image

from expertnet.inference.predictor import Predictor
from expertnet.store.run_store import RunStore
from expertnet.ui.predict.results import CARDS
from tests.support.opening import finished, opened


def png(shade):
    image = io.BytesIO()
    Image.new("L", (8, 8), shade).save(image, "PNG")
    return image.getvalue()


def upload(test, *names):
    for shade, name in enumerate(names):
        test.file_uploader[0].upload(name, png(shade), "image/png")
    test.run()
    assert not test.exception, [error.value for error in test.exception]
    return test


@pytest.fixture
def classified(monkeypatch):
    """The number of images in each call of the network."""
    counts, classify = [], Predictor.classify

    def counting(predictor, images, top=5):
        counts.append(len(images))
        return classify(predictor, images, top)

    monkeypatch.setattr(Predictor, "classify", counting)
    return counts


def files(test):
    return test.dataframe[0].value["file"].tolist()


def test_an_empty_page_names_the_classes_and_the_image_size():
    finished(RunStore())
    (caption,) = opened("predict").caption
    assert "10 classes: 0, 1, 2" in caption.value and "8 x 8 pixels" in caption.value


def test_an_upload_gets_an_answer_its_probabilities_and_its_routing():
    finished(RunStore())
    test = upload(opened("predict"), "gray.png")
    assert any(text.value.startswith("Answer: **") for text in test.markdown)
    assert len(test.get("vega_lite_chart")) == 2
    assert files(test) == ["gray.png"]


def test_each_upload_is_classified_once(classified):
    finished(RunStore())
    test = upload(opened("predict"), "dark.png", "light.png")
    test.run()
    assert files(test) == ["dark.png", "light.png"] and sum(classified) == 2


def test_another_network_classifies_the_uploads_again(classified):
    runs = [finished(RunStore()), finished(RunStore(), seed=1)]
    test = upload(opened("predict", runs[0].id), "gray.png")
    test.selectbox[0].set_value(runs[1].id).run()
    assert not test.exception and sum(classified) == 2


def test_a_file_that_is_no_image_is_named_beside_the_others():
    finished(RunStore())
    test = opened("predict")
    test.file_uploader[0].upload("<b>no</b>.png", b"not an image", "image/png")
    upload(test, "gray.png")
    (error,) = test.error
    assert "not an image" in error.value and "<b>" not in error.value
    assert files(test) == ["<b>no</b>.png", "gray.png"]
    assert test.dataframe[0].value["error"].notna().tolist() == [True, False]


def test_many_uploads_are_all_in_the_table_and_the_first_have_charts():
    finished(RunStore())
    test = upload(opened("predict"), *(f"{number}.png" for number in range(CARDS + 2)))
    assert len(test.get("vega_lite_chart")) == 2 * CARDS
    assert len(files(test)) == CARDS + 2
    assert any(f"All {CARDS + 2} files" in caption.value for caption in test.caption)


def test_uploads_stay_while_the_camera_is_used():
    finished(RunStore())
    test = upload(opened("predict"), "gray.png")
    test.toggle(key="with camera").set_value(True).run()
    assert not test.exception and files(test) == ["gray.png"]
