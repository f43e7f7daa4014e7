"""Building blocks of hostile input: paths that escape a folder, changed bytes, JSON values of every type, odd archives."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from random import Random
from typing import Any

from hypothesis import strategies as st
from PIL import Image

SCRIPT = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"


def outside(bait: str, run_id: str) -> st.SearchStrategy[str]:
    """Generate names that escape a folder, name devices, break terminals or pages, or are arbitrary text."""
    known = [
        "../bait/secret", "../../bait/config.json", f"{bait}/secret", bait, "/etc/passwd", "..", ".", "", "~", "~root",
        "C:\\windows\\win.ini", "..\\bait\\secret", "\\\\host\\share", "//host/share", "/dev/zero", "a\0b", "\x1b[2J", "a\n# b",
        SCRIPT, "[x](javascript:alert(1))", "![x](http://127.0.0.1:9/x)", "$\\href{javascript:1}{x}$", ":material/home:", "NUL",
        "\u202egpj.exe", "a" * 5000, "%2e%2e%2fbait", "none", "latest", "\ud7ff\ue000", "20200101-000000-abcd/../../bait",
        f"../bait/{run_id}", f"{run_id}/", f"{run_id}\n", run_id[:9], "best", "1e999",
    ]  # fmt: skip
    return st.one_of(
        st.sampled_from(known),
        st.text(max_size=60),
        st.tuples(st.sampled_from(known), st.text(max_size=9)).map("".join),
    )


MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "drop", "repeat"]), st.floats(0, 1), st.binary(min_size=1, max_size=9)
    ),
    max_size=6,
)


def mutated(content: bytes, mutations: list[tuple[str, float, bytes]]) -> bytes:
    """Return the bytes after each mutation (flip, cut, insert, drop, repeat), each placed at a share of the length."""
    for kind, share, extra in mutations:
        place = round(share * len(content))
        before, after = content[:place], content[place:]
        content = {
            "flip": before + bytes(a ^ b for a, b in zip(after, extra, strict=False)) + after[len(extra) :],
            "cut": before,
            "insert": before + extra + after,
            "drop": before + after[extra[0] :],
            "repeat": before + after[: extra[0] * 8] + after,
        }[kind]
    return content


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, True, -1, 0, 10**9, 2**63, 10**400, 1e308, -0.0, "", "x", SCRIPT, [], {}, [[]], [None], {"a": 1}, "a\0b"]),
    st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(-2, 5), max_size=4),
)  # fmt: skip


def images() -> list[bytes]:
    """Return one small image in each format that the app reads."""
    image, encoded = Image.radial_gradient("L").resize((12, 9)), []
    kinds = "RGB JPEG, RGBA PNG, P GIF, RGB BMP, RGB WEBP, I TIFF, L PPM, P PNG"
    for mode, kind in map(str.split, kinds.split(", ")):
        file = io.BytesIO()
        image.convert(mode).save(file, kind)
        encoded.append(file.getvalue())
    return encoded


ARCHIVE_KINDS = ("zip", "w:", "w:gz", "w:xz", "w:bz2")
MEMBER_KINDS = (0, 0, stat.S_IFREG, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR)


def archive_of(members: list[tuple[str, bytes, int]], kind: str) -> bytes:
    """Pack (name, content, file type) members into a zip or tar without checking any of them."""
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            for name, content, mode in members:
                info = zipfile.ZipInfo(name or "x")
                info.external_attr = (mode | 0o644) << 16
                archive.writestr(info, content)
        return file.getvalue()
    types = {
        stat.S_IFLNK: tarfile.SYMTYPE,
        stat.S_IFCHR: tarfile.CHRTYPE,
        stat.S_IFIFO: tarfile.FIFOTYPE,
        stat.S_IFDIR: tarfile.DIRTYPE,
    }
    with tarfile.open(fileobj=file, mode=kind) as archive:  # type: ignore[call-overload]
        for name, content, mode in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = types.get(mode, tarfile.REGTYPE), "../bait/secret", len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


CONTENTS = st.builds(mutated, st.sampled_from(images()), MUTATIONS)


def packed_images(outside: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Generate archives of images, some with odd members, some with changed bytes."""
    intact = [(f"{label}/{n}.png", images()[n], 0) for label in ("cat", "dog") for n in range(8)]
    named = st.one_of(outside, outside.map(lambda name: f"cat/{name}"), st.sampled_from(["cat/1.png", "eel/2.png"]))
    more = st.lists(st.tuples(named, CONTENTS, st.sampled_from(MEMBER_KINDS)), max_size=3)
    packed = st.builds(lambda extra, kind: archive_of(intact + extra, kind), more, st.sampled_from(ARCHIVE_KINDS))
    return st.builds(mutated, packed, st.one_of(st.just([]), MUTATIONS))


def paths_in(document: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the path of each value in a JSON document; of a list, only its first two items."""
    items: list[tuple[Any, Any]] = []
    if isinstance(document, dict):
        items = list(document.items())
    elif isinstance(document, list):
        items = list(enumerate(document[:2]))
    below = [path for key, value in items for path in paths_in(value, (*before, key))]
    return [before, *below] if before or items else []


def set_at(document: Any, path: tuple[Any, ...], value: Any) -> None:
    """Replace the value at a path. Does nothing if an earlier change removed that path."""
    with suppress(KeyError, IndexError, TypeError):
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value


def shuffle(names: Iterable[str], by: Random) -> list[str]:
    """Return each name once, in random order."""
    unique = sorted(set(names))
    by.shuffle(unique)
    return unique


def zip_of(files: dict[str, bytes]) -> bytes:
    """Pack files into a zip without a folder around them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()
