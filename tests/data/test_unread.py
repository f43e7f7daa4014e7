"""Images that cannot be read for now are left out, and no longer once they can be read."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from expertnet.curation.survey import survey
from expertnet.data import batches, heic
from expertnet.data.datasets import find_cached, has_changed, load_dataset
from expertnet.errors import DatasetError
from tests.support.gray import image, settings


@pytest.fixture
def photos(folder):
    """Two more images of each class for training, as HEIC."""
    heic.register_heic()
    for name in ("cat", "dog"):
        for value in (20, 200):
            Image.new("RGB", (8, 8), (value, value, value)).save(folder / "train" / name / f"{value}.heic", "HEIF")
    return folder


@pytest.fixture
def package(monkeypatch):
    """Return a function that removes pillow-heif, or installs it again."""

    def install(there):
        if there:
            monkeypatch.delitem(sys.modules, "pillow_heif", raising=False)
        else:
            monkeypatch.setitem(sys.modules, "pillow_heif", None)
        heic.register_heic.cache_clear()

    yield install
    monkeypatch.undo()
    heic.register_heic.cache_clear()


def count(data):
    return len(data.train) + len(data.validation) + len(data.test)


def test_photos_are_used_as_soon_as_the_package_is_installed(root, photos, package):
    package(False)
    before = load_dataset(settings(photos), seed=0)
    assert count(before) == 24 and "4 files" in before.note
    assert load_dataset(settings(photos), seed=0).info == before.info
    assert find_cached(settings(photos)) is not None
    package(True)
    after = load_dataset(settings(photos), seed=0)
    assert count(after) == 28 and after.note == ""
    assert count(load_dataset(settings(photos), seed=0, own=before.info)) == 24
    assert not has_changed(settings(photos), before.info)
    package(False)
    assert count(load_dataset(settings(photos), seed=0)) == 28  # decoded before


def test_what_an_older_version_cached_without_the_photos_is_left_to_its_runs(root, photos, package):
    whole = load_dataset(settings(photos), seed=0).info
    shutil.rmtree(root / "decoded")
    package(False)
    partial = root / "decoded" / load_dataset(settings(photos), seed=0).info.fingerprint
    facts = json.loads((partial / "info.json").read_text())
    del facts["mark"]
    (partial / "info.json").write_text(json.dumps(facts))
    partial.rename(root / "decoded" / whole.fingerprint)
    old = load_dataset(settings(photos), seed=0)
    assert count(old) == 24 and old.info.fingerprint == whole.fingerprint
    package(True)
    assert count(load_dataset(settings(photos), seed=0)) == count(load_dataset(settings(photos), seed=0)) == 28
    assert count(load_dataset(settings(photos), seed=0, own=old.info)) == 24


def test_a_file_without_permission_is_used_once_it_has_it(root, folder, monkeypatch):
    opened = Path.open

    def refused(path, *arguments, **more):
        if path.name == "3.png":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **more)

    with monkeypatch.context() as patch:  # the mode of a file would not stop root
        patch.setattr(Path, "open", refused)
        before = load_dataset(settings(folder), seed=0)
        assert find_cached(settings(folder)).key == before.info.fingerprint  # nothing is decoded again meanwhile
        unreadable = survey(settings(folder)).unreadable
    assert count(before) == 22 and "train/cat/3.png, train/dog/3.png" in before.note
    assert [file for file, _ in unreadable] == ["train/cat/3.png", "train/dog/3.png"]
    assert unreadable[0].reason.startswith("The file could not be read (Permission denied).")
    after = load_dataset(settings(folder), seed=0)
    assert count(after) == 24 and after.note == ""
    assert count(load_dataset(settings(folder), seed=0, own=before.info)) == 22
    shutil.rmtree(root / "decoded" / before.info.fingerprint)
    with pytest.raises(DatasetError, match="22 images then, 24 now"):
        load_dataset(settings(folder), seed=0, own=before.info)


def test_a_folder_whose_files_disappear_meanwhile_is_rejected(root, folder, monkeypatch):
    monkeypatch.setattr(batches, "FILE_BATCH", 2)
    last = folder / "train" / "dog" / "9.png"

    def progress(text, share):
        if text.startswith("Decoding") and last.exists():
            last.rename(folder.parent / "moved.png")

    with pytest.raises(DatasetError, match=r"1 file of folder disappeared .*, such as train/dog/9\.png\. Wait"):
        load_dataset(settings(folder), seed=0, progress=progress)
    (folder.parent / "moved.png").rename(last)
    assert count(load_dataset(settings(folder), seed=0)) == 24


def test_a_damaged_image_is_decoded_once(root, folder):
    (folder / "train" / "cat" / "bad.png").write_bytes(image(9)[:20])
    load_dataset(settings(folder), seed=0)
    assert find_cached(settings(folder)) is not None
