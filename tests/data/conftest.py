"""A folder for decoded images, and one with images of two classes."""

import pytest

from expertnet.data.datasets import load_dataset
from expertnet.settings.schema import DataSettings
from tests.support.gray import image


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture
def folder(tmp_path):
    """Two classes in train (10 images each) and test (2 each). Every image has its own gray level."""
    for part, count, first in (("train", 10, 0), ("test", 2, 100)):
        for index, name in enumerate(("cat", "dog")):
            (tmp_path / "folder" / part / name).mkdir(parents=True)
            for number in range(count):
                path = tmp_path / "folder" / part / name / f"{number}.png"
                path.write_bytes(image(first + 50 * index + number))
    return tmp_path / "folder"


@pytest.fixture
def load(root):
    """Load a path at 8 pixels, without validation images."""

    def loaded(path, **settings):
        return load_dataset(DataSettings(dataset=str(path), image_size=8, validation_share=0, **settings), seed=0)

    return loaded
