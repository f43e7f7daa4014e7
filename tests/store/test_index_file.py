"""The index on disk: it saves reading, and whatever happens to it, rows say what the files say."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from expertnet.store import index, index_file
from expertnet.store.index import RunIndex, run_rows
from expertnet.store.index_file import INDEX_FILE, open_database
from expertnet.store.notes import Notes
from expertnet.store.run_store import RunStore
from expertnet.store.trash import move_to_trash
from tests.support.opening import written
from tests.support.served import ROOT


@pytest.fixture
def store(tmp_path):
    store = RunStore(tmp_path / "runs")
    for name in ("one", "two", "three"):
        written(store, name)
    return store


def values(store):
    """The rows of an index that knows no more than is on the disk, as that of a new process."""
    found = RunIndex(store)
    found.look()
    return [
        (row.id, row.title, row.state, row.best, row.spark, row.created, row.tags, row.key, row.network, row.damage)
        for row in found.rows()
    ]


def on_disk(store):
    with closing(open_database(store.root)) as database:
        return database.execute("SELECT COUNT(*) FROM runs").fetchone()[0]


def test_another_process_reads_only_what_has_changed(store, reads):
    before = values(store)
    runs = store.list()
    assert sorted(reads) == sorted(run.id for run in runs) and values(store) == before and len(reads) == 3
    runs[1].annotate(Notes("changed", ("tag",)))
    assert values(store)[1][1] == "changed" and reads[3:] == [runs[1].id]
    move_to_trash(runs[0])
    assert len(values(store)) == on_disk(store) == 2 and len(reads) == 4


@pytest.mark.parametrize("damage", [b"", b"no database", "torn", "format", "rows", "values", "folder"])
def test_a_damaged_index_is_made_anew(store, reads, damage):
    before, path = values(store), store.root / INDEX_FILE
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        change = {
            "format": "PRAGMA user_version = 7",
            "rows": "ALTER TABLE runs DROP COLUMN spark",
            "values": "UPDATE runs SET spark = '{'",
        }
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(change[damage])
    assert values(store) == before and len(reads) == 6
    assert values(store) == before and len(reads) == (9 if damage in ("folder", "values") else 6)


def test_an_index_that_another_process_has_locked_delays_nobody(store, monkeypatch):
    before = values(store)
    monkeypatch.setattr(index_file, "BUSY", 0.05)
    with closing(sqlite3.connect(store.root / INDEX_FILE)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert values(store) == before


@pytest.mark.long
def test_processes_that_make_the_index_at_once_agree(store):
    code = (
        "import sys; from expertnet.store.index import run_rows; from expertnet.store.run_store import RunStore\n"
        "print(*(row.title for row in run_rows(RunStore(sys.argv[1]))))"
    )
    command = [sys.executable, "-c", code, str(store.root)]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].split() for process in processes] == [["three", "two", "one"]] * 2
    assert on_disk(store) == 3


def test_of_many_runs_the_folder_tells_which_have_changed_and_the_others_are_checked_in_turn(store, reads, monkeypatch):
    monkeypatch.setattr(index, "CHECKED", 1)
    monkeypatch.setattr(index, "SETTLED", -1.0)  # every folder counts as settled
    run_rows(store)
    for run in store.list():
        run.annotate(Notes(f"{run.title} again"))
        assert f"{run.title}" in {row.title for row in run_rows(store)}
    del reads[:]
    oldest = store.list()[-1]
    (oldest.path / "notes.json").write_text('{"name": "by hand"}')  # in its place, so the folder stays the same
    assert any("by hand" in {row.title for row in run_rows(store)} for _ in range(3)) and reads == [oldest.id]
