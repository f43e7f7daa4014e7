"""Imports of runs: a run arrives completely, or is rejected and leaves nothing behind."""

import os

import pytest
import torch
from safetensors.torch import load_file, save

from expertnet.errors import RunError
from expertnet.inference.novelty import cached_novelty
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import cached_routing, load_own_test_set, route_test_set
from expertnet.routing.ablations import ABLATIONS
from expertnet.routing.freezing import FREEZING
from expertnet.routing.headroom import HEADROOM
from expertnet.routing.likeness import LIKENESS
from expertnet.routing.policies import ROUTINGS
from expertnet.routing.probe import cached_probes
from expertnet.routing.robustness import ROBUSTNESS
from expertnet.routing.stability import STABILITY
from expertnet.settings.fields import build_settings
from expertnet.store.checks import find_damage, resume_fault
from expertnet.store.notes import Notes
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import Status
from expertnet.store.trash import move_to_trash
from expertnet.training.controls import plan_controls
from expertnet.utils.processes import Process
from tests.support.exports import changed, contents, exported, imported, refusal, zipped
from tests.support.lab import random_images
from tests.support.opening import SHIPPED, SHIPPED_CONTEXTS, SHIPPED_DIGITS, TINY, finished
from tests.support.small import can_resume


def test_an_imported_run_equals_the_exported_one(source, store):
    run = imported(store, exported(source)).run
    assert run.id == source.id and find_damage(run) is None and run.state == "finished" and run.imported
    assert run.settings() == source.settings() and run.metrics() == source.metrics() and run.name == source.name
    assert run.dataset_info() == source.dataset_info() and run.created == source.created
    assert run.log_tail() == source.log_tail() and run.checkpoints.saved_epochs() == source.checkpoints.saved_epochs()
    for kind in ("best", "last", "epoch-0001"):
        before, after = (load_file(each.checkpoints.path(kind)) for each in (source, run))
        assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert load_predictor(run).classes == load_predictor(source).classes
    status = run.status()
    assert status.changed(process=Process()) == status
    assert status.test_accuracy == source.status().test_accuracy


def test_cached_results_of_a_shipped_run_are_imported(store):
    shipped = Run(SHIPPED_DIGITS)
    run = imported(store, exported(shipped)).run
    results = {path.name: path.read_bytes() for path in shipped.path.glob("*.safetensors")}
    assert {path.name: path.read_bytes() for path in run.path.glob("*.safetensors")} == results
    for measure in (FREEZING, HEADROOM, ROBUSTNESS, LIKENESS, STABILITY):
        assert measure.cached(run, "validation") is not None, measure.name
    assert cached_novelty(run) is not None and cached_probes(run) is not None
    assert torch.equal(cached_routing(run).routing, cached_routing(shipped).routing)
    routings, ablations = ROUTINGS.cached(run, "validation"), ABLATIONS.cached(run, "validation")
    assert torch.equal(routings.answers, ROUTINGS.cached(shipped, "validation").answers)
    assert torch.equal(ablations.changed, ABLATIONS.cached(shipped, "validation").changed)


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda folder: folder.name)
def test_a_shipped_run_answers_after_its_import(store, shipped):
    """The kernels of the network for photographs are float16."""
    shipped = Run(shipped)
    run = imported(store, exported(shipped)).run
    before, after = load_predictor(shipped), load_predictor(run)
    images = random_images(3, size=before.image_size)
    assert find_damage(run) is None and torch.equal(after(images)[0], before(images)[0])
    assert torch.equal(cached_routing(run).routing, cached_routing(shipped).routing)
    again = imported(RunStore(store.root / "third"), exported(run)).run
    assert torch.equal(load_predictor(again)(images)[1], before(images)[1])


def test_the_controls_of_a_shipped_run_are_imported(store):
    shipped = Run(SHIPPED_CONTEXTS)
    run = imported(store, exported(shipped)).run
    before, after = plan_controls(shipped, RunStore(SHIPPED_CONTEXTS.parent)), plan_controls(run, store)
    assert [trial.row.test for trial in after.trials] == [trial.row.test for trial in before.trials]
    assert after.begun and all(trial.finished for trial in after.trials) and len(run.controls()) == 17
    assert imported(RunStore(store.root / "third"), exported(run)).run.controls()  # from hand to hand


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda files, name: files.pop(f"{name}/status.json"), "status.json."),
        (lambda files, name: files.update({f"{name}/config.json": b"{"}), "config.json is damaged"),
        (lambda files, name: files.update({f"{name}/config.json": b'{"seed": "x"}'}), "settings cannot be used"),
        (lambda files, name: files.update({f"{name}/status.json": b'{"state": "running"}'}), "has not finished"),
        (lambda files, name: files.update({f"{name}/status.json": b'{"state": "finished"}'}), "has not finished"),
        (
            lambda files, name: files.update({f"{name[:-4]}{number:04x}/config.json": b"" for number in range(1001)}),
            "at most 1,000",
        ),
    ],
)
def test_a_run_with_a_control_that_is_none_is_rejected(source, store, change, reason):
    shipped = contents(exported(Run(SHIPPED_CONTEXTS)))
    files = contents(exported(source)) | {name: file for name, file in shipped.items() if name.startswith("controls/")}
    change(files, next(name for name in files if name.startswith("controls/")).rpartition("/")[0])
    assert reason in refusal(store, zipped(files))


