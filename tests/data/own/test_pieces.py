"""Uploads in pieces: many small files at once, large ones bit by bit, and what goes on after an interruption."""

import io
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from PIL import Image

from expertnet.data.own import pieces
from expertnet.data.own.datasets import create_dataset
from expertnet.data.own.folders import home
from expertnet.data.own.intake import finish, stage
from expertnet.data.own.pieces import arrived, receive
from expertnet.data.own.uploads import begin_upload, uploads_of
from expertnet.errors import DatasetError
from tests.support.own import files_of, framed, png
from tests.support.uploads import archive_of


@pytest.fixture(autouse=True)
def upload(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "root"))
    return begin_upload(create_dataset("Flowers").dataset)


def noise(side=120):
    file = io.BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(1).randbytes(3 * side * side)).save(file, "PNG")
    return file.getvalue()


def test_many_files_arrive_in_one_request(upload):
    receive(upload, b"".join(framed(path, data) for path, data in files_of("a", "b")))
    assert arrived(upload) == {"files": sorted(path for path, _ in files_of("a", "b")), "parts": {}}
    assert finish(upload).added == 8


@pytest.mark.parametrize("again", [False, True])
def test_a_large_file_arrives_in_pieces_of_which_any_may_come_twice(upload, again):
    data, step = noise(), 10_000
    for offset in range(0, len(data), step):
        body = framed("a/big.png", data, offset, step)
        receive(upload, body)
        if again and offset + step < len(data):
            receive(upload, body)
            assert arrived(upload)["parts"] == {"0": offset + step}
    assert arrived(upload) == {"files": ["a/big.png"], "parts": {}}
    version = finish(upload).version
    assert version.read(version.ordered[0][1]) == data


def test_a_missing_piece_is_refused(upload):
    with pytest.raises(DatasetError, match="piece of the upload is missing"):
        receive(upload, framed("a/big.png", noise(), 10_000, 10_000))


def test_an_archive_arrives_in_pieces(upload):
    data = archive_of("ant", "bee")
    receive(upload, framed("x.zip", data, 0, 100))
    receive(upload, framed("x.zip", data, 100, len(data)))
    assert {file["path"].split("/")[0] for file in upload.arrived().images} == {"ant", "bee"}
    assert not list(upload.parts.iterdir())


@pytest.mark.parametrize(("path", "data"), [("a/big.png", noise()), ("x.zip", archive_of("ant", "bee"))])
def test_the_last_piece_may_come_again_once_the_file_has_arrived(upload, path, data):
    last = framed(path, data, 100, len(data), number=3)
    receive(upload, framed(path, data, 0, 100, number=3))
    receive(upload, last)
    before, images = arrived(upload), len(upload.arrived().images)
    assert path in before["files"] and not before["parts"]
    for again in (last, last, framed(path, data, number=3)):
        receive(upload, again)
    assert arrived(upload) == before and len(upload.arrived().images) == images


def test_a_piece_that_comes_again_while_its_archive_is_unpacked_changes_nothing(upload, monkeypatch):
    data, unpacking, go_on = archive_of("ant", "bee"), threading.Event(), threading.Event()
    files_at = pieces.files_at

    def slowly(path):
        unpacking.set()
        assert go_on.wait(60)
        yield from files_at(path)

    monkeypatch.setattr(pieces, "files_at", slowly)
    receive(upload, framed("x.zip", data, 0, 100))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(receive, upload, framed("x.zip", data, 100, len(data)))
        assert unpacking.wait(60)
        second = pool.submit(receive, upload, framed("x.zip", data, 100, len(data)))
        assert not wait([second], timeout=0.2).done  # or it would have cut the archive off
        go_on.set()
        first.result()
        second.result()
    assert len(upload.arrived().images) == 6 and not upload.arrived().rejected and not arrived(upload)["parts"]


def test_a_file_is_sent_although_an_archive_beside_it_has_one_of_the_same_path(upload):
    receive(upload, framed("x.zip", archive_of("ant", "bee")))
    inside = upload.arrived().images[0]["path"]
    assert arrived(upload)["files"] == ["x.zip"]  # so that the browser sends the file after an interruption
    receive(upload, framed(inside, png(1000), number=1))
    assert arrived(upload)["files"] == sorted((inside, "x.zip")) and finish(upload).added == 3


def test_the_images_of_an_archive_whose_unpacking_was_killed_can_be_added(upload):
    stage(upload, [("a/1.png", png(1))], archive="x.zip")
    assert uploads_of(upload.dataset) == [upload] and not arrived(upload)["files"]
    receive(upload, framed("x.zip", archive_of("ant", "bee")))
    assert finish(upload).added == 3


def test_the_last_piece_of_a_hidden_file_may_come_again(upload):
    data = noise()
    receive(upload, framed("a/._big.png", data, 0, 100))
    for _ in range(2):
        receive(upload, framed("a/._big.png", data, 100, len(data)))
    assert arrived(upload) == {"files": ["a/._big.png"], "parts": {}}
    assert finish(upload).sentence == "0 images added."


def test_a_damaged_archive_is_named_and_the_others_stay(upload):
    receive(upload, framed("a/1.png", png(1)) + framed("x.zip", archive_of("ant")[:100]))
    assert dict(upload.arrived().rejected)["x.zip"].startswith("x.zip is damaged")
    assert finish(upload).added == 1


def test_a_file_that_is_too_large_is_named(upload):
    header = json.dumps({"path": "a/1.png", "number": 0, "size": 2**40, "offset": 0, "count": 3, "label": ""}).encode()
    body = len(header).to_bytes(4, "big") + header + b"abc"
    receive(upload, body * 2)
    assert upload.arrived().rejected == [("a/1.png", "The file is larger than 50 MiB. Make it smaller.")]


@pytest.mark.parametrize(
    "body",
    [
        b"\0",
        b"\0\0\0\5hello",
        b"\xff\xff\xff\xff",
        framed("a/1.png", png(1))[:-1],
        framed("", png(1)),
        framed("a/1.png", png(1), -5),
        framed("a/1.png", png(1)).replace(b'"a/1.png"', b"[1, 2, 34]"),
        framed("x.zip", b"x") * (pieces.MOST_PIECES + 1),  # each would be unpacked by itself
    ],
)
def test_damaged_requests_are_refused_and_change_nothing(upload, body):
    with pytest.raises(DatasetError, match="arrived damaged"):
        receive(upload, body)
    assert not upload.arrived().paths


def test_paths_lead_nowhere_else(upload, tmp_path):
    before = set(tmp_path.rglob("*"))
    receive(upload, framed("../../../../evil/a/1.png", png(1)) + framed("/etc/a/2.png", noise(), 0, 10))
    new = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(home() / upload.dataset) for path in new) and pieces.MOST > 0
    assert not upload.arrived().images  # parts that begin with a dot are hidden files
