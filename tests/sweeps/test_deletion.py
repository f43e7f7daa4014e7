"""Deleting a sweep: its folder goes, and nothing else."""

import pytest

from expertnet.errors import RunError
from expertnet.sweeps.deletion import delete_sweep, study_stays
from expertnet.sweeps.engine import advance, resume_sweep, stop_sweep
from expertnet.sweeps.follow_up import train_longer
from expertnet.sweeps.plan import Budget
from expertnet.sweeps.sweep import all_sweeps, find_sweep
from expertnet.utils.processes import Process
from tests.support.sweeps import done, started


def files(folder):
    """Return what is in a folder, with the contents of files. Locks and caches do not count."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return {path: path.read_bytes() for path in found if not path.name.startswith(".index")}


def test_only_the_folder_of_the_sweep_is_deleted(store):
    sweep, other = done(started(store, name="first")), done(started(store, name="second"))
    train_longer(sweep, 9)
    kept = {path: content for path, content in files(store.root).items() if sweep.path not in path.parents}
    delete_sweep(sweep)
    assert files(store.root) == kept and not sweep.path.exists()
    assert [found.id for found in all_sweeps(store)] == [other.id] and len(store.list()) == 6 + 6 + 1
    with pytest.raises(RunError, match="There is no sweep"):
        find_sweep(store, sweep.id)


@pytest.mark.parametrize("state", ["running", "stopping"])
def test_an_active_sweep_is_refused_and_stays_whole(store, state):
    sweep = started(store, name="mine")
    (run,) = advance(sweep)
    sweep.write_status(state=state)
    before = files(store.root)
    with pytest.raises(RunError, match=f"^Sweep mine is {state}. Stop it before you delete it.$"):
        delete_sweep(sweep)
    assert files(store.root) == before and run.state == "queued"


def test_a_stopped_sweep_and_one_whose_command_died_can_be_deleted(store):
    stopped, dead = started(store), started(store)
    (run,) = advance(stopped)
    stop_sweep(stopped)
    dead.write_status(owner=Process(host=run.status().host, pid=1, process_start=0.0, boot="another"))
    for sweep, state in ((stopped, "stopped"), (dead, "interrupted")):
        assert sweep.status().state == state
        delete_sweep(sweep)
    assert all_sweeps(store) == [] and run.has_settings and run.state == "stopped"


def test_a_deleted_sweep_cannot_be_resumed_by_one_who_still_knows_it(store):
    sweep = done(started(store))
    known = find_sweep(store, sweep.id)
    delete_sweep(sweep)
    with pytest.raises(RunError, match="plan.json"):
        resume_sweep(known, Budget(trials=99))
    assert not sweep.path.exists() and len(store.list()) == 6


def test_of_a_link_only_the_link_is_deleted(store, tmp_path):
    sweep = done(started(store))
    sweep.path.rename(tmp_path / "elsewhere")
    sweep.path.symlink_to(tmp_path / "elsewhere")
    before = files(tmp_path / "elsewhere")
    delete_sweep(find_sweep(store, sweep.id))
    assert not sweep.path.is_symlink() and files(tmp_path / "elsewhere") == before and before


def test_a_sweep_whose_database_is_gone_can_be_deleted(store):
    sweep = done(started(store))
    assert study_stays(sweep) == ""
    sweep.write_plan(sweep.plan().model_copy(update={"database": "postgresql+psycopg://me@gone/trials"}))
    assert study_stays(sweep) == f"Its study {sweep.id} stays in the database postgresql+psycopg://me@gone/trials."
    delete_sweep(sweep)
    assert all_sweeps(store) == [] and len(store.list()) == 6
