"""Duplicates: pairs against a plain loop, and groups whose answer is known."""

from itertools import combinations

import numpy as np
import pytest

from expertnet.curation.check import duplicates_sentence
from expertnet.curation.duplicates import find_duplicates, near_pairs
from expertnet.curation.survey import survey
from expertnet.data.own.datasets import create_dataset
from expertnet.data.own.intake import add_files
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Cancelled
from tests.support.photos import encoded, photo, write


@pytest.mark.parametrize("distance", [0, 3, 24])
def test_pairs_are_those_of_a_plain_loop(distance):
    hashes = np.random.default_rng(5).integers(0, 2**63, 200, dtype=np.uint64)
    hashes = np.concatenate([hashes, hashes[:30] ^ np.uint64(0b1011), hashes[30:40]])
    expected = {
        (i, j)
        for i, j in combinations(range(len(hashes)), 2)
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= distance
    }
    assert {tuple(pair) for pair in near_pairs(hashes, distance).tolist()} == expected


def groups_of(found, distance):
    names = found.images["name"]
    return [({names[row] for row in group.rows}, group) for group in find_duplicates(found.images, distance)]


def test_copies_are_grouped_across_classes_and_sets(tmp_path):
    photos = {seed: photo(seed, 128, 96) for seed in range(8)}
    files = {
        "train/a/0.png": encoded(photos[0]),
        "train/a/0 again.bmp": encoded(photos[0], "BMP"),
        "train/a/1.png": encoded(photos[1]),
        "train/b/2.png": encoded(photos[2]),
        "train/b/3.png": encoded(photos[3]),
        "train/b/1 small.jpg": encoded(photos[1].resize((96, 72)), "JPEG", quality=80),
        "test/a/4.png": encoded(photos[4]),
        "test/b/2 jpeg.jpg": encoded(photos[2], "JPEG", quality=70),
        "test/b/5.png": encoded(photos[5]),
    }
    found = survey(DataSettings(dataset=str(write(tmp_path / "own", files))))
    (across_sets, first), (across_classes, second), (same, third) = groups_of(found, 4)
    assert across_sets == {"train/b/2.png", "test/b/2 jpeg.jpg"}
    assert first.across_sets and not first.across_classes and not first.exact
    assert across_classes == {"train/a/1.png", "train/b/1 small.jpg"}
    assert second.across_classes and not second.across_sets and not second.exact
    assert same == {"train/a/0.png", "train/a/0 again.bmp"}
    assert third.exact and not third.across_classes and not third.across_sets


def test_copies_in_training_and_validation_are_across_sets(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path))
    photos = [photo(seed) for seed in range(10)]
    files = {
        f"train/{name}/{seed}.png": encoded(photos[seed + 3 * (name == "b")]) for name in "ab" for seed in range(3)
    }
    files |= {f"validation/{name}/held.png": encoded(photos[6 + (name == "b")]) for name in "ab"}
    files |= {f"test/{name}/tested.png": encoded(photos[8 + (name == "b")]) for name in "ab"}
    files |= {
        "validation/a/copy.png": encoded(photos[1], compress_level=1),
        "test/b/copy.png": encoded(photos[7], "BMP"),
    }
    files |= {"train/b/again.png": encoded(photos[4], compress_level=1)}
    found = survey(DataSettings(dataset=add_files(create_dataset("Own").dataset, files.items()).version.reference))
    groups = groups_of(found, 0)
    assert [(names, group.sets, group.across_sets) for names, group in groups] == [
        ({"a/1.png", "a/copy.png"}, ("train", "validation"), True),
        ({"b/held.png", "b/copy.png"}, ("validation", "test"), True),
        ({"b/1.png", "b/again.png"}, ("train",), False),
    ]
    assert "2 groups in several of train, validation and test: a network would be judged" in duplicates_sentence(
        [group for _, group in groups]
    )


def test_all_images_alike_are_one_group(tmp_path):
    files = {f"{name}/{number}.png": encoded(photo(1)) for name in "ab" for number in range(40)}
    found = survey(DataSettings(dataset=str(write(tmp_path / "own", files))))
    ((names, group),) = groups_of(found, 0)
    assert len(names) == 80 and group.exact and group.across_classes and group.across_sets


def test_the_search_can_be_stopped():
    with pytest.raises(Cancelled):
        near_pairs(np.zeros(10, dtype=np.uint64), 4, cancelled=lambda: True)
