"""One row a run: as the run says it, and read again exactly when one of its files has changed."""

import json
import os
import time

import numpy as np
import pandas as pd
import pytest

from expertnet.store import index
from expertnet.store.compared import curves_of, settings_of
from expertnet.store.index import ENDED, LONGEST, OWN, READABLE, TRAINED, open_index, row_labels, run_rows
from expertnet.store.notes import Notes
from expertnet.store.run import Run
from expertnet.store.status import Status
from expertnet.store.trash import move_to_trash
from expertnet.ui.preload import read_runs
from expertnet.utils.processes import this_process
from tests.support.opening import written


def only(store):
    (row,) = run_rows(store)
    return row


def test_a_row_says_what_the_run_says(store):
    run = written(store, "mine", "report", accuracy=0.75)
    run.annotate(Notes("", ("baseline",), "a note"))
    row = only(store)
    assert (row.id, row.title, row.state, row.preset) == (run.id, "mine", "finished", "report")
    assert row.dataset == run.dataset and row.tags == ("baseline",) and row.note == "a note"
    assert row.best == 0.75 and row.watches_test and row.best_validation is None and row.damage is None
    assert row.created is not None and row.spark == (0.25, 0.5, 0.75) and row.images == 10 * 128


def test_only_what_has_changed_is_read_again(store, reads):
    first, second = written(store), written(store)
    run_rows(store)
    run_rows(store)
    assert sorted(reads) == sorted([first.id, second.id])
    del reads[:]
    changes = [
        lambda: second.annotate(Notes("named")),
        lambda: second.write_status(second.written_status().changed(epoch=4)),
        lambda: second.write_config(second.config() | {"name": "x"}),
        lambda: os.truncate(second.path / "metrics.jsonl", 10),
        lambda: second.checkpoints.path("best").write_bytes(b""),
        lambda: second.checkpoints.path("best").write_bytes(b"in its place"),
    ]
    for change in changes:
        change()
        run_rows(store)
        run_rows(store)
    assert reads == [second.id] * len(changes)
    assert {row.id: row.title for row in run_rows(store)}[second.id] == "named"


def test_whether_a_run_lives_is_looked_at_every_time(store, reads, monkeypatch):
    run = written(store)
    run.write_status(Status().changed(process=this_process(), state="running"))
    assert only(store).state == "running" and only(store).active
    with monkeypatch.context() as dying:
        dying.setattr(f"{Run.as_of_now.__module__}.is_alive", lambda status: False)
        assert only(store).state == "interrupted" and not only(store).active
    assert only(store).state == "running" and reads == [run.id]


def test_a_run_that_is_gone_is_forgotten(store):
    run, kept = written(store), written(store)
    assert len(run_rows(store)) == 2
    move_to_trash(run)
    assert only(store).id == kept.id and open_index(store).count() == 1


