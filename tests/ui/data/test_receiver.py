"""The route for uploads: what it takes, what it refuses, and that an upload continues after a kill."""

import os
import subprocess
import sys
import threading
from contextlib import suppress

import httpx
import pytest
from filelock import FileLock
from starlette.applications import Starlette
from starlette.testclient import TestClient

from expertnet.data.own import intake
from expertnet.data.own.added import Outcome
from expertnet.data.own.datasets import create_dataset, remove_dataset
from expertnet.data.own.edits import add_class, class_named
from expertnet.data.own.folders import home
from expertnet.data.own.pieces import MOST
from expertnet.data.own.space import discard
from expertnet.data.own.uploads import Upload
from expertnet.data.own.versions import open_version
from expertnet.ui.auth.middleware import Gate
from expertnet.ui.data import receiver
from tests.support.own import files_of
from tests.support.sending import HEADERS, pieces, send, through
from tests.support.served import newest_child, serving
from tests.support.small import LIMIT, until


@pytest.fixture(scope="module")
def client():
    with TestClient(Gate(Starlette()), "http://localhost") as client:
        yield client


@pytest.fixture(autouse=True)
def dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "root"))
    return create_dataset("Flowers").dataset


def test_files_are_sent_and_become_a_version(client, dataset):
    assert send(through(client), f"{dataset}/a1", files_of("a", "b")) == {"sentence": "8 images added."}
    assert receiver.result_of(dataset, "a1") == Outcome(
        2, "8 images added.", []
    )  # no version, whose images take memory
    again = through(client)("POST", f"/upload/{dataset}/a1/finish", b"")  # as after a lost answer
    assert again == {"sentence": "8 images added."} and open_version(dataset).number == 2


def test_files_are_sent_to_a_class(client, dataset):
    label = class_named(add_class(dataset, "rose").contents, "rose")
    send(through(client), f"{dataset}/a1", files_of("a"), label)
    assert open_version(dataset).contents.counts() == {label: 4}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "flowers/a1", {}, 404),  # a foreign page cannot send the header
        ("GET", "flowers", HEADERS, 404),
        ("GET", "../flowers/a1", HEADERS, 404),
        ("GET", "flowers/..%2f..", HEADERS, 404),
        ("GET", "flowers/" + "a" * 65, HEADERS, 404),
        ("PUT", "flowers/a1", HEADERS, 405),
        ("GET", "flowers/a1/finish", HEADERS, 405),
        ("GET", "roses/a1", HEADERS, 409),
        ("POST", "flowers/a1", HEADERS, 409),  # not begun
        ("POST", "flowers/a2/finish", HEADERS, 409),
        ("POST", "flowers/a1/stop", HEADERS, 409),
    ],
)
def test_other_requests_are_refused_with_a_sentence(client, dataset, method, path, headers, status):
    answer = client.request(method, f"/upload/{path}", headers=headers)
    assert answer.status_code == status
    if path.startswith("flowers/a"):
        assert answer.json()["error"].endswith(".")
    assert open_version(dataset).number == 1


def test_too_much_at_once_is_refused(client, dataset):
    client.get(f"/upload/{dataset}/a1", headers=HEADERS)
    answer = client.post(f"/upload/{dataset}/a1", content=bytes(MOST + 1), headers=HEADERS)
    assert answer.status_code == 413 and "Too much was sent" in answer.json()["error"]


def test_a_discarded_upload_and_a_removed_dataset_are_said(client, dataset):
    ask = through(client)
    ask("GET", f"/upload/{dataset}/a1", b"")
    discard(Upload(dataset, "a1"))
    post = {"content": next(pieces(files_of("a"), set())), "headers": HEADERS}
    answer = client.post(f"/upload/{dataset}/a1", **post)
    assert answer.status_code == 409 and "added or discarded in another tab" in answer.json()["error"]
    ask("GET", f"/upload/{dataset}/a1", b"")
    remove_dataset(dataset)
    answer = client.post(f"/upload/{dataset}/a1", **post)
    assert answer.status_code == 409 and "removed in the meantime" in answer.json()["error"]


