"""The trash: what was deleted comes back whole, and nothing outside it is ever touched."""

from pathlib import Path

import pytest

from expertnet.errors import RunError
from expertnet.settings.fields import build_settings
from expertnet.store.trash import TRASH, empty_trash, move_to_trash, restore_run, trashed


def deleted(store, name=""):
    run = store.create(build_settings(), name=name)
    run.write_status(run.status().changed(state="stopped"))
    move_to_trash(run)
    return run


def test_what_was_deleted_comes_back_whole(store):
    run = deleted(store, "mine")
    assert store.list() == [] and [found.id for found in trashed(store)] == [run.id]
    assert trashed(store)[0].title == "mine"  # it can be read where it lies
    assert restore_run(store, run.id).title == "mine"
    assert [found.id for found in store.list()] == [run.id] and trashed(store) == []
    with pytest.raises(RunError, match="may have been restored"):
        restore_run(store, run.id)


@pytest.mark.parametrize("relative", [False, True])
def test_a_run_that_is_a_link_can_be_restored_and_deleted(store, tmp_path, relative):
    run = store.create(build_settings())
    run.write_status(run.status().changed(state="stopped"))
    run.path.rename(tmp_path / "elsewhere")
    run.path.symlink_to(Path("../elsewhere") if relative else tmp_path / "elsewhere")
    move_to_trash(run)
    assert [found.id for found in trashed(store)] == [run.id]
    move_to_trash(restore_run(store, run.id))
    assert empty_trash(store) == 1 and trashed(store) == [] and not (store.root / TRASH / run.id).is_symlink()
    assert (tmp_path / "elsewhere" / "config.json").is_file()


@pytest.mark.parametrize("name", ["../runs", "..", "", ".trash", "notes", "20260101-000000-abcd"])
def test_only_what_lies_in_the_trash_is_brought_back(store, name):
    deleted(store)
    (store.root / TRASH / "notes").mkdir()
    with pytest.raises(RunError, match="no run"):
        restore_run(store, name)


def test_a_run_of_that_id_in_the_store_again_is_not_covered(store):
    run = deleted(store, "old")
    run.path.mkdir()
    with pytest.raises(RunError, match="already has a run"):
        restore_run(store, run.id)
    assert list(run.path.iterdir()) == [] and trashed(store)[0].title == "old"


def test_a_run_of_that_id_in_the_trash_is_not_covered(store):
    run = deleted(store, "old")
    again = store.create(build_settings(), name="new")
    again.write_status(again.status().changed(state="stopped"))
    again.path.rename(run.path)
    with pytest.raises(RunError, match="already"):
        move_to_trash(store.get(run.id))
    assert store.get(run.id).title == "new" and trashed(store)[0].title == "old"


def test_emptying_takes_runs_alone_and_follows_no_link(store, tmp_path):
    kept, gone, outside = deleted(store), deleted(store), tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (store.root / TRASH / "20260101-000000-abcd").symlink_to(outside)  # named as a run
    (store.root / TRASH / gone.id / "link").symlink_to(outside)  # within a run
    (store.root / TRASH / "something else").mkdir()
    assert empty_trash(store, [gone.id, "20260101-000000-abcd", "something else", "../../outside"]) == 2
    assert [run.id for run in trashed(store)] == [kept.id]
    assert empty_trash(store) == 1 and empty_trash(store) == 0 and trashed(store) == []
    assert (outside / "precious").read_text() == "x"
    assert {path.name for path in (store.root / TRASH).iterdir()} == {"something else"}


def test_a_trash_that_is_a_link_takes_and_gives_nothing(store, tmp_path):
    run = store.create(build_settings())
    run.write_status(run.status().changed(state="stopped"))
    outside = tmp_path / "outside"
    (outside / "20260101-000000-abcd").mkdir(parents=True)
    (store.root / TRASH).symlink_to(outside)
    with pytest.raises(RunError, match="is a link"):
        move_to_trash(run)
    assert trashed(store) == [] and empty_trash(store) == 0 and (outside / "20260101-000000-abcd").is_dir()


def test_a_store_that_is_not_there_has_an_empty_trash(store):
    assert trashed(store) == [] and empty_trash(store) == 0
