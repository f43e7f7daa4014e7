"""What was found in a version of a dataset, to be fixed in the latest one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from expertnet.curation.duplicates import Group, group_of
from expertnet.curation.survey import Survey, survey
from expertnet.data.cache import Decoded
from expertnet.data.data_url import to_data_url
from expertnet.data.datasets import load_decoded
from expertnet.data.own.versions import Version
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.ui.data.tiles import Tile
from expertnet.utils.progress import Report, ShouldStop


class Seen(NamedTuple):
    """A survey, and the decoded images to show; None if a class has no readable image."""

    survey: Survey
    decoded: Decoded | None


@dataclass(frozen=True)
class Findings:
    """What was found in a version, to be fixed in the latest one."""

    seen: Seen
    checked: Version
    latest: Version

    @cached_property
    def class_ids(self) -> list[str]:
        """The ids of the classes of the survey."""
        ids = {name: label for label, name in self.checked.contents.classes.items()}
        return [ids[name] for name in self.seen.survey.classes]

    @cached_property
    def survey(self) -> Survey:
        """The survey with the names that its classes have now, if they are still there."""
        now, before = self.latest.contents.classes, self.seen.survey
        names = zip(self.class_ids, before.classes, strict=True)
        return replace(before, classes=tuple(now.get(label, name) for label, name in names))

    @cached_property
    def keys(self) -> list[str]:
        """The ids of the images in the order of the survey, "" for those that were removed or moved since."""
        before, now = self.checked.contents.images, self.latest.contents.images
        ids = [self.checked.by_path[name] for name in self.seen.survey.images["name"]]
        return [key if key in now and now[key].label == before[key].label else "" for key in ids]

    def left(self, rows: Sequence[int]) -> list[int]:
        """Return the rows whose images are still where they were."""
        return [row for row in rows if self.keys[row]]

    def groups_left(self, groups: Sequence[Group]) -> list[Group]:
        """Return groups of duplicates without the rows whose images are gone, and without those of one image."""
        left = [(group, self.left(group.rows.tolist())) for group in groups]
        return [
            group if len(rows) == len(group.rows) else group_of(self.seen.survey.images, np.array(rows))
            for group, rows in left
            if len(rows) > 1
        ]

    def tile(self, row: int, *lines: str) -> Tile:
        """Return an image of the survey with its name, and its class and set or other lines."""
        found, image = self.seen.survey.images.iloc[row], ""
        if self.seen.decoded is not None:
            part = self.seen.decoded.train if found["part"] == "train" else self.seen.decoded.test
            image = to_data_url(part.images[int(found["place"])])
        said = [found["name"].rpartition("/")[2], *(lines or [self.where(row)])]
        return Tile(self.keys[row], image, "\n".join(said), ", ".join(said))

    def where(self, row: int) -> str:
        """Return the class and the set of an image."""
        found = self.seen.survey.images.iloc[row]
        return f"{self.survey.classes[found['label']]} · {found['set']}"


def still_holds(checked: Version, latest: Version) -> bool:
    """Return whether no image was added and none assigned to another set since a version was checked."""
    before, now = checked.contents.images, latest.contents.images
    return all(key in before and before[key].split == image.split for key, image in now.items())


def look(version: Version, progress: Report, cancelled: ShouldStop) -> Seen:
    """Look at every image of a dataset. Raises DatasetError or Cancelled."""
    data = DataSettings(dataset=version.reference)
    found = survey(data, progress, cancelled)
    try:
        return Seen(found, load_decoded(data, progress, cancelled, None)[1])
    except DatasetError:  # the survey says which files are to blame
        return Seen(found, None)
