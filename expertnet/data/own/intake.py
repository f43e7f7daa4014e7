"""Take image files into a dataset of yours: first onto the disk, decoded and hashed, then into a version."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

from expertnet.data.archives import entries, read_file, read_or_nothing
from expertnet.data.images import MAX_BYTES, SUFFIXES, inspect_image
from expertnet.data.own.added import MOST_REJECTED, Added
from expertnet.data.own.contents import Contents, OwnImage
from expertnet.data.own.datasets import edit, refuse_if_gone
from expertnet.data.own.edits import fresh_id
from expertnet.data.own.files import THUMB, to_jpeg, write_once
from expertnet.data.own.folders import blob, home
from expertnet.data.own.log import FullDiskError
from expertnet.data.own.names import Taken, checked_name, file_name
from expertnet.data.own.strays import NO_CLASS, folders_of, without_strays
from expertnet.data.own.uploads import Arrived, ArrivedFile, Upload, begin_upload, incoming
from expertnet.data.own.versions import open_version
from expertnet.errors import DatasetError, ImageError
from expertnet.utils.files import FULL
from expertnet.utils.progress import Report, silent
from expertnet.utils.text import counted, printable

BATCH, BATCH_BYTES = 128, 16 * 2**20  # files that are decoded together
SPARE = 200 * 2**20  # bytes that stay free on the disk
PARTS = {"train": "train", "test": "test", "val": "validation", "valid": "validation", "validation": "validation"}


def add_files(dataset: str, files: Iterable[tuple[str, bytes]], label: str = "", progress: Report = silent) -> Added:
    """Add files by path to a class, by default to the one that the folder of each is named after.

    A folder `train`, `test` or `validation` around the class folders assigns the images to it. Raises DatasetError; what has
    arrived before stays in the upload.
    """
    upload = begin_upload(dataset)
    stage(upload, files, label, progress)
    return finish(upload)


def is_image_file(path: Path) -> bool:
    """Return whether a path is that of a single image, and not of a folder or an archive."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def files_at(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a folder or an archive, or an image itself. Raises DatasetError or OSError."""
    if is_image_file(path):
        name = printable(path.name)  # JSON cannot hold names that are not UTF-8
        yield name, read_or_nothing(lambda: read_file(path, MAX_BYTES + 1))
        return
    for entry in entries(path):
        if not entry.is_folder:
            yield entry.path, read_or_nothing(entry.read)


def stage(
    upload: Upload, files: Iterable[tuple[str, bytes]], label: str = "", progress: Report = silent, archive: str = ""
) -> None:
    """Decode and hash files, and write those that are images to the disk. `archive` is the path of the one that they are in.

    The other arguments and the errors are those of `add_files`.
    """
    contents, folder = open_version(upload.dataset).contents, home() / upload.dataset
    if label and label not in contents.classes:
        raise DatasetError("The class was removed in the meantime. Reload the page.")
    class_name, done = contents.classes.get(label, ""), 0
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8), "decoding") as pool:
        for batch in _batches(files):
            try:
                refuse_full_disk(folder, 2 * sum(len(data) for _, data in batch), done)
                found = list(pool.map(lambda file: _take(folder, file[0], file[1], class_name), batch))
                if archive:
                    found = [file | {"archive": archive} for file in found]
                if label:
                    found = [file | {"label": label} for file in found]
                _note(upload, found, [data for _, data in batch])
            except OSError as error:
                refuse_if_gone(folder)
                raise _full(done) if error.errno in FULL else error from error
            done += len(batch)
            batch.clear()  # before the next files are read
            progress(f"{counted(done, 'file')} read", None)


def reject(upload: Upload, reasons: Mapping[str, str]) -> None:
    """Note that files which were not taken in have arrived, and why by their paths."""
    with incoming(upload.dataset):
        upload.note([{"path": path, "reason": reason} for path, reason in reasons.items()])


def note_unpacked(upload: Upload, path: str) -> None:
    """Note that an archive has arrived, so that it need not be sent again."""
    with incoming(upload.dataset):
        upload.note([{"path": path}])


def refuse_full_disk(folder: Path, size: int, done: int = 0) -> None:
    """Raise FullDiskError if there is no room for `size` bytes. `done` is the number of files that arrived before."""
    if shutil.disk_usage(folder).free < SPARE + size:
        raise _full(done)


