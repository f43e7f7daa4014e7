"""The log of a dataset of your own: cut off, damaged, and read once until it changes."""

import shutil

import pytest

from expertnet.data.catalog import list_datasets
from expertnet.data.own import edits
from expertnet.data.own.datasets import create_dataset
from expertnet.data.own.folders import home
from expertnet.data.own.intake import add_files
from expertnet.data.own.versions import find_version, history, open_version
from expertnet.errors import DatasetError
from tests.support.own import files_of, flowers


def test_a_log_cut_anywhere_opens_at_its_last_whole_line_and_can_be_changed():
    dataset = flowers()
    edits.add_class(dataset, "lily")
    log = open_version(dataset).log
    whole = log.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    for cut in range(ends[0], len(whole), 37):
        log.write_bytes(whole[:cut])
        number = sum(end <= cut for end in ends)
        assert open_version(dataset).number == number
        assert edits.add_class(dataset, "aster").number == number + 1
        assert history(dataset)[-1].what == "Class “aster” added"


def test_a_damaged_log_is_called_damaged():
    dataset = flowers()
    log = open_version(dataset).log
    for bad in (b"[]\n", b"{}\n", b'{"version": 3, "patch": {"images": {"x": {"label": 1}}}}\n', b"nonsense\n"):
        log.write_bytes(bad)
        with pytest.raises(DatasetError, match="damaged"):
            open_version(dataset)
        assert find_version(dataset) is None


def test_a_line_with_damaged_names_of_rejected_files_is_called_damaged():
    dataset = flowers()
    with open_version(dataset).log.open("a") as log:
        log.write('{"version": 3, "time": "", "what": "", "patch": {}, "rejected": [["a"]]}\n')
    with pytest.raises(DatasetError, match="damaged"):
        history(dataset)


def test_a_log_is_read_once_until_it_changes():
    datasets = [create_dataset(f"Made {number}").dataset for number in range(12)]
    rows = list_datasets()
    add_files(datasets[0], files_of("a", "b"))
    version = open_version(datasets[0])
    assert open_version(datasets[0], version.number) is version is find_version(version.reference)
    after = list_datasets()
    assert [old is new for old, new in zip(rows, after, strict=True)][:12] == [False, *[True] * 11]
    assert (after[0].images, after[0].classes, after[0].version) == (8, 2, 2)


def test_a_version_of_a_dataset_that_is_made_again_is_another_one():
    versions = []
    for _ in range(2):
        dataset = flowers()
        versions.append(open_version(dataset))
        shutil.rmtree(home() / dataset)  # by hand; the studio gives no id twice
    assert versions[0].reference == versions[1].reference and versions[0].key != versions[1].key
