"""Images that arrived with class folders but lie in none of them."""

from collections.abc import Collection
from dataclasses import replace

from expertnet.data.own.uploads import Arrived, ArrivedFile

NO_CLASS = "It is in no class folder. Choose a class for it."


def folders_of(path: str) -> tuple[str, ...]:
    """Return the names of the folders around a file, from the outermost."""
    return tuple(part for part in path.replace("\\", "/").split("/") if part)[:-1]


def without_strays(found: Arrived, classes: Collection[str]) -> Arrived:
    """Reject images beside the class folders: directly in the one folder around all others that came with them.

    A folder named after one of the `classes` is no such folder.
    """
    folders: dict[str, set[tuple[str, ...]]] = {}  # that gave classes, by archive
    for file in found.images:
        if file.get("by_folder"):
            folders.setdefault(file.get("archive", ""), set()).add(folders_of(file["path"]))
    tops = {archive: {path[:1] for path in paths} for archive, paths in folders.items()}
    outer = {
        archive: top
        for archive, (top, *others) in tops.items()
        if not others and top[0] not in classes and folders[archive] != {top}
    }

    def is_stray(file: ArrivedFile) -> bool:
        return bool(file.get("by_folder")) and folders_of(file["path"]) == outer.get(file.get("archive", ""))

    stray = [(file["path"], NO_CLASS) for file in found.images if is_stray(file)]
    kept = [file for file in found.images if not is_stray(file)]
    return replace(found, images=kept, rejected=[*found.rejected, *stray])
