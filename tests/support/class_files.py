"""Class folders with small images, as a folder or an archive."""

import io
import tarfile
import zipfile

from PIL import Image


def png(value=0, size=8):
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def class_files(classes=("cat", "dog"), count=5, prefix=""):
    return {
        f"{prefix}{name}/{number}.png": png(50 * index + number)
        for index, name in enumerate(classes)
        for number in range(count)
    }


def two_levels(prefix=""):
    return class_files(count=4, prefix=f"{prefix}train/") | class_files(count=2, prefix=f"{prefix}test/")


def write(path, files):
    """Write files as a folder, zip or tar, by the name of the path. A TarInfo or ZipInfo is added unchanged."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(
                    data[0] if isinstance(data, tuple) else name, data[1] if isinstance(data, tuple) else data
                )
    elif ".tar" in path.name or path.suffix == ".tgz":
        packing = {".xz": "xz", ".gz": "gz", ".tgz": "gz", ".bz2": "bz2"}.get(path.suffix, "")
        with tarfile.open(path, f"w:{packing}") as archive:
            for name, data in files.items():
                member = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
                if isinstance(data, bytes):
                    member.size = len(data)
                archive.addfile(member, io.BytesIO(data) if isinstance(data, bytes) else None)
    else:
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    return path
