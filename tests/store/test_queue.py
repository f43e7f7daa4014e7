"""The queue on disk: its order, who may take what, and what it makes of damaged files."""

import json
import os
import subprocess
import sys

import psutil
import pytest

from expertnet.errors import RunError
from expertnet.store.queue import RunQueue
from expertnet.utils.processes import process_facts, this_process
from tests.support.hosts import on_another_host
from tests.support.served import ROOT

DEAD = this_process().model_copy(update={"pid": 2**22 + 1})


def filled(root, *names):
    queue = RunQueue(root)
    for name in names:
        queue.add(name)
    return queue


def test_order_moves_and_removal(tmp_path):
    queue = filled(tmp_path, "a", "b", "c", "d")
    queue.move_up("c")
    assert queue.ids() == ["a", "c", "b", "d"]
    queue.run_next("d")
    assert queue.ids() == ["d", "a", "c", "b"]
    queue.move_up("d")
    queue.move_up("gone")
    assert queue.ids() == ["d", "a", "c", "b"]
    assert queue.remove("a") and not queue.remove("a")
    queue.add("c")  # is there already: keeps its place
    assert RunQueue(tmp_path).ids() == ["d", "c", "b"]


def test_taking_is_from_the_head_and_not_while_paused(tmp_path):
    queue = filled(tmp_path, "a", "b")
    queue.pause(True)
    assert queue.head() is None and not queue.take("a") and queue.ids() == ["a", "b"]
    queue.pause(False)
    assert queue.head().run == "a" and not queue.take("b")
    assert queue.take("a") and queue.training == ["a"] and queue.ids() == ["b"]
    queue.done("a")
    assert queue.training == []
    assert queue.take("b") and not queue.take("b") and queue.head() is None


def test_an_entry_with_an_owner_is_taken_by_it_alone_and_falls_with_it(tmp_path):
    queue = RunQueue(tmp_path)
    queue.add("theirs", process_facts(psutil.Process().parent().pid))
    queue.add("mine", this_process().beating())
    assert queue.ids() == ["theirs", "mine"] and not queue.take("theirs")
    queue.remove("theirs")
    assert queue.take("mine")
    queue.add("dead", DEAD)
    assert queue.ids() == [] and queue.head() is None


def test_a_process_claims_only_what_waits_and_is_nobody_elses(tmp_path):
    queue = filled(tmp_path, "a")
    queue.add("theirs", process_facts(psutil.Process().parent().pid))
    assert not queue.claim("theirs") and not queue.claim("gone") and queue.ids() == ["a", "theirs"]
    assert queue.claim("a") and queue.claim("a") and queue.entries()[0].owner.heartbeat
    before = queue.path.read_bytes()
    assert queue.claim("a") and queue.path.read_bytes() == before  # a heartbeat of a moment ago is left alone


def test_a_process_renews_all_that_waits_for_it_and_nothing_else(tmp_path):
    queue, parent = filled(tmp_path, "nobody's"), process_facts(psutil.Process().parent().pid)
    for name, owner in (("theirs", parent), ("mine", this_process()), ("mine too", this_process())):
        queue.add(name, owner.model_copy(update={"heartbeat": 1.0}))
    queue.renew()
    fresh = {entry.run: entry.owner and entry.owner.is_fresh for entry in queue.entries()}
    assert fresh == {"nobody's": None, "theirs": False, "mine": True, "mine too": True}


def test_a_run_taken_by_a_process_that_died_trains_no_more(tmp_path):
    queue = filled(tmp_path, "a")
    queue.take("a")
    whole = json.loads(queue.path.read_text())
    queue.path.write_text(json.dumps(whole | {"training": {"run": "a", "owner": DEAD.model_dump()}}))
    assert queue.training == []


