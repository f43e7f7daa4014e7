"""Notices at the end of a training, sent to a server on this computer."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from expertnet.store.notes import SWEEP_TAG, Notes
from expertnet.store.status import Status
from expertnet.sweeps.engine import advance
from expertnet.sweeps.follow_up import train_longer
from expertnet.training.notice import VARIABLE, send_notice
from expertnet.training.runner import run_training
from expertnet.training.start import prepare_resume
from expertnet.training.stop import Stop
from expertnet.utils.home import install_command
from tests.support.opening import written
from tests.support.small import settings, until
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
