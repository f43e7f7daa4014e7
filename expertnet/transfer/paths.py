"""Sentences without the paths of this computer."""

import os
import re
from pathlib import Path

from expertnet.data.cache import data_root
from expertnet.store.run import Run

# A path begins a word or follows a quotation mark, a bracket or a colon, unlike the slash of "images/s" or of a URL
PATH = re.compile(
    r"""(?<![^\s"'`“‘([{=,:])(?:~|[A-Za-z]:)?(?!(?<=:)//)[/\\]+(?:[^\s/\\"'`”’]+[/\\]+)*(?=[^\s/\\"'`”’])"""
)


def without_paths(text: str, run: Run) -> str:
    """Return what the studio wrote about a run, with names instead of paths.

    The dataset gets its title, the run's folder its ID and the home folder "~". Of other paths, the last part stays; if they have
    spaces, what follows the first one as well.
    """
    for path, name in sorted(_names(run).items(), key=lambda item: -len(item[0])):
        text = name.join(re.split(rf"{re.escape(path)}(?!\w)", text))
    return PATH.sub("", text)


def _names(run: Run) -> dict[str, str]:
    """Return the names that replace known paths, which can contain spaces."""
    folders = {run.path: run.id, run.path.parent: run.path.parent.name, data_root(): data_root().name, Path.home(): "~"}
    names = {path: name for folder, name in folders.items() for path in (str(folder), os.path.abspath(folder))}
    dataset = run.settings().data.dataset if run.has_settings else ""
    if re.search(r"[/\\]", dataset):
        names |= {os.path.abspath(os.path.expanduser(dataset)): run.dataset, dataset: run.dataset}
    return {path: name for path, name in names.items() if len(path) > 1}  # not "/" or "."
