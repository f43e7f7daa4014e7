"""What hostile input is made of: names that lead elsewhere, bytes that are changed, values of every type, archives of anything.

In this module: outside, MUTATIONS and mutated, VALUES, SCRIPT, images, archive_of, zip_of, paths_in and set_at (of a JSON document).
"""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from contextlib import suppress
from typing import Any

from hypothesis import strategies as st
from PIL import Image

SCRIPT = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"


def outside(bait: str, run_id: str) -> st.SearchStrategy[str]:
    """Names that lead out of a folder, name devices, break terminals or pages, or are anything at all."""
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
    """The bytes with some flipped, cut off, put in, taken out or repeated, each at a share of the length."""
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
    """Small images of every format that is read."""
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
    """A zip or tar of members that may be anything."""
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


def paths_in(document: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values of a JSON document stand."""
    items = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document[:2])
        if isinstance(document, list)
        else ()
    )
    return (
        [before, *[path for key, value in items for path in paths_in(value, (*before, key))]] if before or items else []
    )


def set_at(document: Any, path: tuple[Any, ...], value: Any) -> None:
    """Puts a value in the place of another; where that has gone by an earlier change, nothing."""
    with suppress(KeyError, IndexError, TypeError):
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value


def zip_of(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()
