"""Hostile uploads to a dataset of one's own: images for a class or in class folders, and archives."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from hypothesis import strategies as st

from expertnet.data.custom import scan
from expertnet.data.datasets import load_dataset
from expertnet.data.own.datasets import create_dataset, undo
from expertnet.data.own.edits import class_id
from expertnet.data.own.files import read_thumb
from expertnet.data.own.intake import Added, add_files, files_at
from expertnet.data.own.versions import history, open_version
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from tests.support.hostile.inputs import CONTENTS, packed_images
from tests.support.hostile.studio import ON_PAGES, Cases, Studio, assert_sentence

Files = Iterable[tuple[str, bytes]]


def own_image_cases(studio: Studio) -> Cases:
    """Generate names of datasets and classes, and files for a class or for those that their folders name."""
    inside = [studio.outside.map(f"{folder}/{{}}".format) for folder in ("cat", "test/cat")]
    paths = st.one_of(studio.outside, *inside, st.sampled_from(["cat/1.png", "eel/2.png", "CAT/3.png"]))
    files = st.lists(st.tuples(paths, st.one_of(st.binary(max_size=40), CONTENTS, CONTENTS)), max_size=4)
    cases = st.tuples(studio.outside, st.one_of(st.sampled_from(["", "rose"]), studio.outside), files)

    def check(case: tuple[str, str, list[tuple[str, bytes]]]) -> None:
        title, label, files = case
        add_to_dataset(studio, title, label, lambda folder: files)

    return cases, check


def own_archive_cases(studio: Studio) -> Cases:
    """Generate archives of images that are added to a dataset."""

    def check(content: bytes) -> None:
        def unpacked(folder: Path) -> Iterator[tuple[str, bytes]]:
            (folder / "archive").write_bytes(content)
            return files_at(folder / "archive")

        add_to_dataset(studio, "Own", "", unpacked)

    return packed_images(studio.outside), check


def add_to_dataset(studio: Studio, title: str, label: str, files: Callable[[Path], Files]) -> None:
    """Make a dataset and a class, add files, and read what came of it as the pages and a training do."""
    try:
        dataset = create_dataset(title).dataset
    except DatasetError as error:
        assert_sentence(error)
        dataset = create_dataset("Own").dataset
    try:
        chosen = class_id(dataset, label) if label else ""
        before = open_version(dataset)
        added = add_files(dataset, files(before.folder.parent), chosen)
    except DatasetError as error:
        studio.refuse(error)
        assert open_version(dataset).number == len(history(dataset)) <= 2
    else:
        studio.counts["accepted" if added.added else "refused"] += 1
        _read(added)
        if added.added:
            assert undo(dataset).contents == before.contents
    if studio.is_turn(ON_PAGES):
        for view in ("Images", "Add", "Versions"):
            studio.page("data", dataset=dataset, view=view)


def _read(added: Added) -> None:
    """Assert that what was added is whole and what was not is explained."""
    version, contents = added.version, added.version.contents
    assert_sentence(added.sentence)
    for _, reason in added.rejected:
        assert_sentence(reason)
    for _, image in version.ordered:
        data = version.read(image)
        assert sha256(data).hexdigest() == image.digest and len(data) == image.size and read_thumb(version, image)
    shown = [contents.title, *contents.classes.values(), *(image.name for image in contents.images.values())]
    assert all(name.isprintable() and "/" not in name and not name.startswith(".") for name in shown), shown
    assert not list(version.folder.rglob("*.tmp"))
    data_settings = DataSettings(dataset=version.reference, image_size=8, crop_padding=0)
    try:
        scan(data_settings)
        assert load_dataset(data_settings, 0).info.classes == tuple(sorted(contents.classes.values()))
    except DatasetError as error:
        assert_sentence(error)
