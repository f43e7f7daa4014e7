"""Imports of several runs from one file."""

import io
import shutil
import zipfile

import pytest

from expertnet.store.checks import find_damage
from expertnet.store.run import Run
from expertnet.transfer.export_run import export_runs
from expertnet.transfer.import_run import import_all


@pytest.fixture
def another(source, tmp_path):
    run = Run(shutil.copytree(source.path, tmp_path / "another" / "20200101-000000-abcd"))
    run.write_config(run.config() | {"created": "2020-01-01T00:00:00+00:00"})
    return run


def several(*runs):
    file = io.BytesIO()
    export_runs(runs, file)
    return file


def test_several_runs_are_imported_from_one_file(source, another, store):
    first = import_all(store, several(source, another), "runs.zip")
    assert [(each.original_id, each.new) for each in first] == [(source.id, True), (another.id, True)]
    for run in (source, another):
        assert store.get(run.id).metrics() == run.metrics() and find_damage(store.get(run.id)) is None
        assert store.get(run.id).checkpoints.load("best")[1] == run.checkpoints.load("best")[1]
    assert [each.new for each in import_all(store, several(source, another), "runs.zip")] == [False, False]


def test_a_rejected_run_does_not_keep_the_others_out(source, another, store):
    content = bytearray(several(another, source).getvalue())
    place = content.index(b"PK\3\4", 10)  # the first header inside the first of the two zips
    content[place + 200 : place + 260] = bytes(60)
    error, outcome = import_all(store, io.BytesIO(bytes(content)), "runs.zip")
    assert "in runs.zip was not imported" in error and "\n" not in error
    assert outcome.original_id == source.id and [run.id for run in store.list()] == [source.id]


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_zip_of_other_zips_is_rejected(store, kind):
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w", kind) as archive:
        for number in range(21):
            archive.writestr(f"run-20200101-000000-{number:04x}.zip", b"x")
    (error,) = import_all(store, many, "runs.zip")
    assert ("not part of an exported run" if kind else "at most 20") in error and not store.list()
