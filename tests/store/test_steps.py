"""steps.jsonl: means against answers on paper, thinned over the whole run, and what resuming and damage leave of it."""

import pytest

from expertnet.store.steps import LIMIT, STEPS_FILE, StepLog, StepPoint, read_steps

BATCH = 4


def report(log, epochs, steps, first=1, read_every=1):
    """Report a training whose loss is the number of the step, from 0, and whose steps take 0.5 s each."""
    for epoch in range(first, epochs + 1):
        before = (epoch - 1) * steps
        for step in range(1, steps + 1):
            if (step - 1) % read_every == 0 or step == steps:
                log.add(epoch, step, steps, before + (step - 1) / 2, BATCH / 0.5)


@pytest.mark.parametrize("read_every", [1, 20])
@pytest.mark.parametrize(("epochs", "steps"), [(1, 40), (3, 1000), (2000, 7)])
def test_the_points_are_few_and_cover_the_whole_run(tmp_path, epochs, steps, read_every):
    with StepLog(tmp_path, 0) as log:
        report(log, epochs, steps, read_every=read_every)
    points = read_steps(tmp_path)
    assert 1 < len(points) <= LIMIT and len((tmp_path / STEPS_FILE).read_bytes()) < 100_000
    assert points[0].epoch < epochs / 10 and points[-1].epoch > epochs * 0.99
    first = 0
    for point in points:
        assert point.loss == pytest.approx(first + (point.steps - 1) / 2)  # the mean of its steps' numbers
        assert point.images_per_second == pytest.approx(BATCH / 0.5)
        first += point.steps
    assert epochs * steps - first <= max(point.steps for point in points)  # at most one point is pending
    assert max(point.steps for point in points) <= max(read_every, 5 * epochs * steps / LIMIT)


def test_resuming_drops_the_steps_after_the_last_completed_epoch(tmp_path):
    with StepLog(tmp_path, 0) as log:
        report(log, 3, 10)
    with StepLog(tmp_path, 2):
        assert [point.epoch for point in read_steps(tmp_path)][-1] == 2
    with StepLog(tmp_path, 2) as log:
        report(log, 3, 10, first=3)
    assert [point.loss for point in read_steps(tmp_path)] == list(range(30))
    with StepLog(tmp_path, 0):  # killed before the first epoch was completed
        assert read_steps(tmp_path) == ()


def test_damaged_lines_are_left_out_and_written_no_more(tmp_path):
    with StepLog(tmp_path, 0) as log:
        report(log, 1, 3)
    file = tmp_path / STEPS_FILE
    whole = file.read_bytes()
    damaged = b'[1]\n7\n{"epoch": 1, "steps": 0, "loss": 1, "images_per_second": 1}\n{"epoch": 0.5, "ste'
    file.write_bytes(whole + damaged)
    assert [point.loss for point in read_steps(tmp_path)] == [0, 1, 2]
    with StepLog(tmp_path, 1):
        assert file.read_bytes() == whole


def test_without_a_file_there_are_no_points(tmp_path):
    assert read_steps(tmp_path) == ()
    with StepLog(tmp_path, 3):
        pass
    assert not (tmp_path / STEPS_FILE).exists()


def test_a_file_that_cannot_be_written_is_written_once_it_can(tmp_path):
    (tmp_path / STEPS_FILE).mkdir()
    log = StepLog(tmp_path, 0)
    report(log, 1, 5)
    log.write()
    (tmp_path / STEPS_FILE).rmdir()
    log.write()
    assert read_steps(tmp_path)[-1] == StepPoint(1.0, 1, 4.0, BATCH / 0.5)
