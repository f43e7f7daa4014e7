"""Hostile uploads to a dataset of one's own: images for a class or in class folders, archives, and both in pieces."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from hypothesis import strategies as st

from expertnet.data.custom import scan
from expertnet.data.datasets import load_dataset
from expertnet.data.own.added import Added
from expertnet.data.own.datasets import create_dataset, undo
from expertnet.data.own.edits import class_id
from expertnet.data.own.files import read_thumb
from expertnet.data.own.intake import add_files, files_at, finish
from expertnet.data.own.pieces import arrived, receive
from expertnet.data.own.uploads import begin_upload
from expertnet.data.own.versions import history, open_version
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.utils.text import displayable
from tests.support.hostile.inputs import CONTENTS, MUTATIONS, VALUES, mutated, packed_images
from tests.support.hostile.studio import ON_PAGES, Cases, Studio, assert_sentence
from tests.support.own import framed


def own_image_cases(studio: Studio) -> Cases:
    """Generate names of datasets and classes, and files for a class or for those that their folders name."""
    files = st.lists(st.tuples(_paths(studio), st.one_of(st.binary(max_size=40), CONTENTS, CONTENTS)), max_size=4)
    cases = st.tuples(studio.outside, st.one_of(st.sampled_from(["", "rose"]), studio.outside), files)

    def check(case: tuple[str, str, list[tuple[str, bytes]]]) -> None:
        title, label, files = case
        _add(studio, lambda dataset: add_files(dataset, files, class_id(dataset, label) if label else ""), title)

    return cases, check


def own_archive_cases(studio: Studio) -> Cases:
    """Generate archives of images that are added to a dataset."""

    def check(content: bytes) -> None:
        studio.data.mkdir(exist_ok=True)
        (archive := studio.data / "archive").write_bytes(content)
        _add(studio, lambda dataset: add_files(dataset, files_at(archive)))

    return packed_images(studio.outside), check


def own_piece_cases(studio: Studio) -> Cases:
    """Generate requests of the uploader: files and archives in pieces with any numbers and names, and changed bytes."""
    values = st.one_of(VALUES, st.integers(0, 300), studio.outside)
    changes = st.dictionaries(
        st.sampled_from(["path", "number", "label", "size", "offset", "count"]), values, max_size=1
    )
    packed = st.tuples(st.sampled_from(["cat.zip", "x/.tar", "cat/1.tgz"]), packed_images(studio.outside))
    files = st.one_of(st.tuples(_paths(studio), CONTENTS), packed)
    piece = st.builds(_piece, files, st.integers(0, 2), st.floats(0, 1), changes)
    body = st.builds(mutated, st.lists(piece, max_size=4).map(b"".join), st.one_of(st.just([]), st.just([]), MUTATIONS))

    def check(bodies: list[bytes]) -> None:
        def add(dataset: str) -> Added:
            upload = begin_upload(dataset)
            for content in bodies:
                try:
                    receive(upload, content)
                except DatasetError as error:
                    assert_sentence(error)
            json.dumps(arrived(upload))
            return finish(upload)

        _add(studio, add)

    return st.lists(body, max_size=2), check


def _paths(studio: Studio) -> st.SearchStrategy[str]:
    inside = [studio.outside.map(f"{folder}/{{}}".format) for folder in ("cat", "test/cat")]
    return st.one_of(studio.outside, *inside, st.sampled_from(["cat/1.png", "eel/2.png", "CAT/3.png"]))


def _piece(file: tuple[str, bytes], number: int, share: float, changes: dict[str, Any]) -> bytes:
    """Return a file in one piece or two, which are cut at a share of it, with changes of the second one."""
    path, data = file
    cut = round(share * len(data))
    first = framed(path, data, 0, cut, number=number) if 0 < cut < len(data) else b""
    header = {"path": path, "number": number, "label": "", "size": len(data), "offset": cut if first else 0}
    rest = data[cut:] if first else data
    line = json.dumps(header | {"count": len(rest)} | changes).encode(errors="surrogatepass")
    return first + len(line).to_bytes(4, "big") + line + rest


def _add(studio: Studio, add: Callable[[str], Added], title: str = "Own") -> None:
    """Make a dataset, add to it, and read what came of it as the pages and a training do."""
    try:
        dataset = create_dataset(title).dataset
    except DatasetError as error:
        assert_sentence(error)
        dataset = create_dataset("Own").dataset
    try:
        added = add(dataset)
    except DatasetError as error:
        studio.refuse(error)
        assert open_version(dataset).number == len(history(dataset)) <= 2
    else:
        studio.counts["accepted" if added.added else "refused"] += 1
        _read(added)
        if added.added:
            assert not undo(dataset).contents.images
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
    assert all(name == displayable(name) and "/" not in name and not name.startswith(".") for name in shown), shown
    assert not list(version.folder.rglob("*.tmp"))
    data_settings = DataSettings(dataset=version.reference, image_size=8, crop_padding=0)
    try:
        scan(data_settings)
        assert load_dataset(data_settings, 0).info.classes == tuple(sorted(contents.classes.values()))
    except DatasetError as error:
        assert_sentence(error)
