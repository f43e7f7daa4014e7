"""Show the paths of a folder or archive: printable, and different ones differently."""

import os
from collections import Counter

from expertnet.data.images import SUFFIXES
from expertnet.utils.text import displayable, printable

MAX_DEPTH = 4  # wrapping folder / train / class / image; also stops links that lead in circles


class Shown:
    """Remembers how the paths of one folder or archive are shown.

    It keeps hashes of paths, because an archive may have very many long ones.
    """

    def __init__(self) -> None:
        self._raw = dict[int, int]()  # by the hash of a shown path, that of the path
        self._numbered = dict[int, int]()  # the number that a path has got, by its hash
        self._last = Counter[str]()  # the number that was last given to a path

    def path(self, raw: str, is_folder: bool) -> str:
        """Return how a path is shown. Parts are separated by slashes; below MAX_DEPTH, all count as one."""
        parts, shown = raw.split("/", MAX_DEPTH - 1), ""
        for depth, part in enumerate(parts, 1):
            # Spaces in the names of files stay question marks, because the test set depends on their order
            name = displayable(part) if is_folder or depth < len(parts) else printable(part)
            shown = self._distinct(f"{shown}/{name}".lstrip("/"), hash("/".join(parts[:depth])))
        return shown

    def _distinct(self, path: str, raw: int) -> str:
        """Return a path, with a number if another raw path is shown like it."""
        number = self._numbered.get(raw, 1)
        shown = _numbered(path, number)
        while self._raw.setdefault(hash(shown), raw) != raw:
            number = self._last[path] = max(self._last[path], 1) + 1
            shown = _numbered(path, number)
        if number > 1:
            self._numbered[raw] = number
        return shown


def _numbered(path: str, number: int) -> str:
    """Return "cat/1.jpg", and for the second one "cat/1 (2).jpg"."""
    if number == 1:
        return path
    stem, suffix = os.path.splitext(path)
    return f"{stem} ({number}){suffix}" if suffix.lower() in SUFFIXES else f"{path} ({number})"
