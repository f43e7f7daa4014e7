"""What is wrong with a dataset, and mending it: duplicates, suspect images, unreadable files, uneven classes, suspected labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TypeVar

import pandas as pd
import streamlit as st

from expertnet.curation.check import Check, duplicates_sentence, labels_sentence, suspects_table, to_table
from expertnet.curation.duplicates import Group, find_duplicates
from expertnet.curation.labels import FOLDS, Doubts, Suspect, find_doubts
from expertnet.curation.limits import DISTANCE, MAX_DISTANCE
from expertnet.curation.quality import KINDS, find_faults
from expertnet.curation.survey import Survey
from expertnet.data.own import edits
from expertnet.data.own.versions import Version, find_version, rejected_files
from expertnet.settings.schema import DataSettings
from expertnet.ui import tasks
from expertnet.ui.auth import login
from expertnet.ui.background import in_background, threads
from expertnet.ui.data.balance import balance_view
from expertnet.ui.data.dataset import rejected_table
from expertnet.ui.data.findings import Findings, Seen, look, still_holds
from expertnet.ui.data.forms import move_popover
from expertnet.ui.data.grid import grouped_grid
from expertnet.ui.data.tiles import Tile
from expertnet.ui.shell import action, keep_choice
from expertnet.ui.views import segments_width
from expertnet.utils.text import counted, escape, percent, to_csv

T = TypeVar("T")
PER_PAGE = 24  # groups or images
PER_GROUP = 12  # images
HELP = "In how many of 64 bits the perceptual hashes of two images may differ for them to count as the same. 0 finds copies only."
CHECKED = "checked version"  # in the session: the number of the version whose findings are in view, by dataset


def checks_view(version: Version) -> None:
    """Draw the checks of a dataset, computed in the background. Problems fixed since are left out."""
    numbers = st.session_state.setdefault(CHECKED, {})
    checked = find_version(f"{version.dataset}@{numbers.get(version.dataset, version.number)}") or version
    if not still_holds(checked, version):
        checked = version
    numbers[version.dataset] = checked.number
    seen: Seen | None = in_background(("survey", checked.key), "Check the dataset", partial(look, checked))
    if seen is None:
        return
    found = Findings(seen, checked, version)
    head = st.container(horizontal=True, vertical_alignment="center")
    faults = {
        kind: rows
        for kind, all_rows in find_faults(seen.survey.images).items()
        if (rows := found.left(all_rows.tolist()))
    }
    titles = {
        "duplicates": "Duplicates",
        "images": _titled("Suspect images", len(set(chain(*faults.values())))),
        "files": _titled("Unusable files", len(seen.survey.unreadable)),
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
        width=segments_width(titles.values()),
    )

    def again() -> None:
        numbers[version.dataset] = version.number
        tasks.start(("survey", version.key), partial(look, version))

    action(head, "Check again", "replay", "check again", again, type="tertiary")
    if checked.number != version.number:
        head.caption(f"Version {checked.number} was checked. Problems that you have fixed are hidden.", width="content")
    if view == "images":
        _suspect_images(found, faults)
    elif view == "files":
        _files(seen.survey, rejected_files(version.dataset))
    elif view == "classes":
        balance_view(found)
    else:
        groups = _duplicates(found, visible=view == "duplicates")
        if view == "labels" and groups is not None:
            _labels(found, groups)
        elif groups is not None:
            _save(to_table(Check(found.survey, groups, find_faults(seen.survey.images))), "check")


def _titled(title: str, count: int) -> str:
    return f"{title} ({count:,})" if count else title


def _duplicates(found: Findings, visible: bool) -> list[Group] | None:
    """Return the duplicates, None while they are searched, and draw what is left of them if they are the view."""
    distance = DISTANCE
    if visible:
        distance = st.slider(
            "Largest difference (bits)", 0, MAX_DISTANCE, DISTANCE, key="distance", help=HELP, width=360
        )
    images = found.seen.survey.images
    groups: list[Group] | None = in_background(
        ("duplicates", found.seen.survey, distance),
        "Compare the images",
        lambda progress, cancelled: find_duplicates(images, distance, progress, cancelled),
    )
    if visible and groups is not None:
        left = found.groups_left(groups)
        st.markdown(escape(duplicates_sentence(left)))
        copies = [
            found.keys[row] for group in left if group.exact and not group.across_classes for row in group.rows[1:]
        ]
        shown = [
            (_heading(group), [found.tile(row) for row in group.rows[:PER_GROUP]]) for group in _page(left, "groups")
        ]
        _mend(found, "Duplicates", shown, copies)
    return groups


def _heading(group: Group) -> str:
    parts = ["Same pixels" if group.exact else "Similar"]
    parts += [", ".join(group.sets)] * group.across_sets + ["several classes"] * group.across_classes
    if len(group.rows) > PER_GROUP:
        parts.append(f"{PER_GROUP} of {len(group.rows):,}")
    return " · ".join(parts)


def _mend(
    found: Findings,
    label: str,
    groups: Sequence[tuple[str, Sequence[Tile]]],
    copies: Sequence[str] = (),
    suggested: Mapping[str, str] | None = None,
) -> None:
    """Draw images with what fixes them: remove or move the selected ones, remove all copies, or follow the suggestions."""
    dataset, key = found.latest.dataset, f"{label} {found.latest.number}"
    row = st.container(horizontal=True, vertical_alignment="center", key="mending")
    selected = grouped_grid(label, groups, f"grid {label} {dataset}", login.may_change())
    if copies:
        text = f"Remove {counted(len(copies), 'copy', 'copies')}"
        help = "Of images with the same pixels in one class, the first one stays."
        action(row, text, "delete_sweep", f"copies {key}", lambda: edits.remove_images(dataset, copies), help=help)
    if not selected:
        row.caption("Select images to remove or move them. Shift selects a range.", width="content")
        return
    row.markdown(f"{len(selected):,} selected", width="content")
    if suggested:
        moves = {image: suggested[image] for image in selected}
        text = "Use the suggested class"
        action(row, text, "check", f"suggested {key}", lambda: edits.relabel(dataset, moves), type="primary")
    move_popover(row, found.latest, selected, "")
    action(row, "Remove", "delete", f"remove {key}", lambda: edits.remove_images(dataset, selected))


def _page(items: Sequence[T], noun: str) -> Sequence[T]:
    """Return the items on the page that the user chooses."""
    pages = -(-len(items) // PER_PAGE)
    number = st.pagination(pages, key=f"page of {noun}") if pages > 1 else 1
    return items[(number - 1) * PER_PAGE : number * PER_PAGE]


def _suspect_images(found: Findings, faults: dict[str, list[int]]) -> None:
    if not faults:
        st.markdown("No image is dark, bright, blurred, plain, or of an odd size or shape.")
        return
    images, groups = found.seen.survey.images, []
    for kind, rows in faults.items():
        st.markdown(f"**{KINDS[kind].title}**: {counted(len(rows), 'image')}. {KINDS[kind].meaning}")
        tiles = [
            found.tile(row, found.where(row), f"{images['width'][row]} x {images['height'][row]}")
            for row in _page(rows, kind)
        ]
        groups.append((KINDS[kind].title, tiles))
    _mend(found, "Suspect images", groups)


def _files(found: Survey, rejected: Sequence[tuple[str, str]]) -> None:
    if found.unreadable:
        st.markdown(f"Training skips {counted(len(found.unreadable), 'file')}.")
        st.dataframe(pd.DataFrame(found.unreadable), hide_index=True, width="stretch")
    else:
        st.markdown("Every file of the dataset is an image that can be read.")
    if rejected:
        st.markdown(f"{counted(len(rejected), 'file')} could not be added:")
        rejected_table(rejected)


def _labels(found: Findings, groups: list[Group]) -> None:
    st.caption(
        f"Trains {FOLDS} small networks, each without a part of the images, and lists the images of that part that the network "
        "takes for another class (Northcutt 2021, arXiv:1911.00068)."
    )
    data = DataSettings(dataset=found.checked.reference)
    doubts: Doubts | None = in_background(
        ("labels", found.seen.survey),
        "Look for wrong labels",
        lambda progress, cancelled: find_doubts(data, found.seen.survey, groups, progress, cancelled, threads()),
        unasked=0,
    )
    if doubts is None:
        return
    left = replace(doubts, suspects=tuple(each for each in doubts.suspects if found.keys[each.row]))
    st.markdown(escape(labels_sentence(left)))
    shown = _page(left.suspects, "suspects")
    suggested = {found.keys[each.row]: found.class_ids[each.suggested] for each in shown}
    _mend(found, "Wrong labels", [("", [_suspect(found, each) for each in shown])], suggested=suggested)
    _save(suspects_table(found.survey, doubts), "labels")


def _suspect(found: Findings, suspect: Suspect) -> Tile:
    classes = found.survey.classes
    change = f"{classes[suspect.label]} → {classes[suspect.suggested]}"
    return found.tile(suspect.row, change, f"{percent(suspect.probability)} sure")


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