def _full(done: int) -> FullDiskError:
    arrived = f" {counted(done, 'file')} arrived before and can be added." if done else ""
    return FullDiskError(f"The disk is full.{arrived} Free some space, then add the others again.")


def _batches(files: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    batch, size = list[tuple[str, bytes]](), 0
    for path, data in files:
        batch.append((path, data))
        size += len(data)
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _take(folder: Path, path: str, data: bytes, class_name: str) -> ArrivedFile:
    """Write an image to the disk and describe it, or say why it is none; nothing of files that systems leave in folders."""
    parents, by_folder = folders_of(path), not class_name
    if any(part.startswith(".") or part == "__MACOSX" for part in re.split(r"[/\\]", path)):
        return {"path": path}
    try:
        if not class_name:
            if not parents:
                raise DatasetError(NO_CLASS)
            class_name = checked_name(parents[-1], "folder's name")
        small, (width, height), image_format = inspect_image(data, THUMB)
    except (ImageError, DatasetError) as error:
        return {"path": path, "reason": str(error)}
    digest = sha256(data).hexdigest()
    write_once(blob(folder, digest), data)
    if not (thumb := blob(folder, digest, "thumbs")).is_file():
        write_once(thumb, to_jpeg(small))
    split = PARTS.get(parents[-2].lower(), "") if len(parents) > 1 else ""
    image = OwnImage("", file_name(path, image_format), digest, len(data), width, height, split)
    return {"path": path, "class": class_name, "by_folder": by_folder, "image": asdict(image)}


def _note(upload: Upload, found: list[ArrivedFile], contents: list[bytes]) -> None:
    """Append a line to the list of arrived files, once the files themselves are on the disk."""
    sync = getattr(os, "sync", lambda: None)  # at once for all files, which is much faster than one by one
    sync()
    with incoming(upload.dataset):
        images = [
            (file["image"]["digest"], data) for file, data in zip(found, contents, strict=True) if "image" in file
        ]
        paths = [(blob(home() / upload.dataset, digest), data) for digest, data in images]
        gone = [(path, data) for path, data in paths if not path.is_file()]  # deleted as unused since we found them
        for path, data in gone:
            write_once(path, data)
        if gone:
            sync()
        upload.note(found)


def finish(upload: Upload) -> Added:
    """Add the files that have arrived to their classes, as one version. Raises DatasetError."""
    with incoming(upload.dataset):
        upload.touch()  # or it is gone
        found = without_strays(upload.arrived(), open_version(upload.dataset).contents.classes.values())
        counts: Counter[str] = Counter()
        joined: dict[str, str] = {}
        restored: list[str] = []

        def change(contents: Contents) -> str:
            for label in add_arrived(contents, found, joined, restored):
                counts[contents.classes[label]] += 1
            where = f"to “{next(iter(counts))}”" if len(counts) == 1 else f"in {len(counts)} classes"
            return f"{counted(counts.total(), 'image')} added {where}"

        version = edit(upload.dataset, change, rejected=found.rejected[:MOST_REJECTED])
        upload.end()
    added = counts.total()
    return Added(version, added, len(found.images) - added, found.rejected, joined, restored)


def add_arrived(contents: Contents, found: Arrived, joined: dict[str, str], restored: list[str]) -> Iterator[str]:
    """Add the images that their class does not have yet, and yield the class id of each.

    A class that the user chose may have another name by now. If it was removed, it comes back, so that no image is lost.
    """
    labels = {name: label for label, name in contents.classes.items()}
    alike = {name.casefold(): name for name in labels}
    held = {(image.label, image.digest) for image in contents.images.values()}
    taken = {label: Taken() for label in contents.classes}
    for image in contents.images.values():
        taken[image.label].names.add(image.name)
    for file in found.images:
        name, image, label = file["class"], OwnImage(**file["image"]), file.get("label", "")
        if label not in contents.classes and name not in labels:
            known = alike.setdefault(name.casefold(), name)
            if known == name:
                labels[name] = label or fresh_id()
                contents.classes[labels[name]], taken[labels[name]] = name, Taken()
                restored += [name] if label else []
            else:
                labels[name], joined[name] = labels[known], known
        label = label if label in contents.classes else labels[name]
        if (label, image.digest) in held:
            continue
        held.add((label, image.digest))
        contents.images[fresh_id()] = replace(image, label=label, name=taken[label].take(image.name))
        yield label
