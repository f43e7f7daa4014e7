"""A run goes out as a zip and comes in again; whatever else comes is refused and leaves nothing behind."""

import io
import json
import os
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from expertnet.errors import RunError
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import kept_routing
from expertnet.routing.effects import cached_effects
from expertnet.settings.fields import build_settings
from expertnet.store.notes import Notes
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import Status
from expertnet.transfer.export_run import export_run, export_runs
from expertnet.transfer.import_run import import_all, import_run
from expertnet.utils.processes import Process
from tests.support.opening import TINY, finished

SHIPPED = "20261124-123318-dac5"


@pytest.fixture(scope="module")
def source(tmp_path_factory, shared_data):
    """A trained run with weights of every epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPERTNET_DATA", str(shared_data))
        return finished(RunStore(tmp_path_factory.mktemp("source")), **{"training.keep_every": 1})


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "elsewhere")


def packed(run):
    file = io.BytesIO()
    export_run(run, file)
    return file.getvalue()


def contents(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def repacked(files):
    """`files`: content by name, or by ZipInfo."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def changed(archive, name, change):
    """The archive with a change made to one of its JSON documents."""
    files = contents(archive)
    document = json.loads(files[name])
    change(document)
    return repacked(files | {name: json.dumps(document)})


def imported(store, archive):
    return import_run(store, io.BytesIO(archive), "the.zip")


def take(store, archive):
    return imported(store, archive).run


def refusal(store, archive):
    """The sentence; and the store is as it was."""
    before = sorted(store.root.parent.rglob("*"))
    with pytest.raises(RunError) as error:
        take(store, archive)
    left = [path for path in sorted(store.root.parent.rglob("*")) if path != store.root]
    assert left == [path for path in before if path != store.root]
    sentence = str(error.value)
    assert sentence.startswith("the.zip was not imported: ") and sentence.endswith(".") and "\n" not in sentence
    return sentence


def test_there_and_back(source, store):
    run = take(store, packed(source))
    assert run.id == source.id and run.damage() is None and run.state == "finished" and run.imported
    assert run.settings() == source.settings() and run.metrics() == source.metrics() and run.name == source.name
    assert run.dataset_info() == source.dataset_info() and run.created == source.created
    assert run.log_tail() == source.log_tail() and run.kept_epochs() == source.kept_epochs()
    for kind in ("best", "last", "epoch-0001"):
        own, other = (load_file(r.checkpoint_path(kind)) for r in (source, run))
        assert own.keys() == other.keys() and all(torch.equal(own[name], other[name]) for name in own)
    assert load_predictor(run).classes == load_predictor(source).classes
    status = run.status()
    assert status.changed(process=Process()) == status
    assert status.test_accuracy == source.status().test_accuracy


@pytest.fixture
def another(source, tmp_path):
    run = Run(shutil.copytree(source.path, tmp_path / "another" / "20200101-000000-abcd"))
    run.write_config(run.config() | {"created": "2020-01-01T00:00:00+00:00"})
    return run


def several(*runs):
    file = io.BytesIO()
    export_runs(runs, file)
    return file


def test_several_runs_go_out_in_one_file_and_come_in(source, another, store):
    done = import_all(store, several(source, another), "runs.zip")
    assert [(each.was, each.new) for each in done] == [(source.id, True), (another.id, True)]
    for run in (source, another):
        assert store.get(run.id).metrics() == run.metrics() and store.get(run.id).damage() is None
        assert store.get(run.id).load_weights("best")[1] == run.load_weights("best")[1]
    assert [each.new for each in import_all(store, several(source, another), "runs.zip")] == [False, False]


def test_one_of_several_that_is_refused_does_not_keep_the_others_out(source, another, store):
    content = bytearray(several(another, source).getvalue())
    place = content.index(b"PK\3\4", 10)  # the first header within the first of the two
    content[place + 200 : place + 260] = bytes(60)
    refused, imported = import_all(store, io.BytesIO(bytes(content)), "runs.zip")
    assert "in runs.zip was not imported" in refused and "\n" not in refused
    assert imported.was == source.id and [run.id for run in store.list()] == [source.id]


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_zip_of_zips_that_is_no_export_of_several_is_refused(source, store, kind):
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w", kind) as archive:
        for number in range(21):
            archive.writestr(f"run-20200101-000000-{number:04x}.zip", b"x")
    (sentence,) = import_all(store, many, "runs.zip")
    assert ("no file of an exported run" if kind else "at most 20") in sentence and not store.list()


def test_no_pickle_goes_out(source):
    assert (source.path / "resume.pt").is_file()
    assert not any(name.endswith(".pt") for name in contents(packed(source)))


def test_what_the_lab_kept_of_a_shipped_run_goes_along_but_not_that_it_is_shipped(store):
    shipped = Run(Path(__file__).parents[2] / "runs" / SHIPPED)
    run = take(store, packed(shipped))
    assert shipped.shipped and not run.shipped and run.card() == ""
    assert torch.equal(kept_routing(run).routing, kept_routing(shipped).routing)
    for what in ("policies", "silenced", "silenced-renormalised"):
        assert torch.equal(cached_effects(run, what).changed, cached_effects(shipped, what).changed)
    run.move_to_trash()


