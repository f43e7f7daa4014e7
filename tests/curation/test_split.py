"""Divisions of images: shares, classes and duplicates."""

from collections import Counter

import numpy as np
import pytest

from expertnet.curation.split import divide, gaps, split_dataset
from expertnet.data.datasets import load_decoded
from expertnet.data.own.datasets import create_dataset, undo
from expertnet.data.own.intake import add_files, files_at
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import never, silent
from tests.support.photos import encoded, photo, write

SHARES = [0.7, 0.1, 0.2]


@pytest.mark.parametrize("seed", range(5))
def test_every_class_has_its_share_and_no_group_is_divided(seed):
    random = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], [100, 50, 30])
    groups = np.arange(180)
    for first in random.choice(170, 20, replace=False):
        groups[first : first + random.integers(2, 4)] = groups[first]
    sets = divide(labels, groups, SHARES, seed)
    for group in np.unique(groups):
        assert len(set(sets[groups == group])) == 1, seed
    for label, count in ((0, 100), (1, 50), (2, 30)):
        shares = np.bincount(sets[labels == label], minlength=3) / count
        assert shares == pytest.approx(SHARES, abs=4 / count), seed  # a group of three can be in the way


def test_the_seed_decides():
    labels, groups = np.repeat([0, 1], 50), np.arange(100)
    first, again, other = (divide(labels, groups, SHARES, seed) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    assert np.bincount(first).tolist() == [70, 10, 20]


def test_few_images_are_in_every_set_and_an_empty_share_gets_none():
    labels = np.repeat([0, 1, 2], 3)
    assert [sorted(divide(labels, np.arange(9), SHARES, 0)[labels == label]) for label in range(3)] == [[0, 1, 2]] * 3
    assert divide(labels, np.arange(9), [0.8, 0.0, 0.2], 0).max() == 2 and 1 not in divide(
        labels, np.arange(9), [0.8, 0, 0.2], 0
    )
    assert divide(np.zeros(4, dtype=int), np.zeros(4, dtype=int), SHARES, 0).tolist() == [0] * 4


def test_the_test_images_of_a_dataset_are_chosen_anew_with_duplicates_on_one_side(tmp_path):
    files = {f"{'ab'[seed % 2]}/{seed}.png": encoded(photo(seed)) for seed in range(40)}
    files |= {f"{'ab'[seed % 2]}/{seed} again.jpg": encoded(photo(seed), "JPEG", quality=85) for seed in range(10)}
    dataset = create_dataset("Photos").dataset
    add_files(dataset, files_at(write(tmp_path / "own", files)))
    version = split_dataset(dataset, 0.2, 0.1, seed=3)
    sets = {image.name.split(".")[0]: image.split for image in version.contents.images.values()}
    assert all(sets[f"{seed} again"] == sets[str(seed)] for seed in range(10))
    assert Counter(sets.values()) == {"train": 36, "validation": 4, "test": 10}
    assert "4 images held out for validation and 10 for the test" in version.what
    assert split_dataset(dataset, 0.2, 0.1, seed=3).number == version.number  # the seed decides, whatever the sets were
    _, decoded = load_decoded(DataSettings(dataset=version.reference, image_size=8), silent, never, None)
    assert decoded.test.labels.bincount().tolist() == [5, 5] and len(decoded.train) == 40
    assert not undo(dataset).has_parts
    assert not split_dataset(dataset, 0.2, 0).held


def test_classes_without_images_in_a_set_are_named():
    sets = {("rose", "train"): 8, ("rose", "test"): 2, ("tulip", "train"): 9, ("tulip", "test"): 0}
    assert gaps(sets) == "The test set has no images of “tulip”."
    assert gaps(sets | {("tulip", "test"): 1}) == gaps({("rose", "train"): 8}) == ""  # a run draws what there is not
    many = {(f"{number}", "train"): 1 for number in range(7)} | {("0", "validation"): 1}
    assert gaps(many) == "The validation set has no images of “1”, “2”, “3”, “4” and “5”, and of 1 more class."


def test_a_share_or_a_dataset_that_cannot_be_used():
    for shares in ((1.0, 0), (0, 0.1), (0.2, -0.1), (0.6, 0.4)):
        with pytest.raises(DatasetError, match="less than 1"):
            split_dataset("any", *shares)
    with pytest.raises(DatasetError, match="your own datasets"):
        split_dataset("digits", 0.2, 0)
