"""Archives that are damaged or hostile, and the limits of what is read."""

import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from expertnet.data import archives, class_folders, images
from expertnet.data.archives import entries
from expertnet.errors import DatasetError
from expertnet.utils.progress import Cancelled
from tests.support.class_files import class_files, png, write


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"x" * 5000, b"x" * 512])
def test_a_file_that_is_not_an_archive_is_rejected(content, tmp_path, load):
    path = tmp_path / "thing.zip"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="not a zip or tar archive"):
        load(path)


@pytest.mark.parametrize("kind", ["a.zip", "a.tar", "a.tar.xz", "a.tar.gz", "a.tar.bz2"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_archive_is_rejected(kind, share, tmp_path, load):
    whole = write(tmp_path / kind, class_files(count=200)).read_bytes()
    (tmp_path / kind).write_bytes(whole[: int(len(whole) * share) // 512 * 512 + 100])
    with pytest.raises(DatasetError, match="damaged, encrypted or truncated"):
        load(tmp_path / kind)


def test_a_zip_with_a_wrong_checksum_is_rejected(tmp_path, load):
    path = write(tmp_path / "a.zip", class_files())
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DatasetError, match="damaged"):
        load(path)


def test_an_encrypted_zip_is_rejected(tmp_path, load):
    path = write(tmp_path / "a.zip", class_files())
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = data.find(signature)
        while place >= 0:
            data[place + offset] |= 1
            place = data.find(signature, place + 4)
    path.write_bytes(bytes(data))
    with pytest.raises(DatasetError, match="encrypted"):
        load(path)


def everything_below(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


def tar_member(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def zip_link(name, target):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info, target


@pytest.mark.parametrize(
    ("kind", "bad", "sentence"),
    [
        ("a.tar", {"../escaped.png": png()}, "points outside"),
        ("a.tar", {"cat/../../escaped.png": png()}, "points outside"),
        ("a.tar", {"/tmp/escaped.png": png()}, "points outside"),
        ("a.tar.xz", {"cat/..": tar_member("cat/..", tarfile.DIRTYPE)}, "points outside"),
        ("a.tar", {"l": tar_member("cat/link.png", tarfile.SYMTYPE, "/etc/passwd")}, "link or a device"),
        ("a.tar", {"l": tar_member("cat/link.png", tarfile.LNKTYPE, "cat/0.png")}, "link or a device"),
        ("a.tar.gz", {"l": tar_member("cat/dev.png", tarfile.CHRTYPE)}, "link or a device"),
        ("a.tar", {"l": tar_member("cat/dev.png", tarfile.BLKTYPE)}, "link or a device"),
        ("a.tar", {"l": tar_member("cat/pipe.png", tarfile.FIFOTYPE)}, "link or a device"),
        ("a.zip", {"../escaped.png": png()}, "points outside"),
        ("a.zip", {"..\\escaped.png": png()}, "points outside"),
        ("a.zip", {"/escaped.png": png()}, "points outside"),
        ("a.zip", {"C:\\escaped.png": png()}, "points outside"),
        ("a.zip", {"l": zip_link("cat/link.png", "/etc/passwd")}, "link or a device"),
    ],
)
def test_an_archive_that_points_outside_is_rejected_and_writes_nothing(kind, bad, sentence, tmp_path, load, root):
    path = write(tmp_path / kind, class_files() | bad)
    before = everything_below(tmp_path)
    with pytest.raises(DatasetError, match=sentence) as refusal:
        load(path)
    assert "\n" not in str(refusal.value)
    after = {name: time for name, time in everything_below(tmp_path).items() if not name.startswith(root.name)}
    assert after == before
    assert not list(root.glob("decoded/*"))


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz"])
def test_a_path_of_thousands_of_parts_is_rejected(kind, tmp_path, load):
    path = write(tmp_path / kind, class_files() | {"cat/" + "a/" * 16_000 + "x.png": png()})
    with pytest.raises(
        DatasetError, match=r"contains a path of 32,009 characters, 'cat/a/a.*'\.\.\. Use shorter paths\."
    ):
        load(path)


def test_the_files_of_a_zip_are_counted_before_the_memory_holds_them(tmp_path, load, monkeypatch):
    path, made = write(tmp_path / "a.zip", class_files()), []
    monkeypatch.setattr(archives, "MAX_FILES", 9)
    monkeypatch.setattr(zipfile, "ZipInfo", made.append)
    with pytest.raises(DatasetError, match="more than 9 files"):
        load(path)
    assert made == []


@pytest.mark.parametrize("kind", ["a.zip", "a.tar", "a.tar.xz"])
def test_archives_over_the_limits_are_rejected(kind, tmp_path, load, monkeypatch):
    path = write(tmp_path / kind, class_files() | {"cat/big.bin": b"\0" * 100_000})
    monkeypatch.setattr(archives, "MAX_UNPACKED", 50_000)
    with pytest.raises(DatasetError, match="unpacks to more than"):
        load(path)
    monkeypatch.undo()
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "root"))
    monkeypatch.setattr(archives, "MAX_FILES", 10)
    with pytest.raises(DatasetError, match="more than 10 files"):
        load(path)
    monkeypatch.setattr(archives, "MAX_FILES", 1000)
    monkeypatch.setattr(archives, "MAX_PATHS", 500)  # ten paths of some 60 bytes
    with pytest.raises(DatasetError, match="too many long paths"):
        load(path)
    monkeypatch.setattr(archives, "MAX_PATHS", 2**20)
    monkeypatch.setattr(class_folders, "MAX_CLASSES", 1)
    with pytest.raises(DatasetError, match="more than 1 classes"):
        load(path)


def test_the_declared_size_is_rejected_before_unpacking(tmp_path):
    """The header of this tar claims 5 GiB, but no content follows."""
    member = tarfile.TarInfo("cat/huge.png")
    member.size = 5 * 2**30
    path = tmp_path / "a.tar"
    path.write_bytes(member.tobuf() + b"\0" * 1024)
    with pytest.raises(DatasetError, match="unpacks to more than 4 GiB"):
        list(entries(path))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_header_that_claims_gigabytes_is_not_read(kind, tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 3 * 2**30
    path = tmp_path / "a.tar"
    path.write_bytes(header.tobuf() + b"\0" * 4096)
    with pytest.raises(DatasetError, match="headers that are too large"):
        list(entries(path))


def test_global_headers_that_add_up_from_member_to_member_are_rejected(tmp_path):
    """Each is small, but every member that follows copies all of them."""
    image, path = png(), tmp_path / "a.tar"
    with path.open("wb") as file:
        for number in range(8):
            file.write(tarfile.TarInfo.create_pax_global_header({f"key{number}": "x" * 60_000}))
            member = tarfile.TarInfo(f"cat/{number}.png")
            member.size = len(image)
            file.write(member.tobuf() + image.ljust(-(-len(image) // 512) * 512, b"\0"))
        file.write(b"\0" * 1024)
    with pytest.raises(DatasetError, match="headers that are too large"):
        list(entries(path))


def test_deeply_nested_long_name_headers_are_rejected(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 4
    path = tmp_path / "a.tar"
    path.write_bytes((header.tobuf() + b"abc\0" + b"\0" * 508) * 3000)
    with pytest.raises(DatasetError, match="headers that are too large"):
        list(entries(path))


def test_an_image_file_over_the_size_limit_is_skipped(tmp_path, load, monkeypatch):
    files = class_files() | {"cat/large.png": png() + b"\0" * 2_000_000}
    monkeypatch.setattr(archives, "MAX_BYTES", 2**20)
    monkeypatch.setattr(images, "MAX_BYTES", 2**20)
    for kind in ("folder", "a.zip", "a.tar.gz"):
        data = load(write(tmp_path / kind, files))
        assert len(data.train) + len(data.test) == 10
        assert "cat/large.png" in data.note


def test_unprintable_characters_in_names_become_question_marks(tmp_path, load):
    member = tarfile.TarInfo("we\x1b[31mird/1.png")
    path = write(tmp_path / "a.tar", class_files() | {f"we\x1b[31mird/{n}.png": png(n) for n in range(5)})
    assert member.name not in load(path).info.classes
    assert "we?[31mird" in load(path).info.classes


def test_links_in_a_circle_end(tmp_path, load):
    folder = write(tmp_path / "folder", class_files())
    os.symlink(folder, folder / "cat" / "again")
    os.symlink(tmp_path / "nowhere", folder / "dog" / "broken.png")
    os.symlink("itself.png", folder / "dog" / "itself.png")
    assert load(folder).info.classes == ("cat", "dog")


def test_a_folder_of_linked_images_is_read(tmp_path, load):
    store = write(tmp_path / "store", class_files())
    for path in sorted(store.rglob("*.png")):
        link = tmp_path / "folder" / path.relative_to(store)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    assert len(load(tmp_path / "folder").train) == 8


def test_a_pipe_in_a_folder_does_not_block(tmp_path, load):
    folder = write(tmp_path / "folder", class_files())
    os.mkfifo(folder / "cat" / "pipe.png")
    assert len(load(folder).train) == 8


@pytest.mark.parametrize("kind", ["folder", "a.zip", "a.tar.xz"])
def test_listing_can_be_cancelled(kind, tmp_path):
    path = write(tmp_path / kind, class_files())
    with pytest.raises(Cancelled):
        list(entries(path, cancelled=lambda: True))


def test_entries_report_the_share_of_the_archive_read(tmp_path):
    path: Path = write(tmp_path / "a.zip", class_files(count=3))
    shares = [entry.share for entry in entries(path)]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] < 1
