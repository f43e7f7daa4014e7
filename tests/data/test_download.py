"""Downloads from a local server: progress, cancellation, checksums and waiting for each other."""

import socket
import threading

import pytest

from expertnet.data.download import download
from expertnet.errors import DatasetError
from expertnet.utils.progress import Cancelled, never
from tests.support.downloads import files_in, md5


def test_a_download_reports_its_share_and_is_complete(server, tmp_path):
    server.files["/a.bin"] = data = bytes(range(256)) * 2000
    seen = []
    target = tmp_path / "new" / "a.bin"
    size = download(
        [server.url + "/a.bin"],
        target,
        md5(data),
        title="Things",
        progress=lambda text, share: seen.append((text, share)),
    )
    assert target.read_bytes() == data
    assert size == len(data)
    assert {text for text, _ in seen} == {"Downloading Things"}
    shares = [share for _, share in seen if share is not None]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert 0 < shares[0] < 1
    assert files_in(target.parent) == ["a.bin"]


def test_several_files_share_one_progress(server, tmp_path):
    server.files["/b.bin"] = data = b"x" * 100
    seen = []
    download(
        [server.url + "/b.bin"],
        tmp_path / "b",
        md5(data),
        title="T",
        before=300,
        total=400,
        progress=lambda _, s: seen.append(s),
    )
    assert seen == [0.75, 1.0]


def test_only_damaged_files_are_downloaded_again(server, tmp_path):
    server.files["/a"] = data = b"good"
    target = tmp_path / "a"
    target.write_bytes(data)
    download([server.url + "/a"], target, md5(data), title="T")
    assert server.requested == []
    target.write_bytes(b"baad")
    download([server.url + "/a"], target, md5(data), title="T")
    assert server.requested == ["/a"]
    assert target.read_bytes() == data


def test_a_cancelled_download_leaves_nothing(server, tmp_path):
    server.files["/a"] = data = b"y" * 1_000_000
    seen = []
    with pytest.raises(Cancelled):
        download(
            [server.url + "/a"], tmp_path / "a", md5(data), title="T",
            progress=lambda _, share: seen.append(share), cancelled=lambda: len(seen) > 3,
        )  # fmt: skip
    assert 0 < seen[-1] < 1
    assert files_in(tmp_path) == []


def test_a_wrong_checksum_is_rejected(server, tmp_path):
    server.files["/a"] = b"something else"
    with pytest.raises(DatasetError, match="wrong checksum") as refusal:
        download([server.url + "/a"], tmp_path / "a", md5(b"what was meant"), title="Things")
    assert "no download" in str(refusal.value)
    assert files_in(tmp_path) == []


def test_an_interrupted_connection_is_reported(server, tmp_path):
    server.files["/a"], server.missing = b"half", 4
    with pytest.raises(DatasetError, match="connection interrupted"):
        download([server.url + "/a"], tmp_path / "a", md5(b"halfhalf"), title="Things")
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("broken", ["/gone", "/moved"])
def test_the_next_mirror_is_tried(server, tmp_path, broken):
    server.files["/good"] = data = b"data"
    download([server.url + broken, server.url + "/good"], tmp_path / "a", md5(data), title="T")
    assert server.requested == [broken, "/good"]
    assert (tmp_path / "a").read_bytes() == data


def test_without_a_network_the_error_names_alternatives(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as closed:  # bound but not listening
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a"
        with pytest.raises(DatasetError, match="could not be downloaded") as refusal:
            download([url], tmp_path / "a", "0" * 32, title="CIFAR-10")
    assert "Digits and your own images" in str(refusal.value)
    assert str(refusal.value).startswith("CIFAR-10")


@pytest.mark.parametrize("cancels", [False, True])
def test_a_second_download_of_a_file_waits_for_the_first(server, tmp_path, cancels):
    server.files["/a"] = data = b"z" * 1_000_000
    ended, seen, waits = [], [], threading.Event()

    def fetch(name, progress, cancelled=never):
        try:
            ended.append(
                (name, download([f"{server.url}/a"], tmp_path / "a", md5(data), "T", None, 0, progress, cancelled))
            )
        except Cancelled:
            ended.append((name, "cancelled"))

    def wait(text, share):
        seen.append(text)
        waits.set()

    second = threading.Thread(target=fetch, args=("second", wait, lambda: cancels and waits.is_set()))

    def progress(text, share):
        if share and not second.ident:
            second.start()
            assert waits.wait(30)
            if cancels:
                second.join()

    fetch("first", progress)
    second.join()
    assert set(seen) == {"Waiting for another download of T"}
    assert sorted(ended) == [("first", len(data)), ("second", "cancelled" if cancels else len(data))]
    assert server.requested == ["/a"] and files_in(tmp_path) == ["a"]
