"""`expertnet data`: the built-in datasets and your own."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expertnet.cli.options import Json
from expertnet.cli.output import ActivityPrinter, aligned, print_result, say
from expertnet.data.builtin import BUILTIN
from expertnet.errors import DatasetError
from expertnet.utils.text import counted, printable, size_text

if TYPE_CHECKING:
    from expertnet.data.own.versions import Version

data = typer.Typer(
    help="List, show, make and remove datasets.", no_args_is_help=False, rich_markup_mode=None, add_completion=False
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="A built-in dataset, or the name of one of yours.")]


@data.command("list")
def list_(as_json: Json = False) -> None:
    """List all datasets: yours, then the built-in ones."""
    from expertnet.data.catalog import list_datasets

    found = list_datasets()
    rows = [
        {
            "dataset": row.dataset,
            "title": row.title,
            "own": row.own,
            "version": row.version or None,
            "classes": row.classes,
            "images": row.images,
            "bytes": row.size,
        }
        for row in found
    ]
    table: list[tuple[str, ...]] = [("dataset", "version", "classes", "images", "on this computer", "title")]
    for row in found:
        size = size_text(row.size) if row.size else "to download" if row.download else "-"
        version = f"@{row.version}" if row.version else ""
        table.append((row.dataset, version, f"{row.classes:,}", f"{row.images:,}", size, row.damage or row.title))
    print_result(as_json, rows, aligned(table))


@data.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show the classes of a dataset and, of one of yours, its versions. NAME@3 shows version 3."""
    from expertnet.data.catalog import balance, class_counts

    if name in BUILTIN:
        counts = class_counts(name)
        if counts is None:
            raise DatasetError(f"{name} is not on this computer yet. 'expertnet data add {name}' downloads it.")
        known: dict[str, Any] = {"dataset": name, "title": BUILTIN[name].title, "classes": counts}
        print_result(as_json, known, [BUILTIN[name].title, *_classes(counts), balance(counts)])
        return
    from expertnet.data.own.layout import missing_of
    from expertnet.data.own.versions import history

    version = _named_version(name)
    counts = class_counts(version.reference) or {}
    changes = [each for each in history(version.dataset) if each.number <= version.number]
    missing = missing_of(version)
    document: dict[str, Any] = {
        "dataset": version.reference,
        "title": version.contents.title,
        "classes": counts,
        "images": len(version.contents.images),
        "bytes": version.size,
        "problem": missing or None,
        "versions": [{"version": each.number, "time": each.time, "what": each.what} for each in changes],
    }
    lines = [f"{version.name} ({size_text(version.size)})", *_classes(counts), missing or balance(counts), ""]
    lines += [f"{version.dataset}@{each.number}  {each.time[:16].replace('T', ' ')}  {each.what}" for each in changes]
    print_result(as_json, document, lines)


