"""Trackers: what is sent of a run, what happens when one fails, and both packages with a real training.

The module is long because each tracker is asked for what it received in its own way.
"""

import json
import sqlite3
import sys
import urllib.request
import warnings
from contextlib import closing
from importlib.util import find_spec
from urllib.parse import urlencode

import pytest

from expertnet.errors import SettingsError
from expertnet.store.run_store import RunStore
from expertnet.store.status import Status
from expertnet.store.steps import read_steps
from expertnet.training.runner import run_training
from expertnet.training.start import check_can_start
from expertnet.training.stop import Stop
from expertnet.training.trackers.follow import final_figures, follow, follow_in_turn
from expertnet.training.trackers.record import Tracked, read_tracked, without_password, write_tracked
from expertnet.training.trackers.to_mlflow import MLflowTracker
from expertnet.utils.files import file_lock
from expertnet.utils.processes import this_process
from tests.support.served import running_server
from tests.support.small import settings, until


class Recorder:
    """A tracker that keeps what it is sent. It fails as often as `failures` says."""

    def __init__(self, failures=0, error="no answer"):
        self.failures, self.error, self.sent, self.ends = failures, error, [], []

    def begin(self, run, tracked):
        return Tracked(**(vars(tracked) | {"id": tracked.id or "number 1", "url": "http://here/1"}))

    def log(self, axis, points):
        if self.failures:
            self.failures -= 1
            raise ConnectionError(self.error)
        self.sent += [(axis, place, figures) for place, figures in points]

    def end(self, state, figures, files):
        self.ends.append((state, figures, [file.name for file in files]))

    def epochs(self):
        return [place for axis, place, _ in self.sent if axis == "epoch"]


@pytest.fixture
def run():
    created = RunStore().create(settings(**{"training.epochs": 3}))
    created.write_status(Status(state="running", epochs=3, steps=10).changed(process=this_process()))
    return created


def write_epochs(run, first, last):
    with (run.path / "metrics.jsonl").open("a") as file:
        for epoch in range(first, last + 1):
            file.write(json.dumps({"epoch": epoch, "train_loss": 1 / epoch, "val_accuracy": 0.5}) + "\n")


def end(run, state="finished"):
    run.write_status(run.written_status().changed(state=state, test_accuracy=0.75, best_epoch=2))


def test_epochs_steps_and_the_end_are_sent_once_each(run):
    write_epochs(run, 1, 1)
    (run.path / "steps.jsonl").write_text('{"epoch": 0.5, "steps": 5, "loss": 2.0, "images_per_second": 100.0}\n')
    tracker, turns = Recorder(), iter((lambda: write_epochs(run, 2, 3), lambda: end(run)))
    follow(run, "mlflow", tracker, pause=lambda seconds: next(turns)())
    assert tracker.sent == [
        ("epoch", 1, {"loss/train": 1.0, "accuracy/validation": 0.5}),
        ("step", 5, {"step/loss": 2.0, "step/images per second": 100.0}),
        ("epoch", 2, {"loss/train": 0.5, "accuracy/validation": 0.5}),
        ("epoch", 3, {"loss/train": 1 / 3, "accuracy/validation": 0.5}),
    ]
    state, figures, files = tracker.ends[0]
    assert (state, figures) == ("finished", {"test/accuracy": 0.75, "best/epoch": 2.0}) and len(tracker.ends) == 1
    assert files == ["config.json", "metrics.jsonl"]
    assert read_tracked(run.path, "mlflow") == Tracked("number 1", "http://here/1", epoch=3, step=0.5, ended=True)


def test_without_validation_images_no_accuracy_is_called_that_of_validation(run):
    status = run.status().changed(test_accuracy=0.75, best_epoch=2, best_val_accuracy=0.75)
    assert final_figures(status, watches_test=True) == {"test/accuracy": 0.75}
    assert final_figures(status, watches_test=False)["best/validation accuracy"] == 0.75


def test_a_tracker_that_fails_is_tried_again_and_gets_everything(run):
    write_epochs(run, 1, 1)
    tracker = Recorder(failures=2, error="no answer from http://me:secret@here/1\nand more")
    turns = iter((lambda: write_epochs(run, 2, 2), lambda: None, lambda: end(run)))
    follow(run, "mlflow", tracker, pause=lambda seconds: next(turns)())
    assert tracker.epochs() == [1, 2] and tracker.ends[0][0] == "finished"
    assert read_tracked(run.path, "mlflow").error == ""
    log = run.log_tail()
    assert log.count("MLflow could not be reached") == 1 and "no answer from http://here/1" in log
    assert "secret" not in log


