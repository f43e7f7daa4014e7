"""The places of a store: how many trainings may run at once, and what each gets of the computer."""

from contextlib import ExitStack

import pytest

from expertnet.training.lock import training_lock
from expertnet.training.place import Place
from tests.support.small import settings


def test_a_store_has_as_many_places_as_trainings_at_once(tmp_path):
    with training_lock(tmp_path, 2) as first, training_lock(tmp_path, 2) as second:
        assert (first.number, second.number) == (0, 1)
        with training_lock(tmp_path, 2) as third:
            assert third is None
    with training_lock(tmp_path, 3), training_lock(tmp_path, 3) as second:
        with training_lock(tmp_path, 3):
            pass
        with training_lock(tmp_path, 1) as lowered:  # two train still
            assert lowered is None
    with training_lock(tmp_path, 1) as again:
        assert again.number == 0


def test_a_run_takes_a_place_for_each_of_its_processes_side_by_side(tmp_path):
    with training_lock(tmp_path, 4) as one, training_lock(tmp_path, 4, 2) as two:
        assert (one.number, two.number) == (0, 1)
        with training_lock(tmp_path, 4, 2) as none, training_lock(tmp_path, 4) as last:  # one is free
            assert none is None and last.number == 3
    with ExitStack() as first:
        first.enter_context(training_lock(tmp_path, 4))
        with training_lock(tmp_path, 4):
            first.close()
            with training_lock(tmp_path, 4, 2) as beyond:  # 0, 2 and 3 are free
                assert beyond.number == 2
            with training_lock(tmp_path, 4, 3) as none:
                assert none is None


def test_a_run_with_more_processes_than_there_are_places_trains_alone(tmp_path):
    with training_lock(tmp_path, 2, 4) as wide:
        assert wide.number == 0
        with training_lock(tmp_path, 3) as none:  # the limit was raised meanwhile
            assert none is None
        with training_lock(tmp_path, 5) as fifth:
            assert fifth.number == 4
    with training_lock(tmp_path, 2), training_lock(tmp_path, 2, 4) as none:
        assert none is None


@pytest.mark.parametrize(
    ("limit", "runs"), [(4, (2, 1, 1)), (4, (1, 2, 1)), (8, (1, 4, 2, 1)), (8, (8,)), (1, (8,)), (3, (8,))], ids=str
)
def test_runs_with_one_process_and_several_share_no_gpu(tmp_path, monkeypatch, limit, runs):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    chosen, places = [], []
    with ExitStack() as held:
        for count in runs:
            place = held.enter_context(training_lock(tmp_path, limit, count))
            mine = [place.divided(process, count) for process in range(count)] if count > 1 else [place]
            own = settings(**{"hardware.device": "auto", "hardware.processes": count})
            places += mine
            chosen += [one.chosen(own).hardware.device for one in mine]
    assert chosen == [f"cuda:{number}" for number in range(sum(runs))]
    assert sum(place.threads for place in places) <= 16


def test_a_place_gets_its_share_of_the_threads_and_one_of_several_gpus(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    devices = {
        asked: [Place(number, 3).chosen(settings(**{"hardware.device": asked})).hardware.device for number in range(3)]
        for asked in ("auto", "cuda", "cuda:1", "cpu")
    }
    assert devices["auto"] == devices["cuda"] == ["cuda:0", "cuda:1", "cuda:0"]
    assert devices["cuda:1"] == ["cuda:1"] * 3 and devices["cpu"] == ["cpu"] * 3
    assert Place(0, 3).threads == 2 and Place(0, 16).threads == 1 and Place().threads is None
    assert Place().chosen(settings(**{"hardware.device": "auto"})).hardware.device == "auto"
