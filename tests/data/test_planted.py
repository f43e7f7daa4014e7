"""The datasets drawn by code: what the images show, what the classes are, and that they are the same everywhere."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageDraw

from expertnet.data import planted
from expertnet.data.datasets import load_dataset
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings

SIZE = 64
# What each background makes of a circle, a square, a triangle and a cross
RULES = {
    "green": ["go", "stop", "left", "right"],
    "yellow": ["stop", "go", "left", "right"],
    "blue": ["go", "stop", "right", "left"],
}


@pytest.fixture(scope="module")
def table():
    return planted.factors(count=48, seed=5)


@pytest.fixture(scope="module")
def images(table):
    return planted.draw(table, SIZE, 5)


def distances(table, size=SIZE):
    """How far each pixel is from the center of the card, as a share of the width: (N, size, size)."""
    place = (np.arange(size) + 0.5) / size
    x, y = (table[name].to_numpy()[:, None, None] for name in ("x", "y"))
    return np.hypot(place[None, None, :] - x, place[None, :, None] - y)


def loaded(name):
    return load_dataset(DataSettings(dataset=name, validation_share=0), 0)


@pytest.mark.slow
def test_the_images_are_the_same_on_every_computer():
    contents = {name: loaded(name).info.content for name in planted.CLASSES}
    assert contents == {"shapes": "b19a0552868de7562185ec59216f9eea", "contexts": "221a6ea0a6d7016884cf185a85602a39"}


@pytest.mark.slow
def test_both_datasets_have_the_same_images_and_the_classes_of_their_factors():
    shapes, contexts = loaded("shapes"), loaded("contexts")
    assert shapes.info.classes == ("circle", "square", "triangle", "cross")
    assert contexts.info.classes == ("go", "stop", "left", "right")
    for part in planted.PARTS:
        first, second, known = getattr(shapes, part), getattr(contexts, part), planted.factors(part)
        assert torch.equal(first.images, second.images)
        assert first.labels.tolist() == known["shape"].cat.codes.tolist()
        assert second.labels.tolist() == known["meaning"].cat.codes.tolist()


def test_the_meaning_of_a_shape_is_a_permutation_for_each_background():
    for part in planted.PARTS:
        for row in planted.factors(part).itertuples():
            assert row.meaning == RULES[row.background][planted.SHAPES.index(row.shape)]


def test_the_ground_alone_says_nothing_about_the_meaning_and_the_shape_says_two_thirds():
    known = planted.factors("test")
    by_background, by_shape = (
        pd.crosstab(known[column], known["meaning"]).to_numpy() for column in ("background", "shape")
    )
    assert (by_background == 150).all()
    assert [sorted(counts) for counts in by_shape.tolist()] == [[0, 0, 150, 300]] * 4


@pytest.mark.parametrize("count", [1, 15, 100])
def test_every_pair_of_shape_and_ground_is_equally_frequent(count):
    pairs = planted.factors(count=count, seed=2).groupby(["shape", "background"], observed=False).size()
    assert len(pairs) == 12 and pairs.sum() == count and pairs.max() - pairs.min() <= 1


def test_the_ground_the_card_and_the_shape_have_their_colors(table, images):
    far = distances(table)
    for row, image, distance in zip(table.itertuples(), images.astype(float), far, strict=True):
        inside = distance < planted.RADIUS / 3
        edge = abs(distance - planted.CARD) * SIZE < 1.5
        beyond_shape = (distance > 1.7 * planted.RADIUS) & (distance < planted.CARD) & ~edge
        beyond_card = (distance > planted.CARD) & ~edge
        for where, color in (
            (inside, planted.COLORS[row.color]),
            (beyond_shape, (128, 128, 128)),
            (beyond_card, planted.BACKGROUNDS[row.background]),
        ):
            assert abs(image[where].mean(0) - color).max() < 8, (row, color)
        # Noise alone deviates by 7.2, and with the texture of the least contrast, checks, by 12.3
        assert (image[beyond_card].std(0) > 10).all() == (row.texture != "plain"), row


def corners(shape):
    """The corners of a shape with the area of a circle of radius 1, around its center."""
    if shape == "circle":
        return [(math.cos(turn / 50), math.sin(turn / 50)) for turn in range(315)]
    if shape == "square":
        half = math.sqrt(math.pi) / 2
        return [(half, half), (-half, half), (-half, -half), (half, -half)]
    if shape == "triangle":
        far = math.sqrt(4 * math.pi / math.sqrt(27))  # its area is 3/4 sqrt(3) far^2
        return [(far * math.sin(turn), far * math.cos(turn)) for turn in (0, 2 * math.pi / 3, 4 * math.pi / 3)]
    width = math.sqrt(math.pi / 5)  # a cross of five squares
    quarter = [(width / 2, 1.5 * width), (width / 2, width / 2), (1.5 * width, width / 2)]
    turns = [(1, 0), (0, 1), (-1, 0), (0, -1)]
    return [(cos * x + sin * y, cos * y - sin * x) for cos, sin in turns for x, y in quarter]


def test_shapes_have_their_outline_place_and_rotation(table, images):
    scale = 8  # Pillow draws without soft edges
    for row, image in zip(table.itertuples(), images, strict=True):
        canvas = Image.new("L", (SIZE * scale, SIZE * scale))
        angle = math.radians(row.rotation)
        turned = [
            (math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y)
            for x, y in corners(row.shape)
        ]
        points = [
            ((row.x + planted.RADIUS * x) * SIZE * scale, (row.y + planted.RADIUS * y) * SIZE * scale)
            for x, y in turned
        ]
        ImageDraw.Draw(canvas).polygon(points, fill=255)
        expected = np.asarray(canvas.resize((SIZE, SIZE), Image.Resampling.BOX)) / 255
        near = distances(table.loc[[row.Index]])[0] < 2 * planted.RADIUS
        gray = np.array([128.0] * 3)
        color = np.array(planted.COLORS[row.color]) - gray
        found = (image - gray) @ color / (color @ color)  # share of the shape's color, with noise
        assert abs((found - expected)[near].sum()) < 0.06 * expected.sum(), row
        assert abs(found.clip(0, 1) - expected)[expected > 0].mean() < 0.1, row


def test_any_size_count_and_seed_can_be_drawn():
    first = planted.draw(planted.factors(count=5, seed=1), 20, 1)
    assert first.shape == (5, 20, 20, 3) and first.dtype == np.uint8
    assert np.array_equal(first, planted.draw(planted.factors(count=5, seed=1), 20, 1))
    assert not np.array_equal(first, planted.draw(planted.factors(count=5, seed=2), 20, 1))
    assert not planted.factors("train", 50).equals(planted.factors("test", 50))


@pytest.mark.slow
def test_the_datasets_are_drawn_at_the_image_size():
    small = load_dataset(DataSettings(dataset="contexts", image_size=16), 0).test
    assert np.array_equal(small.images.permute(0, 2, 3, 1).numpy(), planted.draw(planted.factors("test"), 16, 1))


def test_what_cannot_be_drawn_is_refused_in_a_sentence(table):
    for size in (0, 7, 1025):
        with pytest.raises(
            DatasetError, match=rf"^Images can be drawn with 8 to 1,024 pixels a side. You asked for {size}.$"
        ):
            planted.draw(table, size)
    with pytest.raises(DatasetError, match=r"^At least one image must be drawn. You asked for 0.$"):
        planted.factors(count=0)
    with pytest.raises(DatasetError, match=r"^Images are drawn for the parts train and test. You asked for 'val'.$"):
        planted.factors("val")
