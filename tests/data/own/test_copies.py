"""Decoded images are deleted with the versions that have them, unless a run needs them."""

from functools import partial

import pytest

from expertnet.data.cache import data_root
from expertnet.data.datasets import load_dataset
from expertnet.data.info import find_own
from expertnet.data.own.datasets import delete_dataset, remove_dataset
from expertnet.data.own.edits import remove_images
from expertnet.data.own.versions import open_version
from expertnet.errors import RunError
from expertnet.settings.fields import build_settings
from expertnet.store.prune import delete_older
from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.store.trash import empty_trash, move_to_trash, named_images
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop
from tests.support.own import flowers
from tests.support.small import settings as tiny


def settings(reference):
    return build_settings("quick", reference, {"data.image_size": 8, "data.crop_padding": 1})


def decoded(reference):
    return load_dataset(settings(reference).data, 0).info


def without_one(dataset):
    """Make a version without an image, and return its reference."""
    return remove_images(dataset, [open_version(dataset).ordered[0][0]]).reference


def copies():
    return {folder.name for folder in (data_root() / "decoded").iterdir()}


def named(store):
    return partial(named_images, store)


def test_decoded_images_go_with_their_version_or_with_the_last_run_that_was_trained_on_them():
    dataset, store = flowers(count=6), RunStore()
    trained = decoded("flowers@2")
    run = store.create(settings("flowers@2"), own=trained)
    decoded(without_one(dataset))
    latest = decoded(without_one(dataset))
    assert len(copies()) == 3
    assert delete_older(store, dataset) > 11 * 3 * 8 * 8  # bytes of version 3
    assert copies() == {trained.fingerprint, latest.fingerprint}
    run.write_status(run.status().changed(state="stopped"))
    move_to_trash(run)
    assert find_own(trained) is not None
    empty_trash(store)
    assert copies() == {latest.fingerprint}
    remove_dataset(dataset)
    delete_dataset(dataset, named(store))
    assert copies() == set()


def test_versions_that_a_run_waits_for_are_not_deleted():
    dataset, store = flowers(count=6), RunStore()
    run = store.create(tiny(**{"data.dataset": "flowers@2"}))
    RunQueue(store.root).add(run.id)
    without_one(dataset)
    with pytest.raises(RunError, match="waits to be trained on .*version 2"):
        delete_older(store, dataset)
    assert run_training(run, Stop()).state == "finished", run.log_tail()
    delete_older(store, dataset)
    assert find_own(run.dataset_info()) is not None


def test_decoded_images_stay_for_a_run_of_another_folder(tmp_path):
    dataset, store, other = flowers(count=6), RunStore(), RunStore(tmp_path / "other runs")
    run = other.create(tiny(**{"data.dataset": "flowers@2"}))
    assert run_training(run, Stop()).state == "finished", run.log_tail()
    latest, trained = decoded(without_one(dataset)), run.dataset_info().fingerprint
    delete_older(store, dataset)
    move_to_trash(run)
    empty_trash(store)
    assert copies() == {trained, latest.fingerprint}
    empty_trash(other)
    assert copies() == {latest.fingerprint}


def test_emptying_a_trash_leaves_the_images_of_others():
    flowers(count=6)
    kept = decoded("flowers@2").fingerprint
    empty_trash(RunStore())
    assert copies() == {kept}
