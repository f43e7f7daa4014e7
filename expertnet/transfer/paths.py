"""Sentences without the paths of this computer."""

import os
import re

from expertnet.store.run import Run

# A path begins a word or follows a quotation mark or bracket, unlike the slash of "images/s" or of a URL
PATH = re.compile(r"""(?<![^\s"'“([{=])(?:~|[A-Za-z]:)?[/\\]+(?:[^\s/\\"'”]+[/\\]+)*(?=[^\s/\\"'”])""")


def without_paths(text: str, run: Run) -> str:
    """Return what the studio wrote about a run, with names instead of paths.

    The dataset gets its title, the run's folder its ID and the home folder "~". Of other paths, the last part stays.
    """
    for path, name in _names(run).items():
        text = name.join(re.split(rf"{re.escape(path)}(?!\w)", text))
    return PATH.sub("", text)


def _names(run: Run) -> dict[str, str]:
    """Return the names that replace known paths, which can contain spaces."""
    names = {str(run.path): run.id, os.path.abspath(run.path): run.id, os.path.expanduser("~"): "~"}
    dataset = run.settings().data.dataset if run.has_settings else ""
    if re.search(r"[/\\]", dataset):
        names = {os.path.abspath(os.path.expanduser(dataset)): run.dataset, dataset: run.dataset} | names
    return names
