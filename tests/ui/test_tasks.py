"""Background tasks: progress, stopping, and errors."""

import threading
from types import SimpleNamespace

import pytest

from expertnet.errors import DatasetError
from expertnet.ui import tasks
from expertnet.utils.progress import raise_if_cancelled


def test_a_running_task_reports_progress_and_is_not_started_twice():
    reported, go = threading.Event(), threading.Event()

    def work(progress, cancelled):
        progress("counting", 0.5)
        reported.set()
        go.wait(300)

    task = tasks.start("count", work)
    assert reported.wait(300)
    assert tasks.start("count", work) is task is tasks.find("count")
    assert (task.activity, task.share, task.running) == ("counting", 0.5, True)
    go.set()
    task.join(300)
    assert not task.running and not task.error
    assert tasks.start("count", work) is not task
    assert tasks.find("nothing") is None


def test_a_task_stops_on_request():
    begun = threading.Event()

    def work(progress, cancelled):
        begun.set()
        while True:
            raise_if_cancelled(cancelled)

    task = tasks.start("endless", work)
    assert begun.wait(300)
    task.stop()
    task.join(300)
    assert not task.running and not task.error


@pytest.mark.parametrize(("within", "result"), [(20.0, None), (21.0, "done")])
def test_a_task_that_will_take_too_long_ends_without_a_result(monkeypatch, within, result):
    # it begins at 0 s; loads for 4 s; by its progress from 5 s to 9 s it will count until 21 s
    times = iter([0.0, 1.0, 4.0, 5.0, 9.0, 20.0])
    monkeypatch.setattr(tasks, "time", SimpleNamespace(monotonic=lambda: next(times)))

    def work(progress, cancelled):
        for activity, share in (
            ("loading", 0.0),
            ("loading", 1.0),
            ("counting", 0.0),
            ("counting", 0.25),
            ("counting", 1.0),
        ):
            progress(activity, share)
        return "done"

    task = tasks.start(within, work, within)
    task.join(300)
    assert (task.result, task.too_slow, task.error) == (result, result is None, "")


def test_an_error_becomes_one_sentence():
    def refused(progress, cancelled):
        raise DatasetError("The images are gone.")

    def broken(progress, cancelled):
        raise KeyError("x")

    for work, sentence in ((refused, "The images are gone."), (broken, "unexpected error")):
        task = tasks.start(sentence, work)
        task.join(300)
        assert sentence in task.error
