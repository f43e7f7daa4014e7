"""Decoded images are deleted with the versions that have them, unless a run needs them."""

import os

import pytest

from expertnet.data.cache import data_root
from expertnet.data.datasets import load_dataset
from expertnet.data.info import find_own
from expertnet.data.own.copies import remove_copies
from expertnet.data.own.datasets import delete_dataset, remove_dataset
from expertnet.data.own.edits import remove_images
from expertnet.data.own.space import delete_older_versions
from expertnet.data.own.versions import open_version
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.store.trash import empty_trash, move_to_trash, named_images
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop
from tests.support.own import flowers
from tests.support.small import settings as tiny


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "root"))


def settings(reference):
    return build_settings("quick", reference, {"data.image_size": 8, "data.crop_padding": 1})


def decoded(reference):
    return load_dataset(settings(reference).data, 0).info


def without_one(dataset):
    """Make a version without an image, and return its reference."""
    return remove_images(dataset, [open_version(dataset).ordered[0][0]]).reference


def copies():
    return {folder.name for folder in (data_root() / "decoded").iterdir()}


def test_decoded_images_go_with_their_version_or_with_the_last_run_that_was_trained_on_them():
    dataset, store = flowers(count=6), RunStore()
    trained = decoded("flowers@2")
    run = store.create(settings("flowers@2"), own=trained)
    decoded(without_one(dataset))
    latest = decoded(without_one(dataset))
    assert len(copies()) == 3
    assert delete_older_versions(dataset, named_images(store)) > 11 * 3 * 8 * 8  # bytes of version 3
    assert copies() == {trained.fingerprint, latest.fingerprint}
    run.write_status(run.status().changed(state="stopped"))
    move_to_trash(run)
    remove_copies(named_images(store))
    assert find_own(trained) is not None
    empty_trash(store)
    assert copies() == {latest.fingerprint}
    remove_dataset(dataset)
    delete_dataset(dataset, named_images(store))
    assert copies() == set()


def test_decoded_images_stay_for_a_run_that_has_not_loaded_them_yet():
    dataset, store = flowers(count=6), RunStore()
    waiting = decoded("flowers@2")
    store.create(settings("flowers@2"))
    without_one(dataset)
    delete_older_versions(dataset, named_images(store))
    assert copies() == {waiting.fingerprint}


def test_decoded_images_stay_for_a_run_of_another_store_and_for_one_whose_store_is_out_of_sight(tmp_path):
    dataset, store, other = flowers(count=6), RunStore(), RunStore(tmp_path / "disk" / "runs")
    run = other.create(tiny(**{"data.dataset": "flowers@2"}))
    assert run_training(run, Stop()).state == "finished", run.log_tail()
    latest = decoded(without_one(dataset))
    trained = run.dataset_info().fingerprint
    delete_older_versions(dataset, named_images(store))
    empty_trash(store)
    assert copies() == {trained, latest.fingerprint}
    os.rename(tmp_path / "disk", tmp_path / "unplugged")
    remove_copies(named_images(store))
    os.rename(tmp_path / "unplugged", tmp_path / "disk")
    move_to_trash(run)
    remove_copies(named_images(store))
    assert copies() == {trained, latest.fingerprint}
    empty_trash(other)
    assert copies() == {latest.fingerprint}
