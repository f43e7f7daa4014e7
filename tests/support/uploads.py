"""Files to upload."""

import io
import zipfile

from PIL import Image


def archive_of(*classes):
    """Return a zip with three gray images in each class."""
    image, packed = io.BytesIO(), io.BytesIO()
    Image.new("L", (8, 8), 99).save(image, "PNG")
    with zipfile.ZipFile(packed, "w") as archive:
        for name in classes:
            for number in range(3):
                archive.writestr(f"{name}/{number}.png", image.getvalue())
    return packed.getvalue()


def packed(*files):
    """Return a zip of files by path."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, data in files:
            archive.writestr(path, data)
    return content.getvalue()
