"""Datasets of your own have names and ids, go to the trash and come back."""

from functools import partial

import pytest

from expertnet.data.own.datasets import create_dataset, delete_dataset, find_id, remove_dataset, restore_dataset
from expertnet.data.own.folders import dataset_ids, trashed_ids
from expertnet.data.own.versions import find_version, open_version
from expertnet.errors import DatasetError
from tests.support.own import flowers, twins


def test_two_datasets_have_different_names_and_ids():
    create_dataset("Flowers!")
    create_dataset("flowers?")
    create_dataset("digits")
    assert dataset_ids() == ["digits-2", "flowers", "flowers-2"]
    assert find_id("FLOWERS?") == "flowers-2" and find_id("flowers") == "flowers"
    with pytest.raises(DatasetError, match="already a dataset"):
        create_dataset("FLOWERS!")
    with pytest.raises(DatasetError, match="no dataset 'birds'"):
        find_id("birds")


def test_a_title_that_two_datasets_have_names_neither():
    first, second = twins("Pets!")
    with pytest.raises(DatasetError, match=f"named 'PETS!': {first}, {second}. Use one of these IDs"):
        find_id("PETS!")
    assert find_id(second) == second


def test_a_removed_dataset_comes_back_from_the_trash():
    dataset = flowers()
    before = open_version(dataset)
    remove_dataset(dataset)
    assert dataset_ids() == [] and trashed_ids() == [dataset] and find_version(before.reference) is None
    assert create_dataset("Flowers").dataset == "flowers-2"
    assert (restored := restore_dataset(dataset)).contents.images == before.contents.images
    assert (restored.contents.title, restored.what) == ("Flowers 2", "“Flowers” renamed to “Flowers 2”")
    remove_dataset("flowers-2")
    remove_dataset(dataset)
    assert restore_dataset(dataset).reference == restored.reference  # it has its own title
    remove_dataset(dataset)
    delete_dataset(dataset, set)
    assert trashed_ids() == ["flowers-2"] and flowers() == "flowers-3"  # runs may still name the others
    for change in (remove_dataset, restore_dataset, partial(delete_dataset, named=())):
        with pytest.raises(DatasetError, match="no dataset"):
            change(dataset)
