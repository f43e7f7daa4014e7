"""The built-in datasets that are downloaded and read by torchvision, with small stand-ins for their files."""

import gzip
import io
import pickle
import tarfile

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets as readers

from expertnet.data.builtin import BUILTIN
from expertnet.data.datasets import load_dataset
from expertnet.settings.schema import DataSettings
from tests.support.downloads import files_in, md5


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
    assert files_in(tmp_path / "downloads") == [reader.filename]
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