def lose_an_epoch(archive):
    """The archive of a time when the run had an epoch less."""
    shorter = changed(archive, "status.json", lambda status: status.update(epoch=1, state="stopped"))
    return repacked(contents(shorter) | {"metrics.jsonl": contents(archive)["metrics.jsonl"].splitlines()[0]})


def test_an_id_that_is_taken_by_another_run_or_lies_in_the_trash_is_given_anew(source, store):
    archive = packed(source)
    first, second = take(store, archive), imported(store, lose_an_epoch(archive))
    assert second.new and second.was == first.id != second.run.id and second.run.id in second.sentence
    first.move_to_trash()
    again = imported(store, archive)
    assert again.new and again.run.id != first.id and len(store.list()) == 2


def test_a_run_that_is_here_already_is_not_made_again(source, store):
    archive = packed(source)
    first = take(store, archive)
    first.annotate(Notes("renamed since"))
    before = sorted(store.root.rglob("*"))
    again = imported(store, archive)
    assert not again.new and again.run.id == first.id and sorted(store.root.rglob("*")) == before
    assert again.sentence == "renamed since is here already; nothing was imported."
    assert not imported(RunStore(source.path.parent), archive).new  # where it was trained
    first.path.rename(store.root / "20260101-000000-abcd")  # as one whose id was taken when it came
    assert "already, as run 20260101-000000-abcd;" in imported(store, archive).sentence


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", lambda config: config.update(seed=7)),
        ("config.json", lambda config: config.update(created="2020-01-01T00:00:00+00:00")),
        ("config.json", lambda config: config["dataset"].update(fingerprint="other images")),
    ],
)
def test_a_run_that_differs_is_made_though_its_id_is_the_same(source, store, name, change):
    first = take(store, packed(source))
    other = imported(store, changed(packed(source), name, change))
    assert other.new and other.run.id != first.id and len(store.list()) == 2


def test_a_damaged_run_does_not_keep_its_own_export_out(source, store):
    archive = packed(source)
    first = take(store, archive)
    first.checkpoint_path("best").write_bytes(b"")
    assert imported(store, archive).new


def test_runs_without_epochs_are_the_same_by_their_id_alone(store):
    first = RunStore().create(build_settings("quick", "digits", TINY), "quick", "only settings")
    first.write_status(Status().changed(state="failed"))
    archive = packed(first)
    other = changed(archive, "export.json", lambda manifest: manifest.update(run="20260101-000000-abcd"))
    assert imported(store, archive).new and imported(store, other).new and not imported(store, archive).new


@pytest.mark.parametrize("state", ["queued", "running", "stopping", "stopped"])
def test_a_run_that_had_not_finished_says_that_it_cannot_go_on(source, store, state):
    archive = changed(
        packed(source), "status.json", lambda status: status.update(state=state, pid=os.getpid(), host="x")
    )
    run = take(store, archive)
    assert run.state == ("stopped" if state == "stopped" else "interrupted") and not run.can_resume()
    assert "holds no resume.pt, so it cannot go on; start a new one" in run.resume_damage()


def test_a_run_that_never_learned_anything_can_be_exported(store):
    run = RunStore().create(build_settings("quick", "digits", TINY), "quick", "only settings")
    run.write_status(Status().changed(state="failed", error="x"))
    assert take(store, packed(run)).title == "only settings"


def test_the_path_of_own_images_stays_at_home(source, store):
    run = take(
        store, changed(packed(source), "config.json", lambda c: c["data"].update(dataset="/etc/../home/me/bi:rds.zip"))
    )
    assert run.settings().data.dataset == "imported/bi_rds.zip" and run.dataset == "bi_rds.zip"
    own = RunStore().create(build_settings("quick", "digits", TINY))
    own.write_config(own.config() | {"data": own.config()["data"] | {"dataset": "/home/me/birds"}})
    assert b"/home" not in contents(packed(own))["config.json"]


def test_signs_that_steer_a_terminal_are_taken_out(source, store):
    run = take(store, changed(packed(source), "config.json", lambda c: c.update(name="\x1b[2Jred\nline", preset=["x"])))
    assert run.name == "?[2Jred line" and run.preset == ""


def test_notes_are_taken_as_text(source, store):
    notes = {"note": "a\n\x1bb", "tags": ["x", 3, ""], "more": 1}
    run = take(store, repacked(contents(packed(source)) | {"notes.json": json.dumps(notes)}))
    assert run.notes() == Notes("", ("x",), "a\nb")
    assert json.loads((run.path / "notes.json").read_text()).keys() == {"name", "tags", "note"}


def test_a_run_that_is_not_sound_is_not_exported(source):
    run = RunStore().create(build_settings("quick", "digits", TINY))
    (run.path / "status.json").write_bytes(b"{")
    with pytest.raises(RunError, match="damaged"):
        packed(run)


