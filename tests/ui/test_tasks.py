"""Background tasks: progress, stopping, and errors."""

import threading

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


def test_a_task_that_takes_too_long_ends_without_a_result(monkeypatch):
    monkeypatch.setattr(tasks, "JUDGED_AFTER", 0.0)

    def work(progress, cancelled):
        for share in (0.0, 1e-9, 0.5):
            progress("counting", share)
        return "done"

    for within, result in ((1.0, None), (1e9, "done")):  # at a billionth of the work
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
