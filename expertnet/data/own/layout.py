"""Check that a dataset of yours can be trained on, and arrange its images as class folders are."""

from collections import Counter

from expertnet.data.class_folders import Layout, arrange_members
from expertnet.data.own.versions import Version
from expertnet.errors import DatasetError
from expertnet.utils.text import counted


def layout_of(version: Version) -> Layout:
    """Return the classes, and which images are for training and which for the test. Raises DatasetError.

    Without images for the test, a fixed fifth of the others of every class is held out, as for folders.
    """
    problem = missing_of(version)
    if problem:
        raise DatasetError(problem)
    return arrange_members(version.members(), [], version.has_parts, version.contents.title, version.held)


def missing_of(version: Version) -> str:
    """Return what a dataset needs before it can be trained on, or ""."""
    contents, counts = version.contents, version.contents.counts()
    title, classes = contents.title, sorted(contents.classes.items(), key=lambda item: item[1])
    trained = Counter(image.label for image in contents.images.values() if image.split not in ("validation", "test"))
    if len(classes) < 2:
        return f"“{title}” has {counted(len(classes), 'class', 'classes')}. A network needs at least two to tell apart."
    for label, name in classes:
        if not counts[label]:
            return f"The class “{name}” of “{title}” has no images. Add some, or remove the class."
        if not trained[label]:
            where = "validation and the test" if version.held else "the test"
            return f"The class “{name}” of “{title}” has images for {where} only. Assign some to training."
        if trained[label] == 1 and not version.has_parts:
            return (
                f"The class “{name}” of “{title}” has one image, which is too few to hold out a test set. "
                "Add images, or remove the class."
            )
    return ""
