"""What is wrong with a dataset: duplicates, bad images, unreadable files, uneven classes and suspected labels."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import streamlit as st

from expertnet.curation.check import (
    Check,
    balance_sentence,
    duplicates_sentence,
    labels_sentence,
    suspects_table,
    to_table,
)
from expertnet.curation.duplicates import Group, find_duplicates
from expertnet.curation.labels import FOLDS, Doubts, find_doubts
from expertnet.curation.limits import DISTANCE, MAX_DISTANCE
from expertnet.curation.quality import KINDS, find_faults
from expertnet.curation.survey import Survey, survey
from expertnet.data.cache import Decoded
from expertnet.data.datasets import load_decoded
from expertnet.data.own.versions import find_version
from expertnet.errors import DatasetError
from expertnet.settings.fields import with_labels
from expertnet.settings.schema import DataSettings
from expertnet.ui import tasks
from expertnet.ui.background import in_background, threads
from expertnet.ui.data.gallery import Tile, gallery
from expertnet.ui.shell import action, keep_choice
from expertnet.utils.progress import Report, ShouldStop
from expertnet.utils.text import counted, escape, percent, to_csv

T = TypeVar("T")
PER_PAGE = 24  # groups or images
PER_GROUP = 12  # images
HELP = "In how many of 64 bits the perceptual hashes of two images may differ for them to count as the same. 0 finds copies only."


class Seen(NamedTuple):
    """A survey, and the decoded images to show; None if a class has no readable image."""

    survey: Survey
    decoded: Decoded | None

    def tile(self, row: int, *lines: str) -> Tile:
        """Return an image of the survey with its name, and its class and set or other lines."""
        found, image = self.survey.images.iloc[row], None
        if self.decoded is not None:
            part = self.decoded.train if found["part"] == "train" else self.decoded.test
            image = part.images[int(found["place"])]
        return Tile(image, [found["name"].rpartition("/")[2], *(lines or [self.where(row)])])

    def where(self, row: int) -> str:
        """Return the class and the set of an image."""
        found = self.survey.images.iloc[row]
        return f"{self.survey.classes[found['label']]} · {found['part']}"


def checks_view(data: DataSettings) -> None:
    """Draw the checks of a dataset, computed in the background."""
    own, work = find_version(data.dataset), partial(_look, data)
    key = (
        "survey",
        data.dataset,
        data.image_size,
        own and own.time,
    )  # a name is free again once its dataset is deleted
    seen: Seen | None = in_background(key, "Check the dataset", work)
    if seen is None:
        return
    found = seen.survey
    head = st.container(horizontal=True, vertical_alignment="center")
    faults = find_faults(found.images)
    titles = {
        "duplicates": "Duplicates",
        "images": _titled("Bad images", sum(map(len, faults.values()))),
        "files": _titled("Unusable files", len(found.unreadable)),
        "classes": "Classes",
        "labels": "Wrong labels",
    }
    keep_choice("check", list(titles.values()))
    view = head.segmented_control(
        "Check",
        list(titles),
        format_func=titles.__getitem__,
        default="duplicates",
        required=True,
        key="check",
        label_visibility="collapsed",
    )
    action(head, "Check again", "replay", "check again", lambda: tasks.start(key, work), type="tertiary")
    if view == "images":
        _bad_images(seen, faults)
    elif view == "files":
        _files(found)
    elif view == "classes":
        _classes(Check(found, [], faults))
    else:
        groups = _duplicates(seen, visible=view == "duplicates")
        if view == "labels" and groups is not None:
            _labels(seen, data, groups)
        elif groups is not None:
            _save(to_table(Check(found, groups, faults)), "check")


def _titled(title: str, count: int) -> str:
    return f"{title} ({count:,})" if count else title


def _look(data: DataSettings, progress: Report, cancelled: ShouldStop) -> Seen:
    found = survey(data, progress, cancelled)
    try:
        return Seen(found, load_decoded(data, progress, cancelled, None)[1])
    except DatasetError:  # the survey says which files are to blame
        return Seen(found, None)


def _duplicates(seen: Seen, visible: bool) -> list[Group] | None:
    """Return the duplicates, None while they are searched, and draw them if they are the view."""
    distance = DISTANCE
    if visible:
        distance = st.slider(
            "Largest difference (bits)", 0, MAX_DISTANCE, DISTANCE, key="distance", help=HELP, width=360
        )
    images = seen.survey.images
    groups: list[Group] | None = in_background(
        ("duplicates", seen.survey, distance),
        "Compare the images",
        lambda progress, cancelled: find_duplicates(images, distance, progress, cancelled),
    )
    if visible and groups is not None:
        st.markdown(escape(duplicates_sentence(groups)))
        gallery(
            (_heading(group), [seen.tile(row) for row in group.rows[:PER_GROUP]]) for group in _page(groups, "groups")
        )
    return groups


def _heading(group: Group) -> str:
    parts = ["Same pixels" if group.exact else "Similar"]
    parts += ["train and test"] * group.across_sets + ["several classes"] * group.across_classes
    if len(group.rows) > PER_GROUP:
        parts.append(f"{PER_GROUP} of {len(group.rows):,}")
    return " · ".join(parts)


def _page(items: Sequence[T], noun: str) -> Sequence[T]:
    """Return the items on the page that the user chooses."""
    pages = -(-len(items) // PER_PAGE)
    number = st.pagination(pages, key=f"page of {noun}") if pages > 1 else 1
    return items[(number - 1) * PER_PAGE : number * PER_PAGE]


def _bad_images(seen: Seen, faults: dict[str, np.ndarray]) -> None:
    if not faults:
        st.markdown("No image is dark, bright, blurred, plain, or of an odd size or shape.")
    images = seen.survey.images
    for kind, rows in faults.items():
        st.markdown(f"**{KINDS[kind].title}**: {counted(len(rows), 'image')}. {KINDS[kind].meaning}")
        tiles = [
            seen.tile(row, seen.where(row), f"{images['width'][row]} x {images['height'][row]}")
            for row in _page(rows.tolist(), kind)
        ]
        gallery([("", tiles)])


def _files(found: Survey) -> None:
    if not found.unreadable:
        st.markdown("Every file is an image that can be read.")
        return
    st.markdown(f"Training skips {counted(len(found.unreadable), 'file')}.")
    st.dataframe(pd.DataFrame(found.unreadable), hide_index=True, width="stretch")


def _classes(check: Check) -> None:
    st.markdown(escape(with_labels(balance_sentence(check))))
    counts = check.counts
    bar = st.column_config.ProgressColumn(
        "training images", format="%d", min_value=0, max_value=int(counts["train"].max())
    )
    st.dataframe(counts.rename(columns={"test": "test images"}), hide_index=True, column_config={"train": bar})


def _labels(seen: Seen, data: DataSettings, groups: list[Group]) -> None:
    st.caption(
        f"Trains {FOLDS} small networks, each without a part of the images, and lists the images of that part that the network "
        "takes for another class (Northcutt 2021, arXiv:1911.00068)."
    )
    doubts: Doubts | None = in_background(
        ("labels", seen.survey),
        "Look for wrong labels",
        lambda progress, cancelled: find_doubts(data, seen.survey, groups, progress, cancelled, threads()),
        unasked=0,
    )
    if doubts is None:
        return
    st.markdown(escape(labels_sentence(doubts)))
    classes = seen.survey.classes
    tiles = [
        seen.tile(
            suspect.row,
            f"{classes[suspect.label]} → {classes[suspect.suggested]}",
            f"{percent(suspect.probability)} sure",
        )
        for suspect in _page(doubts.suspects, "suspects")
    ]
    gallery([("", tiles)])
    _save(suspects_table(seen.survey, doubts), "labels")


def _save(table: pd.DataFrame, name: str) -> None:
    if len(table):
        label = "Save the list (CSV)"
        st.download_button(
            label,
            partial(to_csv, table),
            f"{name}.csv",
            "text/csv",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
        )
