"""What a browser sends as a drawing is decoded like an upload, or rejected with a sentence."""

import pytest
import torch

from expertnet.data.data_url import START, from_data_url, to_data_url
from expertnet.data.images import load_image
from expertnet.errors import ImageError


def test_an_image_survives_the_way_there_and_back():
    image = torch.arange(3 * 8 * 8, dtype=torch.uint8).view(3, 8, 8)
    assert torch.equal(load_image(from_data_url(to_data_url(image)), 8), image)


@pytest.mark.parametrize(
    "sent", [None, 7, ["a"], {"a": 1}, "", "javascript:alert(1)", "data:text/html,<script>", f"{START}é", f"{START}%%%"]
)
def test_anything_else_is_rejected(sent):
    with pytest.raises(ImageError, match="could not be read"):
        from_data_url(sent)


def test_a_drawing_that_is_too_large_is_rejected_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr("expertnet.data.data_url.MAX_BYTES", 9)
    with pytest.raises(ImageError):
        from_data_url(START + "A" * 100)


def test_bytes_that_are_no_image_reach_the_reader_of_images_only():
    with pytest.raises(ImageError, match="not an image"):
        load_image(from_data_url(f"{START}bm90IGFuIGltYWdl"), 8)