def test_a_damaged_queue_is_empty_and_takes_new_runs(tmp_path):
    for text in (
        "",
        "[]",
        "{",
        '{"waiting": 3}',
        '{"waiting": [1]}',
        '{"waiting": [{"run": "a", "owner": 3}]}',
        '{"training": "x"}',
    ):
        (tmp_path / "queue.json").write_text(text)
        queue = RunQueue(tmp_path)
        assert queue.ids() == [] and queue.training == [] and not queue.paused
        queue.add("b")
        assert queue.ids() == ["b"]
        queue.path.unlink()


ADD_MANY = """
import sys
from pathlib import Path
from expertnet.store.queue import RunQueue
for number in range(25):
    RunQueue(Path(sys.argv[1])).add(f"{sys.argv[2]}{number}")
"""


@pytest.mark.slow
def test_processes_that_add_at_once_lose_nothing(tmp_path):
    processes = [subprocess.Popen([sys.executable, "-c", ADD_MANY, tmp_path, name], cwd=ROOT) for name in "ab"]
    assert [process.wait(300) for process in processes] == [0, 0]
    ids = RunQueue(tmp_path).ids()
    assert sorted(ids) == sorted(f"{name}{number}" for name in "ab" for number in range(25))
    assert [i for i in ids if i[0] == "a"] == [f"a{number}" for number in range(25)]


@pytest.mark.slow
def test_another_host_sees_what_trains_here_and_leaves_what_waits_here_its_place(tmp_path):
    queue = filled(tmp_path, "trains", "waits")
    assert queue.take("trains") and queue.claim("waits")
    taken = json.loads(queue.path.read_text())
    taken["training"][0]["owner"]["heartbeat"] -= 1000  # only the status of a run that trains is written all the time
    queue.path.write_text(json.dumps(taken))
    seen = on_another_host(
        "import sys; from pathlib import Path; from expertnet.store.queue import RunQueue; "
        "queue = RunQueue(Path(sys.argv[1])); queue.add('theirs'); print(*queue.training, *queue.ids())",
        tmp_path,
    )
    assert seen == ["trains", "waits", "theirs"] and queue.ids() == ["waits", "theirs"]


def test_several_runs_train_at_once_each_in_a_place_of_its_own(tmp_path):
    queue = filled(tmp_path, "a", "b", "c")
    assert queue.limit == 1
    queue.set_limit(2)
    assert queue.take("a", 0) and queue.take("b", 1) and queue.training == ["a", "b"]
    queue.done("a")
    assert queue.take("c", 1) and queue.training == ["c"]  # whoever trained "b" in this place is dead
    for wrong in (0, 1000):
        with pytest.raises(RunError, match="from 1 to"):
            queue.set_limit(wrong)
    assert RunQueue(tmp_path).limit == 2


def test_a_run_that_trains_already_is_not_trained_twice_and_holds_up_no_other(tmp_path):
    queue = filled(tmp_path, "a")
    queue.set_limit(2)
    assert queue.take("a", 0)
    queue.add("a")  # two pages resumed it at once
    queue.add("b")
    assert not queue.take("a", 1) and queue.training == ["a"] and queue.ids() == ["b"]
    assert queue.take("b", 1)
    queue.done("a")
    queue.add("a")
    assert queue.take("a", 0) and queue.training == ["b", "a"]


def test_only_what_must_outlive_a_power_cut_waits_for_the_disk(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(handle), fsync(handle)))

    def waits(change):
        synced.clear()
        change()
        return bool(synced)

    queue, me = RunQueue(tmp_path), this_process().beating()
    assert not waits(lambda: queue.add("mine", me))
    assert not waits(lambda: queue.take("mine")) and not waits(lambda: queue.done("mine"))
    assert waits(lambda: queue.add("anyone's")) and waits(lambda: queue.add("mine", me))
    assert waits(lambda: queue.remove("anyone's")) and not waits(lambda: queue.remove("mine"))
    assert waits(lambda: queue.pause(True)) and waits(lambda: queue.pause(False))
    queue.add("for a cluster")
    queue.take_for("task", lambda run: True)
    assert waits(lambda: queue.add("mine", me))
