"""Folders and archives of class folders: what is read, skipped and rejected, whichever way they are packed."""

import io
import tarfile

import pytest
from PIL import Image

from expertnet.errors import DatasetError
from tests.support.class_files import class_files, png, two_levels, write

KINDS = ["folder", "a.zip", "a.tar", "a.tar.xz", "a.tar.gz", "a.tgz", "a.tar.bz2"]


@pytest.mark.parametrize("prefix", ["", "images/"])
@pytest.mark.parametrize("kind", KINDS)
def test_train_and_test_folders_are_two_parts(kind, prefix, tmp_path, load):
    data = load(write(tmp_path / kind, two_levels(prefix)))
    assert data.info.classes == ("cat", "dog")
    assert sorted(zip(data.train.labels.tolist(), data.train.images[:, 0, 0, 0].tolist(), strict=True)) == [
        (label, 50 * label + number) for label in (0, 1) for number in range(4)
    ]
    assert sorted(data.test.images[:, 0, 0, 0].tolist()) == [0, 1, 50, 51]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fifth_of_every_class_is_held_out_without_a_test_folder(kind, tmp_path, load):
    data = load(write(tmp_path / kind, class_files(count=10)))
    assert data.train.labels.bincount().tolist() == [8, 8]
    assert data.test.labels.bincount().tolist() == [2, 2]
    shown = data.train.images[:, 0, 0, 0].tolist() + data.test.images[:, 0, 0, 0].tolist()
    assert sorted(shown) == [*range(10), *range(50, 60)]


def test_the_held_out_fifth_does_not_depend_on_the_order_in_an_archive(tmp_path, load):
    files = class_files(count=10)
    forwards = load(write(tmp_path / "a.tar", files))
    backwards = load(write(tmp_path / "b.zip", dict(reversed(files.items()))))
    shown = [sorted(data.test.images[:, 0, 0, 0].tolist()) for data in (forwards, backwards)]
    assert shown[0] == shown[1]


def test_a_train_folder_alone_counts_as_a_wrapping_folder(tmp_path, load):
    data = load(write(tmp_path / "folder", class_files(prefix="train/")))
    assert data.info.classes == ("cat", "dog")
    assert len(data.test) == 2


@pytest.mark.parametrize("kind", ["folder", "a.zip", "a.tar"])
def test_hidden_and_system_files_are_ignored(kind, tmp_path, load):
    junk = {
        "__MACOSX/set/cat/._1.png": b"x",
        "set/.DS_Store": b"x",
        "set/cat/.hidden.png": png(),
        "set/.git/config": b"x",
        "set/README.txt": b"about",
    }
    data = load(write(tmp_path / kind, {**junk, **class_files(prefix="set/")}))
    assert data.info.classes == ("cat", "dog")
    assert data.note == ""


@pytest.mark.parametrize("kind", ["folder", "a.zip", "a.tar.gz"])
def test_files_without_a_readable_image_are_skipped_and_counted(kind, tmp_path, load):
    files = class_files() | {
        "cat/Thumbs.db": b"x",
        "dog/torn.png": png()[:40],
        "loose.png": png(),
        "cat/deep/1.png": png(),
    }
    data = load(write(tmp_path / kind, files))
    assert len(data.train) + len(data.test) == 10
    assert data.note.startswith("Skipped 4 files")
    again = load(tmp_path / kind)
    assert again.note == data.note and all(name in data.note for name in files if name not in class_files())


@pytest.mark.parametrize(("count", "says"), [(1, "Skipped 1 file "), (9, "and others (9 .txt in all)")])
def test_skipped_files_are_listed_in_one_printable_line(count, says, tmp_path, load):
    odd = {f"cat/a\n\x1b[31m\udcff{number}.txt": b"x" for number in range(count)}
    note = load(write(tmp_path / "folder", class_files() | odd)).note
    assert says in note and "cat/a??[31m?0.txt" in note and note.isprintable()


def test_images_of_any_shape_are_fitted(tmp_path, load):
    buffer = io.BytesIO()
    Image.new("CMYK", (90, 30), (0, 0, 0, 0)).save(buffer, "JPEG")
    data = load(write(tmp_path / "folder", class_files() | {"cat/wide.JPG": buffer.getvalue()}))
    assert 255 in [*data.train.images[:, 0, 4, 4].tolist(), *data.test.images[:, 0, 4, 4].tolist()]


@pytest.mark.parametrize("kind", ["folder", "a.zip", "a.tar"])
@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (class_files(classes=("cat",)), "only one class, 'cat'"),
        (class_files(classes=("cat",), prefix="set/"), "only one class, 'cat'"),
        (class_files() | {"bird/notes.txt": b"x"}, "no readable image in the class 'bird'"),
        (class_files() | {"bird/torn.png": b"x", "bird/2.png": b"x"}, "no readable image in the class 'bird'"),
        (two_levels() | {"test/bird/1.png": png()}, "class 'bird' in test but not in train"),
        (two_levels() | {"train/bird/1.png": png(), "test/bird/x.txt": b""}, "class 'bird' in test"),
        (class_files(prefix="train/") | {"test/readme.txt": b""}, "no class folders in test"),
        ({"1.png": png(), "2.png": png()}, "no images in class folders"),
        ({"a/b/c/1.png": png(), "a/b/d/1.png": png()}, "no images in class folders"),
        ({"cat/1.txt": b"x", "dog/1.doc": b"x"}, "no images in class folders"),
        (class_files(count=1), "too few to hold out"),
    ],
)  # fmt: skip
def test_an_unusable_dataset_is_rejected_with_the_reason(kind, files, sentence, tmp_path, load, root):
    with pytest.raises(DatasetError, match=sentence) as refusal:
        load(write(tmp_path / kind, files))
    assert "\n" not in str(refusal.value)
    assert kind in str(refusal.value)
    assert not any(path.name.startswith("info") for path in root.rglob("*"))


def test_an_empty_class_folder_is_rejected(tmp_path, load):
    folder = write(tmp_path / "folder", class_files())
    (folder / "bird").mkdir()
    empty = tarfile.TarInfo("bird/")
    empty.type = tarfile.DIRTYPE
    for path in (
        folder,
        write(tmp_path / "a.tar", class_files() | {"bird/": empty}),
        write(tmp_path / "a.zip", class_files() | {"bird/": b""}),
    ):
        with pytest.raises(DatasetError, match="class 'bird'"):
            load(path)


@pytest.mark.parametrize("text", ["cifra10", "a\0b", "x" * 5000])
def test_a_missing_dataset_is_rejected(text, load):
    with pytest.raises(DatasetError, match="There is no dataset"):
        load(text)


@pytest.mark.parametrize("text", ["/nowhere/at/all", "~nobody-here/x", "/dev/zero"])
def test_a_missing_path_is_rejected(text, load):
    with pytest.raises(DatasetError, match=f"^There is no folder or archive '{text}'. Check the path.$"):
        load(text)