def test_a_record_that_cannot_be_written_does_not_end_the_sending(run):
    record = run.path / "mlflow.json"
    record.mkdir()  # fails as a full disk does
    write_epochs(run, 1, 1)
    tracker, turns = Recorder(), iter((lambda: write_epochs(run, 2, 2), record.rmdir, lambda: end(run)))
    follow(run, "mlflow", tracker, pause=lambda seconds: next(turns)())
    assert tracker.epochs() == [1, 2] and tracker.ends[0][0] == "finished"
    assert read_tracked(run.path, "mlflow") == Tracked("number 1", "http://here/1", epoch=2, ended=True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@here:5000/1 failed", "http://here:5000/1 failed"),
        ("postgresql://me:sec/ret@here/runs", "postgresql://here/runs"),
        ("http://me:s@cret@here", "http://here"),
        ("https://secret@here/1", "https://here/1"),
        ("postgresql://here/runs?user=me&password=secret&x=1", "postgresql://here/runs?user=me&password=***&x=1"),
        ("no answer from 'http://here:5000/1'", "no answer from 'http://here:5000/1'"),
    ],
)
def test_passwords_in_addresses_are_left_out(text, shown):
    assert without_password(text) == shown


def test_a_tracker_that_never_answers_is_given_up_after_the_run_has_ended(run):
    write_epochs(run, 1, 1)
    end(run)
    follow(run, "wandb", Recorder(failures=10**6), patience=0)
    assert read_tracked(run.path, "wandb").error == "no answer" and "lacks the end of this run" in run.log_tail()


def test_a_resumed_run_goes_on_where_the_tracker_is(run):
    write_epochs(run, 1, 3)
    write_tracked(run.path, "mlflow", Tracked("number 7", epoch=2, ended=True))
    end(run, "stopped")
    tracker = Recorder()
    follow(run, "mlflow", tracker)
    assert tracker.epochs() == [3] and tracker.ends[0][0] == "stopped"
    assert read_tracked(run.path, "mlflow").id == "number 7"


def test_a_deleted_run_ends_in_the_tracker_too(run):
    tracker = Recorder()
    follow(run, "mlflow", tracker, pause=lambda seconds: run.path.rename(run.path.with_name("gone")))
    assert tracker.ends == [("stopped", {}, [])]


def test_a_run_that_is_deleted_before_its_second_part_is_sent_stays_deleted(run):
    tracker = Recorder()
    with file_lock(run.path / "mlflow.lock"):  # as the process of the first part does
        follow_in_turn(run, "mlflow", tracker, pause=lambda seconds: run.path.rename(run.path.with_name("gone")))
    assert not run.path.exists() and not tracker.ends


def test_the_second_part_of_a_run_is_sent_after_the_first(run):
    write_epochs(run, 1, 2)
    end(run)
    tracker, first = Recorder(), file_lock(run.path / "mlflow.lock")
    first.acquire()
    follow_in_turn(run, "mlflow", tracker, pause=lambda seconds: first.release())
    assert tracker.epochs() == [1, 2] and len(tracker.ends) == 1


@pytest.mark.parametrize("content", ["", "[]", '{"epoch": "x"}', '{"url": null}'])
def test_a_damaged_record_counts_as_none(run, content):
    (run.path / "mlflow.json").write_text(content)
    assert read_tracked(run.path, "mlflow") is None


@pytest.mark.parametrize("package", ["tensorboard", "mlflow", "wandb"])
def test_without_its_package_a_run_is_refused_before_it_starts(package, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, package, raising=False)
    (tmp_path / package).mkdir()  # the folder of an earlier run of the tracker is not the package
    with pytest.raises(SettingsError, match=f"pip install {package}"):
        check_can_start(settings(**{f"training.{package}": True}), RunStore())


needs_mlflow = pytest.mark.skipif(find_spec("mlflow") is None, reason="needs mlflow")