@pytest.mark.parametrize("name", ["config.json", "status.json", "metrics.jsonl", "notes.json"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"epoch": 1e999, "model": 7}', b"\xff"])
def test_damaged_runs_have_a_row_too(store, name, content):
    run = written(store)
    (run.path / name).unlink(missing_ok=True)
    if content is not None:
        (run.path / name).write_bytes(content)
    row = only(store)
    assert row.id == run.id and len(row.curves["epoch"]) == len(row.curves["val_loss"])
    assert (row.damage is not None) == (name != "notes.json")
    assert len(curves_of([row])) == len(row.curves["epoch"])
    assert len(settings_of([row])) == (name != "config.json")


def test_an_epoch_of_hundreds_of_digits_is_passed_over(store):
    run = written(store)
    (run.path / "metrics.jsonl").write_text('{"epoch": 1' + "0" * 400 + ', "val_accuracy": 1}\n')
    assert len(only(store).curves["epoch"]) == 0


def test_filters_and_search_go_together(store):
    a = written(store, "First try")
    b = written(store, "second", preset="report", state="stopped", dataset="cifar10")
    b.annotate(Notes("", ("Base line",), "repeat it with residual blocks"))
    found = lambda **how: {row.id for row in run_rows(store, **how)}  # noqa: E731
    assert found() == {a.id, b.id}
    assert (
        found(text="FIRST") == {a.id}
        and found(text="residual repeat") == {b.id}
        and found(text="first repeat") == set()
    )
    assert found(text=a.id) == found(text=a.id[-4:]) - {b.id} == {a.id} and found(text=f"first {a.id[0]}") == set()
    assert found(text="base") == {b.id}
    assert found(text="first " * 2000) == {a.id}
    assert found(tag=["base line"]) == {b.id} and found(tag=["other"]) == set()
    assert found(state=["stopped", "failed"]) == {b.id} and found(preset=["quick"]) == {a.id}
    assert found(dataset=["CIFAR-10"], state=["finished"]) == set()


def test_orders_put_what_they_know_nothing_of_last(store):
    low, high = written(store, "b", accuracy=0.2), written(store, "a", accuracy=0.9)
    watching = written(store, "c", "report", accuracy=0.99)
    ids = lambda order: [row.id for row in run_rows(store, order=order)]  # noqa: E731
    assert ids("best validation") == [high.id, low.id, watching.id]
    assert [row.title for row in run_rows(store, order="name")] == ["a", "b", "c"]
    assert ids("oldest") == sorted(ids("name"))
    assert ids("newest") == ids("no order at all") == ids("oldest")[::-1]
    assert [row.id for row in run_rows(store, limit=2)] == ids("newest")[:2]


def test_no_two_labels_are_alike_and_long_names_are_cut(store):
    root, rows = store.root, []
    for run_id in ("20260101-000000-aaaa", "20260102-000000-aaaa", "20260103-000000-bbbb"):
        run = written(store, "n" * 80)
        run.path.rename(root / run_id)
    rows = run_rows(store)
    labels = row_labels(rows)
    assert len(set(labels.values())) == 3
    assert all(label.startswith("n" * (LONGEST - 1) + "… · ") for label in labels.values())
    assert labels["20260103-000000-bbbb"].endswith("… · bbbb")


def test_what_was_read_ahead_is_not_read_again(store, reads, monkeypatch):
    run = written(store, "one")
    monkeypatch.setenv("EXPERTNET_RUNS", str(store.root))
    read_runs()
    assert [row.id for row in run_rows(store)] == [run.id] == reads


@pytest.mark.slow
def test_the_next_server_deletes_what_a_kill_during_a_write_has_left(store, monkeypatch):
    run, hour = written(store, "one"), 3600
    monkeypatch.setenv("EXPERTNET_RUNS", str(store.root))
    for name, age in ((".best.safetensors.0a.tmp", 25), (".last.safetensors.0b.tmp", 23)):
        (run.path / name).write_bytes(b"half")
        os.utime(run.path / name, (time.time() - age * hour,) * 2)
    read_runs()
    assert [path.name for path in run.path.glob(".*")] == [".last.safetensors.0b.tmp"]


def test_a_name_that_no_other_run_has_is_label_enough(store):
    for name in ("first", "again", "again"):
        written(store, name)
    rows = run_rows(store)
    endings = {row.id: f"again · {row.id[-4:]}" for row in rows if row.title == "again"}
    assert row_labels(rows) == {row.id: endings.get(row.id, "first") for row in rows}


def test_curves_count_images_and_seconds_from_the_start(store):
    run = written(store, "one", epochs=3)
    bare = written(store, "two", epochs=2)
    bare.write_status(bare.written_status().changed(steps=0))
    written(store, "nothing yet", epochs=3).path.joinpath("metrics.jsonl").unlink()
    table = curves_of(run_rows(store))
    one = table[table["run"].str.startswith("one")]
    assert one["elapsed"].tolist() == [2, 4, 6]
    assert one["images"].tolist() == [n * 10 * run.settings().training.batch_size for n in (1, 2, 3)]
    assert table[table["run"].str.startswith("two")]["images"].isna().all()
    assert table["run"].nunique() == 2 and np.isnan(table["train_loss"]).all()
    assert curves_of([]).empty and "run" in curves_of([]).columns


def test_settings_are_a_line_a_run(store):
    written(store, "a", **{"training.lr": 0.1})
    written(store, "b", **{"model.residual": True})
    table = settings_of(run_rows(store))
    assert isinstance(table, pd.DataFrame) and len(table) == 2
    by_name = {label[0]: line for label, line in table.iterrows()}
    assert by_name["a"]["training.lr"] == 0.1 and by_name["b"]["model.residual"] is True


def test_what_takes_too_long_to_read_is_left_for_the_next_look(store, reads, monkeypatch):
    monkeypatch.setattr(index, "FEWEST", 1)
    runs = [written(store) for _ in range(3)]
    newest = max(run.id for run in runs)
    found = open_index(store, 0)
    assert [row.id for row in found.rows()] == [newest] and found.unread == 2
    assert len(run_rows(store)) == 3 and found.unread == 0 and len(reads) == 3


def test_conditions_and_columns_narrow_the_rows(store):
    shown, example, bare = written(store, "shown"), written(store, "example"), written(store, "bare")
    example.write_config(example.config() | {"shipped": True})
    (bare.path / "config.json").unlink()
    shown.annotate(Notes(tags=("control",)))
    names = lambda *conditions, **which: {row.title for row in run_rows(store, *conditions, **which)}  # noqa: E731
    assert names(OWN) == {"shown", bare.id} and names(READABLE) == {"shown", "example"} and names(TRAINED) == set()
    assert names(OWN, READABLE, ENDED, id=[run.id for run in (shown, example)]) == {"shown"}
    assert names(without_tag="Control") == {"example", bare.id} and names(id=[]) == set()
    assert names(key=[only.key for only in run_rows(store, id=[shown.id])]) == {"shown", "example"}
    found = open_index(store)
    assert found.count(OWN) == 2 and found.values("tags") == {"control"} and found.values("dataset") == {"Digits"}


def test_names_that_a_database_cannot_hold_are_shown_nevertheless(store):
    run = written(store, **{"training.batch_size": 16384})
    (run.path / "config.json").write_text(json.dumps(run.config() | {"name": "a'\";--\x00%"}))
    run.write_status(run.written_status().changed(steps=2**53, epoch=2**53))
    row = only(store)
    assert row.title == run.title and row.images == 2**63 - 1
    assert [found.id for found in run_rows(store, text="a'\";--")] == [run.id]