def link_to(target):
    info = zipfile.ZipInfo("notes.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return {info: target}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"resume.pt": b"pickle"}, "no file of an exported run"),
        ({"../config.json": b"{}"}, "no file of an exported run"),
        ({"/etc/passwd": b""}, "no file of an exported run"),
        ({"a/config.json": b"{}"}, "no file of an exported run"),
        ({"epoch-00001x.safetensors": b""}, "no file of an exported run"),
        ({"routing-../best.safetensors": b""}, "no file of an exported run"),
        ({"epoch-٠٠٠١.safetensors": b""}, "no file of an exported run"),
        (link_to("/etc/passwd"), "no file of an exported run"),
        ({"epoch-0007.safetensors": b"x"}, "is damaged"),
        ({"epoch-0007.safetensors": save({"x": torch.ones(1)}, {"epoch": "7"})}, "another network"),
        ({"epoch-0007.safetensors": save({}, {"epoch": "8"})}, "is of epoch 8"),
        ({"silenced-best.safetensors": save({"changed": torch.zeros(3, 3, 9)}, {"epoch": "1"})}, "another network"),
        ({"notes.json": bytes(2**17)}, "more than the 65,536 bytes"),
        ({"card.md": bytes(2**18 + 1)}, "more than the 262,144 bytes"),
    ],
)
def test_a_file_that_does_not_belong_is_refused(source, store, more, why):
    assert why in refusal(store, repacked(contents(packed(source)) | more))


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("export.json", lambda d: d.update(run="../../x"), "names no run"),
        ("export.json", lambda d: d.update(run="２０２６1124-123318-dac5"), "names no run"),
        ("config.json", lambda d: d["model"].update(channels=16), "another network"),
        ("config.json", lambda d: d["model"].update(channels=10**9), "channels` must be"),
        ("config.json", lambda d: d["model"].update(evil=1), "There is no setting"),
        ("config.json", lambda d: d.pop("dataset"), "of which classes"),
        ("config.json", lambda d: d["dataset"].update(image_size=10**6), "describes"),
        ("config.json", lambda d: d["dataset"].update(std=[0, 1, 1]), "describes"),
        ("config.json", lambda d: d["dataset"].update(mean=[10**400, 1, 1]), "describes"),
        ("config.json", lambda d: d["dataset"].update(classes=["x"] * 10), "describes"),
        ("config.json", lambda d: d["dataset"]["classes"].pop(), "another network"),
        ("config.json", lambda d: d.update(dataset=7), "describes"),
        ("status.json", lambda d: d.update(state="wild"), "status.json is damaged"),
        ("status.json", lambda d: d.update(epoch=-1), "status.json is damaged"),
        ("status.json", lambda d: d.update(test_accuracy=7), "status.json is damaged"),
        ("status.json", lambda d: d.update(epoch=3), "metrics.jsonl is damaged"),
    ],
)
def test_a_document_that_is_wrong_is_refused(source, store, name, change, why):
    assert why in refusal(store, changed(packed(source), name, change))


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (b'{"epoch": 1}\n{"epoch": 1e400}', "damaged"),
        (b'{"epoch": 1}\n{"epoch": 3}', "damaged"),
        (b'{"epoch": 1}\n{"epoch": 2, "routing_entropy": [1]}', "another network"),
        (b'{"epoch": 1}\n{"epoch": 2, "expert_usage": [[1], [1]]}', "another network"),
    ],
)
def test_a_history_that_is_wrong_is_refused(source, store, lines, why):
    assert why in refusal(store, repacked(contents(packed(source)) | {"metrics.jsonl": lines}))


def test_what_is_no_zip_is_refused(source, store):
    archive = packed(source)
    for wrong in (b"", b"PK", b"x" * 100, archive[:-1], archive[10:] + b"x", archive + b"x"):
        assert "not a zip file" in refusal(store, wrong)
    for name in ("export.json", "config.json", "status.json"):
        files = contents(archive)
        del files[name]
        assert f"no {name}" in refusal(store, repacked(files))


def test_two_files_of_one_name_are_refused(source, store):
    file = io.BytesIO(packed(source))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", b"{}")
    assert "two files named config.json" in refusal(store, file.getvalue())


def test_more_than_an_archive_says_is_not_unpacked(source, store):
    """A member that claims another size than it has, in the listing at the end."""
    files, size = contents(packed(source)), 5000
    archive = bytearray(repacked({**files, "card.md": b"a" * size}))
    place = archive.rindex(b"card.md", 0, archive.rindex(b"PK\5\6")) - 46 + 24
    for claimed in (size - 1, size + 1, 2**31):
        archive[place : place + 4] = claimed.to_bytes(4, "little")
        refusal(store, bytes(archive))


def test_a_disk_that_takes_nothing_gets_a_sentence(source, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        take(RunStore(tmp_path / "file"), packed(source))


def test_what_a_killed_import_left_goes_with_a_later_one(source, store):
    left = store.root / ".import-0123"
    left.mkdir(parents=True)
    take(store, packed(source))
    assert left.is_dir() and len(store.list()) == 1
    os.utime(left, (0, 0))
    take(store, packed(source))
    assert not left.exists()
