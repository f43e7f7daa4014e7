"""Looking at images: hashes against imagehash, measures against answers on paper, and which files cannot be used."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from expertnet.curation.quality import find_faults
from expertnet.curation.survey import look, perceptual_hashes, survey
from expertnet.data.datasets import load_decoded
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Cancelled, never, silent
from tests.support.photos import encoded, photo, write


def tensor(image):
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def test_hashes_are_those_of_imagehash():
    imagehash = pytest.importorskip("imagehash")
    images = [photo(seed, 64, 64) for seed in range(40)]
    hashes = perceptual_hashes(np.stack([look(tensor(image)).gray_HH for image in images]))
    assert [f"{number:016x}" for number in hashes.tolist()] == [str(imagehash.phash(image)) for image in images]


@pytest.mark.parametrize(("shade", "brightness"), [(0, 0.0), (51, 0.2), (255, 1.0)])
def test_an_image_of_one_shade_has_its_brightness_and_the_least_detail(shade, brightness):
    found = look(tensor(Image.new("L", (64, 64), shade)))
    # the weights of red, green and blue sum to 1
    assert (found.darkest, found.brightest) == pytest.approx((brightness, brightness), abs=1e-3)
    assert found.detail == pytest.approx(math.log2(3) / 10)  # bits: one shade each of red, green and blue


def test_two_shades_in_equal_parts_are_one_bit_more():
    board = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8))
    found = look(tensor(board))
    assert found.detail == pytest.approx(math.log2(6) / 10)
    assert (found.darkest, found.brightest) == pytest.approx((0, 1))


def test_each_fault_is_found_and_no_other(tmp_path):
    def changed(seed, change):
        return encoded(photo(seed).point(change))

    files = {f"a/{seed}.png": encoded(photo(seed)) for seed in range(12)}
    files |= {f"b/{seed}.png": encoded(photo(seed)) for seed in range(20, 32)}
    files |= {
        "a/dark.png": changed(40, lambda value: value // 10),
        "a/bright.png": changed(41, lambda value: 250 + value // 51),
        "a/blurred.png": encoded(photo(42, 400, 300).filter(ImageFilter.GaussianBlur(4))),
        "b/plain.png": encoded(Image.new("RGB", (96, 72), (120, 130, 90))),
        "b/large.png": encoded(photo(43, 960, 720)),
        "b/wide.png": encoded(photo(44, 200, 40)),
    }
    images = survey(DataSettings(dataset=str(write(tmp_path / "own", files)))).images
    found = {kind: {images["name"][row] for row in rows} for kind, rows in find_faults(images).items()}
    assert found["dark"] == {"a/dark.png"}
    assert found["bright"] == {"a/bright.png"}
    assert found["blurred"] >= {"a/blurred.png"}
    assert found["plain"] == {"b/plain.png"}
    assert found["odd_size"] >= {"b/large.png"}
    assert found["odd_shape"] == {"b/wide.png"}
    named = set().union(*found.values())
    assert not any(name.split("/")[1][:-4].isdigit() for name in named)


def test_files_that_cannot_be_used_are_named_with_a_reason(tmp_path):
    whole = encoded(photo(0))
    files = {f"{name}/{seed}.png": encoded(photo(seed)) for name in "ab" for seed in range(3)}
    files |= {
        "a/empty.png": b"",
        "a/cut.png": whole[:500],
        "b/page.png": b"<html>",
        "b/notes.txt": b"x",
        "top.png": whole,
    }
    found = survey(DataSettings(dataset=str(write(tmp_path / "own", files))))
    assert len(found.images) == 6
    reasons = {item.file: item.reason for item in found.unreadable}
    assert reasons.keys() == {"a/empty.png", "a/cut.png", "b/page.png", "b/notes.txt", "top.png"}
    assert "empty" in reasons["a/empty.png"] and "damaged" in reasons["a/cut.png"]
    assert "not an image" in reasons["b/page.png"] and "class folder" in reasons["top.png"]


def test_rows_are_in_the_order_of_the_decoded_images(tmp_path):
    files = {
        f"{part}/{name}/{seed}.png": encoded(photo(seed))
        for part in ("test", "train")
        for name in "ba"
        for seed in (1, 2)
    }
    files["train/a/broken.png"] = b"no image"
    data = DataSettings(dataset=str(write(tmp_path / "own", files)), image_size=8)
    images, (_, decoded) = survey(data).images, load_decoded(data, silent, never, None)
    labels = torch.cat([decoded.train.labels, decoded.test.labels])
    assert images["label"].tolist() == labels.tolist()
    for row, split in ((2, decoded.train), (6, decoded.test)):
        seed = int(images["name"][row][-5])
        expected = tensor(photo(seed).resize((8, 8), Image.Resampling.BILINEAR, box=(12, 0, 84, 72)))
        assert torch.equal(split.images[images["place"][row]], expected)


@pytest.mark.slow
def test_built_in_datasets_can_be_surveyed():
    found = survey(DataSettings(dataset="digits", image_size=8))
    assert len(found.images) == 1797 and found.images["name"].iloc[-1] == "test image 359"


def test_a_missing_dataset_and_a_stop(tmp_path):
    with pytest.raises(DatasetError, match="no folder or archive"):
        survey(DataSettings(dataset=str(tmp_path / "none")))
    files = {f"{name}/{seed}.png": encoded(photo(seed)) for name in "ab" for seed in range(2)}
    with pytest.raises(Cancelled):
        survey(DataSettings(dataset=str(write(tmp_path / "own", files))), cancelled=lambda: True)
