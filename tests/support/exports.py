"""Export a run to bytes, change what is in them, and import them."""

import io
import json
import zipfile

import pytest

from expertnet.errors import RunError
from expertnet.transfer.export_run import export_run
from expertnet.transfer.import_run import import_run


def exported(run):
    file = io.BytesIO()
    export_run(run, file)
    return file.getvalue()


def contents(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(files):
    """Return a zip of contents by name, or by ZipInfo."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def changed(archive, name, change):
    """Return the archive with a change to one of its JSON documents."""
    files = contents(archive)
    document = json.loads(files[name])
    change(document)
    return zipped(files | {name: json.dumps(document)})


def imported(store, archive):
    return import_run(store, io.BytesIO(archive), "the.zip")


def refusal(store, archive):
    """Check that an import fails and leaves nothing behind, and return its message."""
    before = left_in(store)
    with pytest.raises(RunError) as error:
        imported(store, archive)
    assert left_in(store) == before
    message = str(error.value)
    assert message.startswith("the.zip was not imported: ") and message.endswith(".") and "\n" not in message
    return message


def left_in(store):
    """Return the paths in a store's folder and beside it, without the store itself, which an import may create."""
    return [path for path in sorted(store.root.parent.rglob("*")) if path != store.root]
