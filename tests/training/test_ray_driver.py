"""What hands the queue to Ray does without a cluster."""

import time

from expertnet.store.queue import RunQueue
from expertnet.training.ray_driver import Driver
from expertnet.training.ray_executor import RayExecutor
from expertnet.utils.processes import Process
from tests.support.small import settings


def test_a_run_of_an_earlier_driver_is_dropped_once_its_computer_counts_as_dead(store):
    run, queue = store.create(settings()), RunQueue(store.root)
    queue.add(run.id)
    queue.take_for("task", lambda run: True)

    def last_seen(seconds_ago):
        process = Process(host="another-host", pid=1, process_start=1.0, heartbeat=time.time() - seconds_ago)
        run.write_status(run.status().changed(state="running", process=process))

    last_seen(20)
    driver = Driver(store.root, (1.0, 0.0), "marker")
    driver.drop_ended()
    assert run.state == "running" and queue.tasks == {"task": run.id}
    last_seen(70)
    driver.drop_ended()
    assert run.state == "interrupted" and queue.tasks  # Ray may start it again for another studio
    last_seen(130)
    driver.drop_ended()
    assert queue.tasks == {} and RayExecutor(store.root).is_done(run.id)


def test_the_runs_of_its_own_tasks_stay(store):
    driver, run, queue = Driver(store.root, (1.0, 0.0), "marker"), store.create(settings()), RunQueue(store.root)
    queue.add(run.id)
    queue.take_for("task", lambda run: True)
    run.write_status(run.status().changed(state="interrupted"))  # its node died, and Ray starts it again
    driver.drop_ended()
    assert queue.tasks == {"task": run.id}