@data.command()
def add(
    name: Name,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Folders or archives of class folders, or images with --class."),
    ] = None,
    to_class: Annotated[
        str, typer.Option("--class", metavar="CLASS", help="The class of all images. It is added if there is none.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Add images to a dataset of yours, which is created if there is none. A built-in dataset is downloaded."""
    from expertnet.data.catalog import download_dataset
    from expertnet.utils.progress import never

    printer = ActivityPrinter()
    if name in BUILTIN and not paths:
        download_dataset(name, printer, never)
        print_result(as_json, {"dataset": name}, [f"{BUILTIN[name].title} is on this computer."])
        return
    from hashlib import sha256

    from expertnet.data.own.datasets import create_dataset, delete_dataset, find_id, ids_of, remove_dataset
    from expertnet.data.own.edits import class_id
    from expertnet.data.own.intake import files_at, finish, is_image_file, stage
    from expertnet.data.own.strays import NO_CLASS
    from expertnet.data.own.uploads import begin_upload, uploads_of
    from expertnet.data.own.versions import open_version

    if name in BUILTIN:
        raise DatasetError(f"{name} is a built-in dataset. Choose another name for yours.")
    if not paths:
        raise DatasetError("Name the folders, archives or images to add.")
    for path in paths:
        if not path.exists():
            raise DatasetError(f"There is no file or folder {str(path)!r}. Check the path.")
    is_new = not ids_of(name)
    dataset = create_dataset(name).dataset if is_new else find_id(name)
    # If this is interrupted, the same command adds what had arrived
    key = sha256(repr((to_class, [path.resolve() for path in paths])).encode("utf-8", "replace")).hexdigest()
    try:
        label, upload = class_id(dataset, to_class) if to_class else "", begin_upload(dataset, key)
        stage(upload, (file for path in paths if is_image_file(path) for file in files_at(path)), label, printer)
        for path in paths:
            if not is_image_file(path):
                stage(upload, files_at(path), label, printer, archive=printable(str(path.resolve())))
        added = finish(upload)
    finally:
        if is_new and not (
            open_version(dataset).contents.images or any(each.arrived().images for each in uploads_of(dataset))
        ):
            remove_dataset(dataset)
            delete_dataset(dataset, set)
    here = "It is in no class folder. Add it with --class CLASS."
    rejected = [(file, here if reason == NO_CLASS else reason) for file, reason in added.rejected]
    for file, reason in rejected:
        say(f"{file}: {reason}")
    if is_new and not added.version.contents.images:
        raise DatasetError(f"No image could be added, so there is no dataset “{name}”.")
    document = {
        "dataset": added.version.reference,
        "added": added.added,
        "present": added.present,
        "rejected": [{"file": file, "error": reason} for file, reason in rejected],
    }
    print_result(as_json, document, [f"{added.version.reference}: {added.summary}"])
    if rejected:
        raise typer.Exit(1 if added.added + added.present else 2)


@data.command()
def remove(
    name: Name,
    restore: Annotated[bool, typer.Option("--restore", help="Bring it back from the trash.")] = False,
    permanently: Annotated[bool, typer.Option("--permanently", help="Delete it from the trash. No undo.")] = False,
) -> None:
    """Move a dataset of yours to the trash. Runs that were trained on it keep their images."""
    from expertnet.data.own.datasets import delete_dataset, find_id, remove_dataset, restore_dataset
    from expertnet.store.run_store import RunStore
    from expertnet.store.trash import named_images

    if restore and permanently:
        raise DatasetError("--restore and --permanently cannot be used together. Leave one of them out.")
    if restore:
        print(f"{restore_dataset(name).contents.title} is back.")
    elif permanently:
        delete_dataset(name, partial(named_images, RunStore()))
        print(f"{name} is deleted permanently.")
    else:
        dataset = find_id(name)
        remove_dataset(dataset)
        print(f"{dataset} is in the trash. 'expertnet data remove {dataset} --restore' brings it back.")


@data.command()
def prune(name: Name) -> None:
    """Delete the older versions of a dataset of yours, and the images that only they have, to free disk space."""
    from expertnet.data.own.datasets import find_id
    from expertnet.data.own.versions import open_version
    from expertnet.store.prune import delete_older
    from expertnet.store.run_store import RunStore

    dataset = find_id(name)
    freed = delete_older(RunStore(), dataset)
    space = f"{size_text(freed)} are free again." if freed else "There was no space to free."
    print(f"{open_version(dataset).reference} is the only version now. {space}")


def _named_version(name: str) -> "Version":
    """Return the version that a name such as "flowers" or "flowers@3" means. Raises DatasetError."""
    from expertnet.data.own.datasets import find_id
    from expertnet.data.own.versions import open_version

    named, sign, number = name.rpartition("@")
    try:
        return open_version(find_id(name))  # first, as a title may have an @, too
    except DatasetError:
        if not sign:
            raise
    if not re.fullmatch(r"[1-9]\d{0,8}", number):
        raise DatasetError(f"{number[:20]!r} is not a version. Use a number, such as {named}@1.")
    if named in BUILTIN:
        raise DatasetError(f"{named} is a built-in dataset, which has no versions. Leave out @{number}.")
    return open_version(find_id(named), int(number))


def _classes(counts: dict[str, int]) -> Iterator[str]:
    yield f"{counted(sum(counts.values()), 'image')} in {counted(len(counts), 'class', 'classes')}"
    yield from aligned([(f"  {name}", f"{count:,}") for name, count in counts.items()])