def test_results_that_an_earlier_version_cached_are_imported(store):
    earlier = {
        "policies": torch.zeros(6, 359, dtype=torch.uint8),
        "silenced": torch.zeros(4, 3, 359, dtype=torch.uint8),
    }
    files = {f"{what}-best.safetensors": save({"changed": each}, {"epoch": "8"}) for what, each in earlier.items()}
    run = imported(store, zipped(contents(exported(Run(SHIPPED_DIGITS))) | files)).run
    assert all((run.path / name).is_file() for name in files)


def test_an_imported_copy_of_a_shipped_run_is_not_protected(store):
    shipped = Run(SHIPPED_DIGITS)
    run = imported(store, exported(shipped)).run
    assert shipped.shipped and not run.shipped and run.card() == ""
    move_to_trash(run)


def shortened(archive):
    """Return the archive as it was when the run had one epoch."""
    shorter = changed(archive, "status.json", lambda status: status.update(epoch=1, state="stopped"))
    return zipped(contents(shorter) | {"metrics.jsonl": contents(archive)["metrics.jsonl"].splitlines()[0]})


def test_a_run_gets_a_new_id_if_its_own_is_in_use_or_in_the_trash(source, store):
    archive = exported(source)
    first, second = imported(store, archive).run, imported(store, shortened(archive))
    assert second.new and second.original_id == first.id != second.run.id and second.run.id in second.sentence
    move_to_trash(first)
    again = imported(store, archive)
    assert again.new and again.run.id != first.id and len(store.list()) == 2


def test_a_run_in_the_store_is_not_imported_again(source, store):
    archive = exported(source)
    first = imported(store, archive).run
    first.annotate(Notes("renamed since"))
    before = sorted(store.root.rglob("*"))
    again = imported(store, archive)
    assert not again.new and again.run.id == first.id and sorted(store.root.rglob("*")) == before
    assert again.sentence == "You already have “renamed since”. Nothing was imported."
    assert not imported(RunStore(source.path.parent), archive).new  # where it was trained
    first.path.rename(store.root / "20260101-000000-abcd")  # as if its ID had been in use
    assert "“renamed since” as run 20260101-000000-abcd." in imported(store, archive).sentence


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.json", lambda config: config.update(seed=7)),
        ("config.json", lambda config: config.update(created="2020-01-01T00:00:00+00:00")),
        ("config.json", lambda config: config["dataset"].update(fingerprint="other images")),
    ],
)
def test_another_run_with_the_same_id_is_imported(source, store, name, change):
    first = imported(store, exported(source)).run
    other = imported(store, changed(exported(source), name, change))
    assert other.new and other.run.id != first.id and len(store.list()) == 2


def test_a_damaged_run_does_not_keep_its_own_export_out(source, store):
    archive = exported(source)
    imported(store, archive).run.checkpoints.path("best").write_bytes(b"")
    assert imported(store, archive).new


def test_runs_without_epochs_are_the_same_only_if_their_ids_are(store):
    first = RunStore().create(build_settings("quick", "digits", TINY), "quick", "only settings")
    first.write_status(Status().changed(state="failed"))
    archive = exported(first)
    other = changed(archive, "export.json", lambda manifest: manifest.update(run="20260101-000000-abcd"))
    assert imported(store, archive).new and imported(store, other).new and not imported(store, archive).new


def test_a_run_that_never_trained_can_be_imported(store):
    run = RunStore().create(build_settings("quick", "digits", TINY), "quick", "only settings")
    run.write_status(Status().changed(state="failed", error="x"))
    assert imported(store, exported(run)).run.title == "only settings"


@pytest.mark.parametrize("state", ["queued", "running", "stopping", "stopped"])
def test_an_unfinished_run_cannot_be_resumed_after_an_import(source, store, state):
    archive = changed(
        exported(source), "status.json", lambda status: status.update(state=state, pid=os.getpid(), host="x")
    )
    run = imported(store, archive).run
    assert run.state == ("stopped" if state == "stopped" else "interrupted") and not can_resume(run)
    assert "resume.pt" in resume_fault(run)


def test_a_folder_that_cannot_be_written_gets_a_message(source, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        imported(RunStore(tmp_path / "file"), exported(source))


def test_leftovers_of_a_killed_import_are_removed_later(source, store):
    left = store.root / ".import-0123"
    left.mkdir(parents=True)
    imported(store, exported(source))
    assert left.is_dir() and len(store.list()) == 1
    os.utime(left, (0, 0))
    imported(store, exported(source))
    assert not left.exists()


def test_a_run_with_plain_blocks_is_imported_with_its_routing(tmp_path, store, monkeypatch, shared_data):
    monkeypatch.setenv("EXPERTNET_DATA", str(shared_data))
    model = {"model.num_blocks": 2, "model.expert_blocks": (2,), "model.whitened_stem": True, "model.channels": 24}
    run = finished(RunStore(tmp_path / "source"), **model)
    split = load_own_test_set(run)
    routed = route_test_set(run, split)
    found = cached_routing(imported(store, exported(run)).run)
    assert torch.equal(found.routing, routed.routing) and found.blocks == (2,)
    assert run.metrics()[-1]["routing_entropy"][0] is None