@pytest.mark.slow
@needs_mlflow
def test_a_run_that_fails_while_it_begins_in_mlflow_is_created_once(run, tmp_path, monkeypatch):
    """Its settings cannot be written twice: a trigger of the database refuses them."""
    place = f"sqlite:///{tmp_path / 'runs.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    monkeypatch.chdir(tmp_path)  # where MLflow keeps artifacts beside a database
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow, about the packages it uses
        from mlflow.tracking import MlflowClient

        tracker = MLflowTracker()
        client = MlflowClient(place)
        client.search_experiments()  # makes the tables
        tries = []

        def pause(seconds):
            tries.append(read_tracked(run.path, "mlflow").error)
            if len(tries) == 2:
                change(tmp_path / "runs.db", "DROP TRIGGER refuse")
                end(run)

        change(
            tmp_path / "runs.db", "CREATE TRIGGER refuse BEFORE INSERT ON params BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        follow(run, "mlflow", tracker, pause=pause)
        assert len(tries) == 2 and all(tries)
        experiment = client.get_experiment_by_name("ExpertNet").experiment_id
        (created,) = client.search_runs([experiment])
        assert created.info.status == "FINISHED" and created.data.params["model.channels"] == "8"

        (run.path / "mlflow.json").unlink()  # then, too, the run is found
        follow(run, "mlflow", MLflowTracker())
        assert len(client.search_runs([experiment])) == 1


def change(path, statement):
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


@pytest.mark.long
@needs_mlflow
def test_a_training_arrives_on_an_mlflow_server(store, tmp_path, monkeypatch):
    def command(port):
        words = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        places = [
            f"--backend-store-uri=sqlite:///{tmp_path / 'server.db'}",
            f"--artifacts-destination={tmp_path / 'sent'}",
        ]
        return [sys.executable, "-m", "mlflow", "server", *words, *places]

    with running_server(command, tmp_path / "log", health="/health") as url:

        def asked(path, **values):
            with urllib.request.urlopen(f"{url}/api/2.0/mlflow/{path}?{urlencode(values)}") as response:
                return json.load(response)

        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        run = store.create(settings(**{"training.mlflow": True, "training.epochs": 3}), name="A name")
        status = run_training(run, Stop())
        until(lambda: (found := read_tracked(run.path, "mlflow")) and found.ended)
        tracked = read_tracked(run.path, "mlflow")
        sent = asked("runs/get", run_id=tracked.id)["run"]
        assert (sent["info"]["run_name"], sent["info"]["status"]) == ("A name", "FINISHED")
        assert tracked.url == f"{url}/#/experiments/{sent['info']['experiment_id']}/runs/{tracked.id}"
        steps = read_steps(run.path)
        expected = {
            "loss/train": [(row["epoch"], row["train_loss"]) for row in run.metrics()],
            "step/loss": [(round(point.epoch * status.steps), point.loss) for point in steps],
            "test/accuracy": [(0, status.test_accuracy)],
        }
        for name, points in expected.items():
            found = asked("metrics/get-history", run_id=tracked.id, metric_key=name)["metrics"]
            assert [(int(each.get("step", 0)), each["value"]) for each in found] == points and points
        assert len(expected["loss/train"]) == 3
        files = asked("artifacts/list", run_id=tracked.id)["files"]
        sizes = {each["path"]: int(each["file_size"]) for each in files}
        assert sizes.pop("log.txt") > 0
        names = ("best.safetensors", "config.json", "metrics.jsonl")
        assert sizes == {name: (run.path / name).stat().st_size for name in names}


@pytest.mark.long
@pytest.mark.skipif(not all(map(find_spec, ("mlflow", "wandb"))), reason="needs both packages")
def test_a_training_arrives_in_mlflow_and_in_the_offline_folder_of_wandb(store, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = store.create(settings(**{"training.mlflow": True, "training.wandb": True}), name="A name")
    status = run_training(run, Stop())
    assert status.state == "finished"
    until(lambda: all((found := read_tracked(run.path, name)) and found.ended for name in ("mlflow", "wandb")))
    tracked = read_tracked(run.path, "mlflow")
    assert tracked.command == f"mlflow ui --backend-store-uri sqlite:///{store.root / 'mlflow.db'}" and not tracked.url
    with closing(sqlite3.connect(store.root / "mlflow.db")) as database:
        metrics = dict(database.execute("SELECT key, value FROM latest_metrics"))
        settings_sent = dict(database.execute("SELECT key, value FROM params"))
        assert database.execute("SELECT name, status FROM runs").fetchall() == [("A name", "FINISHED")]
    assert metrics["test/accuracy"] == status.test_accuracy and "step/loss" in metrics
    assert metrics["loss/train"] == run.metrics()[-1]["train_loss"]
    assert settings_sent["model.channels"] == "8" and len(settings_sent) > 50
    sent = {path.name for path in (store.root / "mlflow").rglob("artifacts/*")}
    assert sent == {"best.safetensors", "config.json", "log.txt", "metrics.jsonl"}
    (written,) = (run.path / "wandb").glob("offline-run-*/run-*.wandb")
    content = written.read_bytes()
    assert all(name in content for name in (b"loss/train", b"step/loss", b"model.channels", b"test/accuracy"))
