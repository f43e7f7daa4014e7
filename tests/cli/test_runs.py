"""`expertnet runs`."""

from expertnet.store.queue import RunQueue
from expertnet.store.run_store import RunStore
from expertnet.utils.files import to_json
from expertnet.utils.text import percent
from tests.support.command import command, document, refused
from tests.support.small import settings


def test_the_document(trained):
    (row,) = document("runs", **trained.env)
    assert list(row) == [
        "run",
        "name",
        "state",
        "epochs",
        "val_accuracy",
        "best_val_accuracy",
        "test_accuracy",
        "created",
        "dataset",
    ]
    same = ("run", "state", "epochs", "val_accuracy", "best_val_accuracy", "test_accuracy")
    assert all(row[key] == trained.document[key] for key in same)
    assert (row["name"], row["dataset"]) == ("mine", "digits")


def test_the_table_shows_the_best_accuracy(trained):
    header, row = command("runs", **trained.env).stdout.splitlines()
    assert header.split("  ")[0] == "run" and header.index("best accuracy") == row.index(row.split("epochs  ")[1])
    assert f"{percent(trained.document['best_val_accuracy'], 2)} validation" in row and row.endswith(" mine")


def test_runs_are_listed_as_their_files_say_from_the_disk_and_from_the_index(tmp_path):
    store = RunStore(tmp_path / "runs")
    queued, stopped = store.create(settings(), name="queued"), store.create(settings(), name="stopped")
    RunQueue(store.root).add(queued.id)
    lines = [
        to_json({"epoch": epoch, "val_accuracy": value}) + "\n" for epoch, value in ((2, 0.25), (1, 0.5), (3, None))
    ]
    (stopped.path / "metrics.jsonl").write_text(lines[0] + lines[1])
    stopped.write_status(stopped.status().changed(state="stopped", epoch=2, best_val_accuracy=0.5))
    (store.root / "20260101-000000-0000").mkdir()  # damaged
    (store.root.parent / "link").symlink_to(store.root)
    for folder in (
        store.root,
        store.root.parent / "link",
    ):  # another index, which reads what the first one left on the disk
        damaged, first, second = sorted(document("runs", "--runs-dir", folder), key=lambda row: row["run"])
        assert [first[key] for key in ("state", "val_accuracy", "created")] == ["queued", None, queued.created]
        figures = [second[key] for key in ("state", "epochs", "val_accuracy", "best_val_accuracy", "created")]
        assert figures == ["stopped", 2, 0.25, 0.5, stopped.created]
        assert [damaged[key] for key in ("name", "state", "created")] == ["20260101-000000-0000", "failed", None]
    queued.leave_queue("stopped")
    with (stopped.path / "metrics.jsonl").open("a") as file:
        file.write(lines[2])
    _, first, second = sorted(document("runs", "--runs-dir", store.root), key=lambda row: row["run"])
    assert first["state"] == "stopped" and second["val_accuracy"] is None


def test_a_folder_that_the_user_names_must_exist(trained, tmp_path):
    absent, file, empty = tmp_path / "none", tmp_path / "file", tmp_path / "empty"
    file.touch()
    assert str(absent) in refused(command("runs", "--json", "--runs-dir", absent))
    assert str(absent) in refused(command("evaluate", "latest", EXPERTNET_RUNS=str(absent)))
    assert str(absent) in refused(command("train", "--resume", "latest", "--runs-dir", absent))
    assert "not a folder" in refused(command("train", "--dataset", "digits", "--runs-dir", file))
    assert not absent.exists()
    empty.mkdir()
    assert document("runs", "--runs-dir", empty) == []
    assert command("runs", "--runs-dir", empty).stdout == "No runs yet. Start one with 'expertnet train'.\n"
