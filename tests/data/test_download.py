"""Downloads from a local server: progress, cancellation, checksums, and torchvision's readers."""

import gzip
import hashlib
import http.server
import io
import pickle
import socket
import tarfile
import threading

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets as readers

from expertnet.data.builtin import BUILTIN
from expertnet.data.datasets import load_dataset
from expertnet.data.download import download
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Cancelled


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest.fixture
def server(monkeypatch):
    """Serve `server.files`, and record the requested paths."""
    monkeypatch.setenv("no_proxy", "*")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requested.append(self.path)
            data = self.server.files.get(self.path)
            self.send_response(302 if self.path == "/moved" else 200 if data is not None else 404)
            self.send_header("Location", "http://[")  # no URL
            self.send_header("Content-Length", str(len(data or b"") + self.server.missing))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *args):
            """Log nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """Ignore clients that cancel."""

    with Server(("127.0.0.1", 0), Handler) as made:
        made.files, made.requested, made.missing = {}, [], 0
        made.url = f"http://127.0.0.1:{made.server_address[1]}"
        thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


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
    assert [path.name for path in target.parent.iterdir()] == ["a.bin"]


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
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_checksum_is_rejected(server, tmp_path):
    server.files["/a"] = b"something else"
    with pytest.raises(DatasetError, match="wrong checksum") as refusal:
        download([server.url + "/a"], tmp_path / "a", md5(b"what was meant"), title="Things")
    assert "no download" in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_connection_is_reported(server, tmp_path):
    server.files["/a"], server.missing = b"half", 4
    with pytest.raises(DatasetError, match="connection interrupted"):
        download([server.url + "/a"], tmp_path / "a", md5(b"halfhalf"), title="Things")
    assert list(tmp_path.iterdir()) == []


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


# --- the built-in datasets, with small stand-ins for their files -----------------------------------------------------


def tarred(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def serve_cifar(server, monkeypatch, reader, images, labels, names):
    """Serve images (N, 3, 32, 32): the first 20 for training, the rest for the test."""
    key, folder = {"CIFAR10": ("labels", "label_names"), "CIFAR100": ("fine_labels", "fine_label_names")}[
        reader.__name__
    ]
    meta = pickle.dumps({folder: names})
    parts = {
        name: pickle.dumps({"data": images[part].reshape(-1, 3072), key: labels[part].tolist()})
        for name, part in (("train_part", slice(0, 20)), ("test_part", slice(20, None)))
    }
    archive = tarred(
        {f"{reader.base_folder}/{name}": data for name, data in {**parts, reader.meta["filename"]: meta}.items()}
    )
    server.files["/archive"] = archive
    monkeypatch.setattr(reader, "url", server.url + "/archive")
    monkeypatch.setattr(reader, "tgz_md5", md5(archive))
    monkeypatch.setattr(reader, "train_list", [["train_part", md5(parts["train_part"])]])
    monkeypatch.setattr(reader, "test_list", [["test_part", md5(parts["test_part"])]])
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": md5(meta)})


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_downloaded_unpacked_and_decoded(name, server, monkeypatch, tmp_path):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path))
    reader = {"cifar10": readers.CIFAR10, "cifar100": readers.CIFAR100}[name]
    images = np.random.default_rng(0).integers(0, 256, (24, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(24) % 2
    serve_cifar(server, monkeypatch, reader, images, labels, ["cat", "dog"])
    seen = []
    data = load_dataset(
        DataSettings(dataset=name, validation_share=0), 0, progress=lambda text, share: seen.append(text)
    )
    assert data.info.name == name
    assert data.info.classes == ("cat", "dog")
    assert torch.equal(data.train.images, torch.from_numpy(images[:20]))
    assert torch.equal(data.test.images, torch.from_numpy(images[20:]))
    assert data.test.labels.tolist() == labels[20:].tolist()
    assert f"Downloading {BUILTIN[name].title}" in seen
    assert sorted(path.name for path in (tmp_path / "downloads").iterdir()) == [reader.filename]
    load_dataset(DataSettings(dataset=name, image_size=16), 0)  # another size needs no second download
    assert server.requested == ["/archive"]


def test_fashion_mnist_becomes_rgb_at_any_size(server, monkeypatch, tmp_path):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path))
    values = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)

    def idx(array):
        header = bytes([0, 0, 8, array.ndim]) + b"".join(length.to_bytes(4, "big") for length in array.shape)
        return gzip.compress(header + array.astype(np.uint8).tobytes())

    content = [idx(values[:4]), idx(np.array([0, 1, 0, 1])), idx(values[4:]), idx(np.array([9, 0]))]
    names = [name for name, _ in readers.FashionMNIST.resources]
    server.files = {f"/{name}": data for name, data in zip(names, content, strict=True)}
    monkeypatch.setattr(readers.FashionMNIST, "mirrors", [server.url + "/gone/", server.url + "/"])
    monkeypatch.setattr(readers.FashionMNIST, "resources", [(n, md5(c)) for n, c in zip(names, content, strict=True)])
    data = load_dataset(DataSettings(dataset="fashion_mnist", image_size=28, validation_share=0), 0)
    assert data.info.classes == tuple(readers.FashionMNIST.classes)
    assert torch.equal(data.train.images, torch.from_numpy(values[:4])[:, None].expand(-1, 3, -1, -1))
    assert data.test.labels.tolist() == [9, 0]
    larger = load_dataset(DataSettings(dataset="fashion_mnist", image_size=32, validation_share=0), 0)
    assert larger.test.images.shape == (2, 3, 32, 32)


def test_the_digit_zero_in_svhn_is_class_zero(server, monkeypatch, tmp_path):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path))
    values = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 5), dtype=np.uint8)
    entries = {}
    for part, chosen, labels in (("train", slice(0, 3), [10, 1, 2]), ("test", slice(3, 5), [10, 3])):
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, {"X": values[..., chosen], "y": np.array(labels)[:, None]})
        server.files[f"/{part}"] = buffer.getvalue()
        entries[part] = [f"{server.url}/{part}", f"{part}_32x32.mat", md5(buffer.getvalue())]
    monkeypatch.setattr(readers.SVHN, "split_list", entries)
    data = load_dataset(DataSettings(dataset="svhn", validation_share=0), 0)
    assert data.train.labels.tolist() == [0, 1, 2]
    assert data.test.labels.tolist() == [0, 3]
    assert torch.equal(data.train.images, torch.from_numpy(values[..., :3]).permute(3, 2, 0, 1))
