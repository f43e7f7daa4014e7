"""Decoded images are kept, found again, and left whole by whatever goes wrong."""

import os
import shutil
from dataclasses import replace

import pytest
import torch

from expertnet.data import cache
from expertnet.data.cache import data_root
from expertnet.data.custom import known_class_count
from expertnet.data.datasets import find_cached, load_dataset
from expertnet.data.info import find_own
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Cancelled
from tests.support.gray import image, settings


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_the_second_load_decodes_nothing(kind, root, folder, monkeypatch):
    path = folder if kind == "folder" else shutil.make_archive(str(folder), "zip", folder)
    first = load_dataset(settings(path), seed=0)
    monkeypatch.setattr(cache, "store", None)  # calling it would fail
    seen = []
    again = load_dataset(settings(path), seed=0, progress=lambda text, share: seen.append(text))
    assert torch.equal(first.train.images, again.train.images)
    assert first.info == again.info
    assert seen == []


def test_class_count_and_cache_state_before_loading(root, folder):
    archive = shutil.make_archive(str(folder), "zip", folder)
    for path in (folder, archive):
        assert not find_cached(settings(path))
        assert known_class_count(settings(path)) is None
        load_dataset(settings(path), seed=0)
        assert find_cached(settings(path))
        assert known_class_count(settings(path)) == 2
        assert not find_cached(settings(path, image_size=16))
    assert known_class_count(settings("cifar100")) == 100
    assert known_class_count(settings("/nowhere")) is None
    assert not find_cached(settings("a\0b"))


def test_the_fingerprint_of_an_archive_is_its_content(root, folder, tmp_path):
    archive = shutil.make_archive(str(folder), "tar", folder)
    copy = shutil.copy(archive, tmp_path / "renamed.bin")
    os.utime(copy, (1, 1))
    first, second = (load_dataset(settings(path), seed=0).info for path in (archive, copy))
    assert first.fingerprint == second.fingerprint
    assert load_dataset(settings(archive, image_size=16), seed=0).info.fingerprint != first.fingerprint


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_the_images_of_a_run_are_found_after_their_source_is_gone(kind, root, folder):
    path = folder if kind == "folder" else shutil.make_archive(str(folder), "tar", folder)
    data = load_dataset(settings(path), seed=3)
    shutil.rmtree(folder)
    if kind == "archive":
        os.remove(path)
    again = load_dataset(settings(path), seed=3, own=data.info)
    assert again.info == data.info
    for part in ("train", "validation", "test"):
        before, after = getattr(data, part), getattr(again, part)
        assert torch.equal(before.images, after.images) and torch.equal(before.labels, after.labels)
    with pytest.raises(DatasetError, match="There is no folder or archive"):
        load_dataset(settings(path), seed=3)


def test_a_description_leads_to_no_images_but_its_own(root, folder):
    info = load_dataset(settings(folder), seed=0).info
    assert find_own(info)
    assert find_own(replace(info, classes=("cat", "cow"))) is None
    assert find_own(replace(info, image_size=16)) is None
    shutil.copytree(root / "decoded" / info.fingerprint, root / "archive-0")  # as an imported run may claim
    assert find_own(replace(info, fingerprint="../archive-0")) is None


def test_a_changed_archive_is_decoded_again(root, folder):
    archive = shutil.make_archive(str(folder), "tar", folder)
    before = load_dataset(settings(archive), seed=0)
    (folder / "test" / "cat" / "new.png").write_bytes(image(99))
    shutil.make_archive(str(folder), "tar", folder)
    after = load_dataset(settings(archive), seed=0)
    assert len(after.test) == len(before.test) + 1
    assert after.info.fingerprint != before.info.fingerprint


def test_a_folder_is_decoded_again_after_any_change(root, folder):
    def fingerprint():
        return load_dataset(settings(folder), seed=0).info.fingerprint

    first = fingerprint()
    assert fingerprint() == first
    path = folder / "train" / "cat" / "0.png"
    os.utime(path, ns=(1, 1))
    touched = fingerprint()
    path.unlink()
    assert len({first, touched, fingerprint()}) == 3


def test_writing_to_the_tensors_does_not_change_the_cache(root, folder):
    data = load_dataset(settings(folder), seed=0)
    before = data.test.images.clone()
    data.test.images.zero_()
    assert torch.equal(load_dataset(settings(folder), seed=0).test.images, before)


