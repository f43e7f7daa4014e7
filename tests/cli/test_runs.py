"""`expertnet runs`."""

from expertnet.utils.text import percent
from tests.support.command import command, document, refused


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
