"""Names of datasets, classes and files that people choose."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from expertnet.data.images import SUFFIXES
from expertnet.errors import DatasetError
from expertnet.utils.text import JOINERS, counted, cut, displayable, printable, without_controls

LONGEST = 100  # characters
LONGEST_STEM = 80  # of a file name


def tidy(text: str) -> str:
    """Return a name without spaces around it, in Unicode's composed form."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def checked_name(text: str, what: str) -> str:
    """Return a tidy name. Raises DatasetError if it cannot be used."""
    name = tidy(text)
    shown = f"The {what}"
    if not name:
        raise DatasetError(f"{shown} is empty. Enter a name.")
    if len(name) > LONGEST:
        raise DatasetError(f"{shown} has {counted(len(name), 'character')}. Use at most {LONGEST}.")
    if name != without_controls(name) or name != printable(name, JOINERS).strip(JOINERS):
        raise DatasetError(
            f"{shown} contains invisible characters, which change how text is displayed. Type the name again."
        )
    if "/" in name or "\\" in name or name.startswith("."):
        raise DatasetError(f"{shown} contains a slash or begins with a dot, which no folder may. Leave it out.")
    return name


def usable_name(text: str) -> str:
    """Return a name that checked_name() accepts: without invisible characters, and with dashes for slashes. Or "" if nothing is left."""
    name = tidy("".join(char for char in without_controls(tidy(text)) if char.isprintable()))
    return cut(re.sub(r"[/\\]", "-", name).lstrip(". "), LONGEST)


def alike(names: Iterable[str], name: str) -> str | None:
    """Return the one of `names` that equals a name but for case, or None."""
    return next((known for known in names if known.casefold() == name.casefold()), None)


def file_name(path: str, image_format: str) -> str:
    """Return the last part of a path as the name of an image, with the ending of its format if it has none."""
    last = PurePosixPath(path.replace("\\", "/")).name
    clean = displayable(without_controls(last), sign="_").strip()
    stem, dot, suffix = clean.rpartition(".")
    if not dot or f".{suffix.lower()}" not in SUFFIXES:
        stem, suffix = clean, {"JPEG": "jpg", "TIFF": "tif"}.get(image_format, image_format.lower())
    return f"{stem.lstrip('.')[:LONGEST_STEM] or 'image'}.{suffix}"


class Taken:
    """The file names of a class. Thousands may be alike, such as those of a folder for each image."""

    def __init__(self) -> None:
        self.names, self._last = set[str](), dict[str, int]()  # the number that each name had last

    def take(self, name: str) -> str:
        """Add a name, with a number if it is there: "1.jpg", "1 (2).jpg". Returns it."""
        stem, _, suffix = name.rpartition(".")
        number, free = self._last.get(name, 1), name
        while free in self.names:
            number += 1
            free = f"{stem} ({number}).{suffix}"
        self._last[name] = number
        self.names.add(free)
        return free
