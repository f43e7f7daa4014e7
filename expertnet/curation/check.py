"""Check a dataset for what harms training: unreadable files, duplicates, suspect images and uneven classes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from expertnet.curation.duplicates import Group, find_duplicates
from expertnet.curation.labels import Doubts
from expertnet.curation.limits import DISTANCE
from expertnet.curation.quality import KINDS, find_faults
from expertnet.curation.survey import Survey, survey
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Report, silent
from expertnet.utils.text import counted, percent, plural

UNEVEN = 3.0  # times as many images in the largest class as in the smallest: from here on, balancing can help
BALANCING = "Set `data.class_balance` to weights or sampling to give all classes the same weight in training."


@dataclass(frozen=True, eq=False)
class Check:
    """What was found in a dataset."""

    survey: Survey
    groups: list[Group]  # of duplicates
    faults: dict[str, np.ndarray]  # rows of Survey.images by kind, see quality.KINDS

    @property
    def counts(self) -> pd.DataFrame:
        """The images of each class, with the columns class, train and test."""
        images, classes = self.survey.images, self.survey.classes
        found = pd.crosstab(images["label"], images["part"])
        found = found.reindex(index=range(len(classes)), columns=["train", "test"], fill_value=0)
        return found.assign(**{"class": classes})[["class", "train", "test"]].reset_index(drop=True)

    @property
    def imbalance(self) -> float:
        """How many times as many training images the largest class has as the smallest; infinite if one has none."""
        train = self.counts["train"]
        return float(train.max() / train.min()) if train.min() else np.inf

    @property
    def is_uneven(self) -> bool:
        return self.imbalance >= UNEVEN


def check(data: DataSettings, distance: int = DISTANCE, progress: Report = silent) -> Check:
    """Check a dataset. Raises DatasetError if it is missing or has no classes."""
    found = survey(data, progress)
    return Check(found, find_duplicates(found.images, distance, progress), find_faults(found.images))


def sentences(found: Check) -> Iterator[str]:
    """Yield what was found, a sentence each."""
    images = len(found.survey.images)
    yield f"{found.survey.title}: {counted(images, 'image')} in {counted(len(found.survey.classes), 'class', 'classes')}."
    if found.survey.unreadable:
        yield f"{counted(len(found.survey.unreadable), 'file')} cannot be used."
    yield duplicates_sentence(found.groups)
    for kind, rows in found.faults.items():
        yield f"{KINDS[kind].title}: {counted(len(rows), 'image')}. {KINDS[kind].meaning}"
    if not found.faults:
        yield "No image is dark, blurred, plain or of an odd size."
    yield balance_sentence(found)


def duplicates_sentence(groups: list[Group]) -> str:
    """Say how many images are there twice, and where."""
    if not groups:
        return "No two images look the same."
    images, exact = sum(len(group.rows) for group in groups), sum(group.exact for group in groups)
    text = f"{counted(images, 'image')} look like others, in {counted(len(groups), 'group')}"
    text += f", {exact:,} of them with the same pixels." if exact else "."
    if across := [group.sets for group in groups if group.across_sets]:
        where = "several of train, validation and test" if "validation" in chain(*across) else "both train and test"
        text += f" {counted(len(across), 'group')} in {where}: a network would be judged by images like those it was trained on."
    if classes := sum(group.across_classes for group in groups):
        text += f" {counted(classes, 'group')} in several classes: some labels may be wrong."
    return text


def balance_sentence(found: Check) -> str:
    """Say how many images the classes have and, if they are uneven, what helps."""
    counts = found.counts.sort_values("train", kind="stable")
    small, large = counts.iloc[0], counts.iloc[-1]
    if not found.is_uneven:
        fewest = "" if small["train"] == large["train"] else f"{small['train']:,} to "
        return f"Each class has {fewest}{counted(large['train'], 'training image')}."
    return (
        f"The classes are uneven: {large['class']!r} has {large['train']:,} training images, and {small['class']!r} has "
        f"{small['train']:,}. {BALANCING}"
    )


def labels_sentence(doubts: Doubts) -> str:
    """Say how many labels are suspected, and how far to trust that."""
    count = len(doubts.suspects)
    suspected = (
        f"{counted(count, 'label')} {plural(count, 'is', 'are')} probably wrong" if count else "No label seems wrong"
    )
    return (
        f"{suspected}. The networks recognize {percent(doubts.accuracy)} of the images that they were not trained on; "
        "the fewer, the less this list means."
    )


def to_table(found: Check) -> pd.DataFrame:
    """Return a row for each problem of each image, with the columns problem, group, image, class, set and reason."""
    classes = found.survey.classes
    names, labels, sets = (found.survey.images[column].tolist() for column in ("name", "label", "set"))
    listed = [("duplicate", str(number), rows) for number, rows in enumerate((group.rows for group in found.groups), 1)]
    listed += [(KINDS[kind].title.lower(), "", rows) for kind, rows in found.faults.items()]
    table = [
        (problem, group, names[row], classes[labels[row]], sets[row], "")
        for problem, group, rows in listed
        for row in rows
    ]
    table += [("unusable", "", item.file, "", "", item.reason) for item in found.survey.unreadable]
    return pd.DataFrame(table, columns=["problem", "group", "image", "class", "set", "reason"])


def suspects_table(found: Survey, doubts: Doubts) -> pd.DataFrame:
    """Return a row for each suspected label, with both classes and their probabilities."""
    classes = found.classes
    rows = [
        (
            found.images["name"][one.row],
            classes[one.label],
            one.label_probability,
            classes[one.suggested],
            one.probability,
        )
        for one in doubts.suspects
    ]
    return pd.DataFrame(rows, columns=["image", "class", "probability", "suggested", "suggested_probability"])


def to_document(found: Check, doubts: Doubts | None = None) -> dict[str, Any]:
    """Return what was found for JSON; without `doubts`, "wrong_labels" is null."""
    names, classes = found.survey.images["name"].tolist(), found.survey.classes
    labels = found.survey.images["label"].to_numpy()
    groups = [
        {
            "files": [names[row] for row in group.rows],
            "exact": group.exact,
            "classes": [classes[label] for label in np.unique(labels[group.rows])],
            "across_sets": group.across_sets,
        }
        for group in found.groups
    ]
    return {
        "dataset": found.survey.title,
        "images": len(names),
        "classes": found.counts.to_dict("records"),
        "imbalance": found.imbalance if np.isfinite(found.imbalance) else None,
        "unreadable": [item._asdict() for item in found.survey.unreadable],
        "duplicates": groups,
        **{kind: [names[row] for row in found.faults.get(kind, ())] for kind in KINDS},
        "wrong_labels": doubts and suspects_table(found.survey, doubts).to_dict("records"),
    }
