"""Runs in many conditions. Each function takes a store and returns a run in it."""

import json

from expertnet.settings.fields import build_settings
from expertnet.store.queue import RunQueue
from expertnet.store.status import Status
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop
from expertnet.utils.processes import this_process
from tests.support.opening import TINY, finished


def running(store):
    run = finished(store)
    queue = RunQueue(store.root)
    queue.add(run.id)
    queue.run_next(run.id)
    queue.take(run.id)
    run.write_status(
        run.status().changed(process=this_process(), state="running", activity="Training", step=3, steps=9)
    )
    return run


def failed(store):
    run = finished(store)
    run.write_status(run.status().changed(state="failed", error="The GPU ran out of memory.", error_kind="memory"))
    return run


def damaged(store):
    run = finished(store)
    (run.path / "config.json").write_text('{"name": "torn')
    (run.path / "metrics.jsonl").write_text('{"epoch": 1, "val_acc')
    return run


def odd(store):
    """Return a run whose files are valid JSON of the wrong types."""
    run = finished(store)
    status = run.status().model_dump() | {"best_val_accuracy": "high", "epochs": None, "state": 7}
    (run.path / "status.json").write_text(json.dumps(status))
    lines = ['{"epoch": 1}', '{"epoch": 2, "val_accuracy": "x", "routing_entropy": 3}', "[1]", '"text"', "7"]
    (run.path / "metrics.jsonl").write_text("\n".join(lines))
    return run


def bare(store):
    run = odd(store)
    run.write_status(Status().changed(state="finished", epoch=2, epochs=2))
    return run


def changed(run, name, content):
    (run.path / name).write_bytes(content)
    return run


def without_classes(store):
    run = finished(store)
    run.write_config(run.config() | {"dataset": {"name": "digits"}})
    return run


def stopped_at_once(store):
    run, stop = store.create(build_settings("quick", "digits", TINY)), Stop()
    run_training(run, stop, on_progress=lambda status: status.step == 1 and stop.set())
    assert run.state == "stopped" and run.checkpoints.present()
    return run
