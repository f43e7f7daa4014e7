"""The Predict page, its uploads and answers."""

import io

from PIL import Image

from tests.support.opening import opened


def png(shade):
    image = io.BytesIO()
    Image.new("L", (8, 8), shade).save(image, "PNG")
    return image.getvalue()


def uploading(run=None):
    """Return the page with its field for uploads."""
    test = opened("predict", run)
    sources(test).set_value("Upload").run()
    return test


def sources(test):
    return next(control for control in test.segmented_control if control.label == "Images from")


def second(test):
    return next(control for control in test.selectbox if control.label == "Compare with")


def answers(test):
    return [heading.value for heading in test.subheader if heading.value.startswith("Answer: ")]


def upload(test, *names):
    for shade, name in enumerate(names):
        test.file_uploader[0].upload(name, png(shade), "image/png")
    test.run()
    assert not test.exception, [error.value for error in test.exception]
    return test


def files(test):
    return test.dataframe[0].value["file"].tolist()
