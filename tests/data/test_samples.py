"""Sample images of datasets, taken from the cache alone."""

import pytest
import torch
from PIL import Image

from expertnet.data import planted, samples
from expertnet.data.custom import scan
from expertnet.data.datasets import load_dataset
from expertnet.settings.schema import DataSettings


@pytest.mark.slow
def test_samples_are_test_images_of_different_classes():
    samples.prepare_samples()
    found = samples.samples("digits")
    assert tuple(found.shape) == (3, 64, 96)
    split = load_dataset(DataSettings(dataset="digits"), 0).test
    for place in range(6):
        top, left = 32 * (place // 3), 32 * (place % 3)
        first = int((split.labels == place).nonzero()[0])
        assert torch.equal(found[:, top : top + 32, left : left + 32], split.images[first])


@pytest.mark.slow
def test_shapes_are_shown_on_one_ground_and_contexts_on_every_background():
    """Their images are the same, and would look alike side by side."""
    samples.prepare_samples()
    table = planted.factors("test")
    for name, column, wanted in (
        ("shapes", "background", ["green"] * 6),
        ("shapes", "shape", ["circle", "square", "triangle", "cross", "circle", "square"]),
        ("contexts", "background", ["green", "yellow", "blue"] * 2),
        ("contexts", "shape", ["circle"] * 3 + ["square"] * 3),
    ):
        found = samples.samples(name)
        split = load_dataset(DataSettings(dataset=name), 0).test
        tiles = [tile for row in found.split(32, dim=1) for tile in row.split(32, dim=2)]
        places = [int((split.images == tile).all(3).all(2).all(1).nonzero()[0]) for tile in tiles]
        assert len(set(places)) == 6 and table[column][places].tolist() == wanted


def test_a_dataset_that_is_not_here_has_no_samples(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path))
    assert samples.samples("svhn") is None and not list(tmp_path.iterdir())


def test_samples_of_your_own_images_are_one_of_each_class_then_the_next_without_unreadable_ones(tmp_path):
    for name, gray in (("cat", 10), ("dog", 200)):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("L", (8, 8), gray + number).save(tmp_path / name / f"{number}.png")
    (tmp_path / "cat" / "0.png").write_bytes(b"no image")
    data = DataSettings(dataset=str(tmp_path))
    found = scan(data)
    assert len(found.examples) == 6 and [path[:3] for path in found.examples] == ["cat", "dog"] * 3
    assert samples.own_samples(data.dataset) is None
    assert samples.read_samples(data, found.examples) and not samples.read_samples(data, found.examples)
    tiles = samples.own_samples(data.dataset)[0].unfold(0, 64, 64).unfold(1, 64, 64)
    grays = [int(tile.unique()) for row in tiles for tile in row]  # each tile has one gray
    read = [{"c": 10, "d": 200}[path[0]] + int(path[4]) for path in found.examples if path != "cat/0.png"]
    assert grays == (read * 2)[:6]
