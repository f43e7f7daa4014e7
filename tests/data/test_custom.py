"""Your own images: looked at without decoding, and told from those of a run."""

import os
import re
import shutil
from dataclasses import replace

import pytest

from expertnet.data.custom import known_class_count, refuse_changed_images, scan
from expertnet.data.datasets import find_cached, has_changed, load_dataset, load_test_split
from expertnet.data.info import DatasetInfo
from expertnet.errors import DatasetError
from tests.support.gray import image, settings


def renamed(path):
    path.rename(path.with_name("rat"))


def one_more(path):
    (path / "new.png").write_bytes(image(99))


def another(path):
    (path / "0.png").write_bytes(image(99))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda cat: shutil.copytree(cat, cat.with_name("cow")), "1 class added (cow)."),
        (shutil.rmtree, "1 class missing (cat)."),
        (renamed, "1 class added (rat), 1 class missing (cat)."),
        (one_more, "15 images then, 16 now."),
        (another, "other images."),
    ],
    ids=["added", "missing", "renamed", "more", "other"],
)
def test_other_images_than_those_of_a_run_are_rejected(change, says, root, tmp_path):
    own = tmp_path / "own"
    for index, name in enumerate(("cat", "dog", "eel")):
        (own / name).mkdir(parents=True)
        for number in range(5):
            (own / name / f"{number}.png").write_bytes(image(50 * index + number))
    data = settings(own)
    info = load_dataset(data, seed=0).info
    assert not has_changed(data, info)
    change(own / "cat")
    assert has_changed(data, info)
    assert load_dataset(data, seed=0, own=info).info == info  # from the cache
    refuse_changed_images(data, info)
    shutil.rmtree(root / "decoded")
    with pytest.raises(DatasetError, match=re.escape(f"own has changed since this run was trained: {says}")):
        load_test_split(data, own=info)
    if "class" in says:  # which is known before any image is read
        with pytest.raises(DatasetError, match=re.escape(says)):
            refuse_changed_images(data, info)


def test_images_that_were_moved_or_touched_are_the_same(root, folder):
    info = load_dataset(settings(folder), seed=0).info
    moved = folder.rename(folder.with_name("moved"))
    os.utime(moved / "train" / "cat" / "0.png", ns=(1, 1))
    shutil.rmtree(root / "decoded")
    assert load_dataset(settings(moved), seed=0, own=info).info == info


def test_the_images_of_a_run_of_an_older_version_are_told_by_their_source(root, folder):
    info = load_dataset(settings(folder), seed=0).info
    older = replace(info, content="", images=0, fingerprint=re.sub(r"-v\d+$", "-v1", info.fingerprint))
    assert DatasetInfo.from_dict({k: v for k, v in older.to_dict().items() if k not in ("content", "images")}) == older
    assert load_dataset(settings(folder), seed=0, own=older).info == older
    another(folder / "train" / "cat")
    with pytest.raises(DatasetError, match="other images"):
        load_dataset(settings(folder), seed=0, own=older)


def test_a_scan_counts_images_and_classes_without_decoding(root, folder):
    found = scan(settings(folder))
    assert (found.classes, found.train, found.test) == (("cat", "dog"), 20, 4)
    assert found.counts == (12, 12)
    assert found.sentence == "24 images in 2 classes: 20 for training and validation, 4 held out for the test"
    assert known_class_count(settings(folder)) == 2
    assert not find_cached(settings(folder))


def test_one_class_of_a_folder_leads_to_its_parent(root, folder):
    said = "Did you mean its parent, train, with 2 classes?"
    for _ in range(2):  # the second time, from the cache
        with pytest.raises(DatasetError, match=re.escape(said)) as meant:
            scan(settings(folder / "train" / "cat"))
        assert meant.value.meant == (folder / "train").resolve()
    (folder / "train" / "dog").rename(folder / "dog")
    with pytest.raises(DatasetError) as alone:
        load_dataset(settings(folder / "train" / "cat"), 0)
    assert "Did you mean" not in str(alone.value)


def test_a_rejected_folder_is_scanned_again(root, tmp_path):
    own = tmp_path / "own"
    (own / "cat").mkdir(parents=True)
    (own / "cat" / "1.png").write_bytes(image(1))
    for _ in range(2):
        with pytest.raises(DatasetError, match="only one class, 'cat'"):
            scan(settings(own))
    (own / "dog").mkdir()
    (own / "dog" / "1.png").write_bytes(image(2))
    for refuses in (scan, lambda data: load_dataset(data, seed=0)):
        with pytest.raises(
            DatasetError, match="^own has only one image in the class 'cat', which is too few to hold out"
        ):
            refuses(settings(own))
    (own / "dog" / "2.png").write_bytes(image(3))
    with pytest.raises(DatasetError, match="only one image in the class 'cat'"):
        scan(settings(own))
    (own / "cat" / "2.png").write_bytes(image(4))
    with pytest.raises(DatasetError, match="validation_share"):  # one of the two is held out for the test
        scan(settings(own))
    (own / "dog" / "3.png").write_bytes(image(4))
    found, data = scan(settings(own)), load_dataset(settings(own), seed=0)
    assert found.classes == ("cat", "dog")
    assert (found.train, found.test) == (len(data.train) + len(data.validation), len(data.test)) == (3, 2)


@pytest.mark.parametrize("change", ["added", "removed", "class added"])
def test_a_folder_is_scanned_again_when_one_of_its_folders_changes(change, root, folder):
    before, cat = scan(settings(folder)), folder / "train" / "cat"
    assert scan(settings(folder)) is before
    if change == "added":
        (cat / "new.png").write_bytes(image(99))
    elif change == "removed":
        (cat / "0.png").unlink()
    else:
        shutil.copytree(cat, folder / "train" / "cow")
    for path in (cat, folder / "train"):  # the clock of a file system may be coarse
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**9))
    now = scan(settings(folder))
    assert now.train - before.train == {"added": 1, "removed": -1, "class added": 10}[change]
    assert known_class_count(settings(folder)) == len(now.classes)
