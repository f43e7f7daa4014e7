"""Notices at the end of a training, sent to a server on this computer."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from expertnet.store.notes import SWEEP_TAG, Notes
from expertnet.store.queue import RunQueue
from expertnet.store.status import Status
from expertnet.sweeps.driver import Driver
from expertnet.sweeps.engine import advance
from expertnet.sweeps.follow_up import train_longer
from expertnet.sweeps.journal import JOURNAL
from expertnet.training.controls import queue_controls
from expertnet.training.notice import VARIABLE, send_notice
from expertnet.training.runner import run_training
from expertnet.training.start import prepare_resume
from expertnet.training.stop import Stop
from expertnet.utils.home import install_command
from tests.support.command import command
from tests.support.controls import measured, original
from tests.support.opening import written
from tests.support.small import LIMIT, settings, until
from tests.support.sweeps import started, train


@pytest.fixture
def inbox():
    """The messages that were posted, and the address that takes them."""
    got = []

    class Inbox(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Inbox)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield got, f"json://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def sent(run, status):
    send_notice(run, status)
    wait()


def wait():
    until(lambda: not any(thread.name == "notice" for thread in threading.enumerate()))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # by Apprise, until Python 3.13
def test_a_run_that_ends_by_itself_is_told(store, inbox, monkeypatch):
    pytest.importorskip("apprise")
    got, address = inbox
    run = written(store, "<b>mine</b>")
    end = Status(state="finished", epoch=3, epochs=9, test_accuracy=0.5)
    sent(run, end)
    assert got == []  # nobody asked for it
    monkeypatch.setenv(VARIABLE, address)
    sent(run, end)
    sent(run, end.changed(state="failed", error="The disk is full."))
    sent(run, end.changed(state="stopped"))
    assert [message["title"] for message in got] == ["<b>mine</b>: finished", "<b>mine</b>: failed"]
    assert [message["message"] for message in got] == [
        "Test accuracy 50.00%, epoch 3, ended early.",
        "The disk is full.",
    ]
    monkeypatch.setenv(VARIABLE, f"nonsense {address}")
    sent(run, end)
    assert len(got) == 3 and "not one of Apprise" in run.log_tail()


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_of_a_sweep_its_end_alone_is_told(store, inbox, monkeypatch):
    pytest.importorskip("apprise")
    got, address = inbox
    monkeypatch.setenv(VARIABLE, address)
    sweep = started(store, "model.num_experts=1..2", name="Experts")
    for _ in range(2):
        (run,) = advance(sweep)
        train(run)
        sent(run, run.status())
    assert got == [] and advance(sweep) == [] == advance(sweep)
    wait()
    assert [message["title"] for message in got] == ["Experts: finished"]
    assert [message["message"] for message in got] == ["The sweep has ended: every combination was tried"]


@pytest.mark.parametrize(("file", "title"), [(JOURNAL, "Experts"), ("plan.json", "Sweep {}")])
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_a_sweep_that_cannot_go_on_is_told(store, inbox, monkeypatch, file, title):
    pytest.importorskip("apprise")
    got, address = inbox
    monkeypatch.setenv(VARIABLE, address)
    sweep = started(store, name="Experts")
    (sweep.path / file).write_text("{}\n[1]\n")
    driver = Driver(store)
    driver.wake()
    assert driver.join(LIMIT) and sweep.status().state == "failed"
    wait()
    assert [message["title"] for message in got] == [f"{title.format(sweep.id)}: failed"]
    assert file in got[0]["message"]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_what_follows_a_sweep_and_runs_with_the_tag_of_sweeps_are_told(store, inbox, monkeypatch):
    pytest.importorskip("apprise")
    got, address = inbox
    sweep = started(store, "model.num_experts=1..2", name="Experts")
    (trial,) = advance(sweep)
    train(trial)
    advance(sweep)
    monkeypatch.setenv(VARIABLE, address)
    longer = train_longer(sweep, 9)
    mine = written(store, "mine")
    mine.annotate(Notes(tags=(SWEEP_TAG,)))
    for run in (longer, mine):
        sent(run, Status(state="finished", epoch=3, epochs=3, test_accuracy=0.5))
    assert [message["title"] for message in got] == [f"{run.title}: finished" for run in (longer, mine)]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_of_the_controls_of_a_run_the_last_alone_tells(store, inbox, monkeypatch):
    pytest.importorskip("apprise")
    got, address = inbox
    monkeypatch.setenv(VARIABLE, address)
    run, other = original(store), original(store, seed=9)
    waiting, queue = queue_controls(run, store, 1), RunQueue(store.root)
    others = {control.id for control in queue_controls(other, store, 1)}
    cut_off, *rest = waiting
    queue.remove(cut_off.id)
    cut_off.leave_queue("stopped")  # by a person, who may start it again
    for control in rest:
        assert got == [] and queue.take(queue.ids()[0])
        measured(control, 0.5)
        sent(control, control.status())
        queue.done(control.id)
    assert [message["title"] for message in got] == ["mine: controls ended"] and set(queue.ids()) == others
    (again,) = queue_controls(run, store, 1)
    queue.remove(again.id)
    sent(again, Status(state="failed", error="The disk is full."))
    assert [message["title"] for message in got] == ["mine: controls ended"] * 2


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_a_command_tells_when_it_has_trained_all_controls(store, inbox, monkeypatch):
    pytest.importorskip("apprise")
    got, address = inbox
    run, seen = original(store), []

    def trained(control, stop, **_):
        RunQueue(store.root).remove(control.id)
        sent(control, measured(control, 0.5).status())
        seen.append(len(got))
        return control.status()

    monkeypatch.setattr("expertnet.training.lock.train_in_turn", trained)
    for expected in (1, 1):  # nothing is left to train the second time
        assert command("controls", run.id, "--seeds", 1, **{VARIABLE: address}).returncode == 0
        wait()
        assert [message["title"] for message in got] == ["mine: controls ended"] * expected
    assert len(seen) > 1 and not any(seen)


def test_a_trial_that_a_person_trains_longer_is_no_longer_one_of_many(store):
    trial = store.create(settings(), trial=True)
    run_training(trial, Stop())
    assert trial.trial
    prepare_resume(trial, epochs=trial.settings().training.epochs + 1)
    assert not trial.trial


def test_without_the_package_the_log_says_what_to_install(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    monkeypatch.setenv(VARIABLE, "json://127.0.0.1:1/secret")
    run = written(store)
    sent(run, Status(state="finished"))
    assert install_command("apprise") in run.log_tail() and "secret" not in run.log_tail()