def test_a_full_disk_in_the_middle_of_an_upload_is_said_and_the_rest_is_sent_later(client, dataset, monkeypatch):
    ask, files = through(client), files_of("a", count=128)
    ask("GET", f"/upload/{dataset}/a1", b"")
    first, second = pieces(files, set())
    ask("POST", f"/upload/{dataset}/a1", first)
    with monkeypatch.context() as full:
        full.setattr(intake, "SPARE", 2**60)  # bytes that must stay free
        answer = client.post(f"/upload/{dataset}/a1", content=second, headers=HEADERS)
        assert answer.status_code == 409 and answer.json()["error"].startswith("The disk is full.")
    assert send(ask, f"{dataset}/a1", files) == {"sentence": "128 images added."}


def test_a_slow_server_gives_signs_of_life(client, dataset, monkeypatch):
    monkeypatch.setattr(receiver, "LIVELY", 0.02)
    upload, answers = Upload(dataset, "a1"), []
    client.get(f"/upload/{dataset}/a1", headers=HEADERS)
    finish = threading.Thread(
        target=lambda: answers.append(client.post(f"/upload/{dataset}/a1/finish", headers=HEADERS))
    )
    with FileLock(home() / dataset / "incoming.lock"):
        finish.start()
        for _ in range(5):
            upload.rest()
            until(lambda: upload.under_way)
    finish.join()
    assert answers[0].content.startswith(b" ") and answers[0].json()["sentence"] == "0 images added."


KILLED = """
import os
from expertnet.data.own.pieces import receive
from expertnet.data.own.uploads import begin_upload
from tests.support.own import files_of
from tests.support.sending import pieces

upload = begin_upload("flowers", "a1")
bodies = pieces(files_of("a", "b", count=100), set())
for _ in range(2):
    receive(upload, next(bodies))
os._exit(9)
"""


@pytest.mark.long
def test_an_upload_continues_after_a_kill(client, dataset):
    done = subprocess.run([sys.executable, "-c", KILLED], env=os.environ | {"PYTHONPATH": "."}, check=False)
    assert done.returncode == 9
    files, sent = files_of("a", "b", count=100), list[str]()

    def ask(method, path, body):
        sent.append(method)
        return through(client)(method, path, body)

    assert send(ask, f"{dataset}/a1", files) == {"sentence": "200 images added."}
    assert sent == ["GET", *["POST"] * 3]  # 72 files in two requests, and the end


@pytest.mark.long
def test_a_kill_of_the_server_during_an_upload_of_2000_images_loses_none(dataset, tmp_path):
    files, upload = files_of(*"abcdefghij", count=200), Upload(dataset, "a1")
    bodies = list(pieces(files, set()))

    def post(client, some):
        for body in some:
            through(client)("POST", f"/upload/{dataset}/a1", body)

    def late(client):
        with suppress(httpx.TransportError):
            post(client, bodies[10:20])

    with serving(tmp_path, tmp_path / "root") as url, httpx.Client(base_url=url, timeout=LIMIT) as client:
        server = newest_child()
        through(client)("GET", f"/upload/{dataset}/a1", b"")
        post(client, bodies[:10])
        sender = threading.Thread(target=late, args=[client])
        sender.start()
        until(lambda: len(upload.arrived().paths) > 640)
        server.kill()
        sender.join()
    with serving(tmp_path, tmp_path / "root") as url, httpx.Client(base_url=url, timeout=LIMIT) as client:
        known = set(through(client)("GET", f"/upload/{dataset}/a1", b"")["files"])
        assert {path for path, _ in files[:640]} < known < {path for path, _ in files}
        assert send(through(client), f"{dataset}/a1", files) == {"sentence": "2,000 images added."}
    version = open_version(dataset)
    names = version.contents.classes
    assert {f"{names[image.label]}/{image.name}": version.read(image) for _, image in version.ordered} == dict(files)
