"""The queue on disk: its order, who may take what, and what it makes of damaged files."""

import json
import multiprocessing

import psutil

from expertnet.store.queue import RunQueue
from expertnet.utils.processes import process_facts, this_process

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
    assert queue.take() is None and queue.ids() == ["a", "b"]
    queue.pause(False)
    assert queue.take("b") is None
    assert queue.take() == "a" and queue.training == "a" and queue.ids() == ["b"]
    queue.done()
    assert queue.training is None
    assert queue.take("b") == "b" and queue.take() is None


def test_an_entry_with_an_owner_is_taken_by_it_alone_and_falls_with_it(tmp_path):
    queue = RunQueue(tmp_path)
    queue.add("mine", this_process())
    queue.add("any")
    assert queue.take() is None  # the head is another's
    assert queue.take("mine") == "mine"
    queue.add_first("theirs", DEAD)
    assert queue.ids() == ["any"] and queue.take() == "any"


def test_a_run_taken_by_a_process_that_died_trains_no_more(tmp_path):
    queue = filled(tmp_path, "a")
    queue.take()
    whole = json.loads(queue.path.read_text())
    queue.path.write_text(json.dumps(whole | {"training": {"run": "a", "owner": DEAD.model_dump()}}))
    assert queue.training is None


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
        assert queue.ids() == [] and queue.training is None and not queue.paused
        queue.add("b")
        assert queue.ids() == ["b"]
        queue.path.unlink()


def _add_many(root, name):
    for number in range(25):
        RunQueue(root).add(f"{name}{number}")


def test_processes_that_add_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add_many, args=(tmp_path, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    ids = RunQueue(tmp_path).ids()
    assert sorted(ids) == sorted(f"{name}{number}" for name in "ab" for number in range(25))
    assert [i for i in ids if i[0] == "a"] == [f"a{number}" for number in range(25)]


def test_the_facts_of_another_process(tmp_path):
    parent = psutil.Process().parent()
    queue = RunQueue(tmp_path)
    queue.add("theirs", process_facts(parent.pid))
    assert queue.ids() == ["theirs"] and queue.take() is None