def test_the_parts_of_a_large_dataset_stay_in_files_that_have_no_names(root, folder, monkeypatch):
    data = DataSettings(dataset=str(folder), image_size=8)
    before = load_dataset(data, seed=1)
    monkeypatch.setattr(cache, "MAPPED", before.train.images.numel() + 1)  # with the validation images, it is larger
    after = load_dataset(data, seed=1)
    for part in ("train", "validation"):
        assert torch.equal(getattr(before, part).images, getattr(after, part).images)
        assert torch.equal(getattr(before, part).labels, getattr(after, part).labels)
        assert getattr(after, part).images.untyped_storage().filename
    assert not list(root.rglob(".unfinished-*"))


def test_cancelling_while_decoding_leaves_nothing_behind(root, folder):
    for asked in (1, 3, 20):
        calls = []

        def cancelled(asked=asked, calls=calls):
            calls.append(1)
            return len(calls) >= asked

        with pytest.raises(Cancelled):
            load_dataset(settings(folder), seed=0, cancelled=cancelled)
        assert not list(root.glob("decoded/*"))
        assert not list(root.glob("decoded/.*"))
    assert len(load_dataset(settings(folder), seed=0).test) == 4


def test_a_failure_while_decoding_leaves_nothing_behind(root, folder, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "write_atomically", full)
    with pytest.raises(DatasetError, match="No space left on device"):
        load_dataset(settings(folder), seed=0)
    assert not list((root / "decoded").iterdir())


def test_two_concurrent_decodings_both_succeed(root, folder):
    """The second starts and ends during the first."""
    inner = []

    def progress(text, share):
        if not inner and text.startswith("Decoding"):
            inner.append(None)
            inner[0] = load_dataset(settings(folder), seed=0)

    outer = load_dataset(settings(folder), seed=0, progress=progress)
    assert torch.equal(outer.train.images, inner[0].train.images)
    assert outer.info == inner[0].info
    assert len(list((root / "decoded").iterdir())) == 1


@pytest.mark.parametrize("damage", ["shorter", "gone", "json", "fields"])
def test_a_damaged_cache_is_decoded_again(damage, root, folder):
    first = load_dataset(settings(folder), seed=0)
    cached = root / "decoded" / first.info.fingerprint
    if damage == "shorter":
        (cached / "train-images.bin").write_bytes(b"short")
    elif damage == "gone":
        (cached / "test-labels.bin").unlink()
    else:
        (cached / "info.json").write_text("{" if damage == "json" else "{}")
    assert not find_cached(settings(folder))
    again = load_dataset(settings(folder), seed=0)
    assert torch.equal(again.train.images, first.train.images)


def test_leftovers_of_a_killed_process_are_deleted_after_a_day(root, folder):
    old, fresh = root / "decoded" / ".unfinished-old", root / "decoded" / ".unfinished-fresh"
    for path in (old, fresh):
        path.mkdir(parents=True)
        (path / "train-images.bin").write_bytes(b"x")
    os.utime(old, (1, 1))
    load_dataset(settings(folder), seed=0)
    assert not old.exists()
    assert fresh.exists()


def test_progress_reports_activity_and_share(root, folder):
    archive = shutil.make_archive(str(folder), "gztar", folder)
    seen = []
    load_dataset(settings(archive), seed=0, progress=lambda text, share: seen.append((text, share)))
    texts = list(dict.fromkeys(text for text, _ in seen))
    assert texts == [f"{what} folder.tar.gz" for what in ("Checking", "Listing", "Decoding")]
    assert all(share is None or 0 <= share <= 1 for _, share in seen)
    assert seen[-1][1] == 1.0


def test_nothing_is_written_outside_the_data_root(root, folder, tmp_path):
    archive = shutil.make_archive(str(folder), "zip", folder)

    def outside():
        return {str(path): path.stat().st_mtime_ns for path in tmp_path.rglob("*") if root not in (path, *path.parents)}

    before = outside()
    load_dataset(settings(archive), seed=0)
    load_dataset(settings(folder), seed=0)
    assert outside() == before


def test_the_data_root_is_configurable_or_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "here"))
    assert data_root() == tmp_path / "here"
    monkeypatch.delenv("EXPERTNET_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_root() == tmp_path / "cache" / "expertnet"
