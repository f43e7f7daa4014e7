"""What the Train page says to expect of a run before it starts."""

from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.training import place
from expertnet.training.manager import manager
from expertnet.ui.train import expectation
from expertnet.utils.processes import this_process
from tests.support.form import form
from tests.support.opening import opened, written


def steps_text(test):
    """Return what stands beside the button that starts."""
    return next(mark.value for mark in test.markdown if " steps" in mark.value)


def timed_as(monkeypatch, seconds):
    """Let every image take so many seconds in the steps that are timed. Returns the batch sizes and threads that were timed."""
    asked = []

    def timed(settings, threads, _):
        asked.append((settings.training.batch_size, threads))
        return seconds

    monkeypatch.setattr(expectation, "seconds_per_image", timed)
    return asked


def test_without_a_run_to_go_by_a_few_timed_steps_give_a_rough_range(monkeypatch):
    asked = timed_as(monkeypatch, 0.03)
    test = form("none", **{"data.image_size": "24", "hardware.device": "cpu"})
    while "estimating" in steps_text(test):
        test.run()
    # 12 epochs of 1,294 images take 466 s by the steps, and from half to one and a half times as long
    assert steps_text(test) == ":small[120 steps · roughly 3 to 12 min on this computer]"
    assert next(mark.help for mark in test.markdown if "120 steps" in mark.value).endswith("from a few steps.")
    test.number_input(key="field 1 training.epochs").set_value(24).run()
    assert "240 steps · roughly 7 to 24 min" in steps_text(test)
    for epochs, said in ((9, "roughly 2 to 9 min"), (240, "roughly 1 to 4 h")):
        test.number_input(key="field 1 training.epochs").set_value(epochs).run()
        assert said in steps_text(test)
    assert len(asked) == 1  # the network is the same


def test_smaller_batches_and_another_number_of_threads_are_timed_anew(monkeypatch):
    monkeypatch.setattr(expectation, "available_threads", lambda: 4)
    monkeypatch.setattr(place, "available_threads", lambda: 4)
    asked = timed_as(monkeypatch, 0.03)
    query = {"data.image_size": "20", "hardware.device": "cpu"}
    for batch_size, at_once in ((128, 1), (16, 1), (128, 2), (256, 1)):
        manager().set_limit(at_once)
        test = opened("train", "none", **query, **{"training.batch_size": str(batch_size)})
        while "estimating" in steps_text(test):
            test.run()
        assert "roughly" in steps_text(test)
    assert asked == [(128, 4), (16, 4), (128, 2)]  # a step of 128 or more is timed with fewer images


def test_the_time_of_a_run_counts_more_than_that_of_a_few_steps(monkeypatch):
    asked = timed_as(monkeypatch, 0.03)
    run = written(RunStore(), **{"data.image_size": "40", "hardware.device": "cpu"})  # 2 seconds an epoch
    run.write_config(run.config() | {"dataset": {"name": "digits", "images": 1294}})
    run.write_status(run.status().changed(device="CPU, 2 threads", process=this_process()))
    test = opened("train", "none", **{"data.image_size": "40", "hardware.device": "cpu"})
    assert not asked and "about 20 s on this computer" in steps_text(test)


def test_no_steps_are_timed_beside_a_run_that_waits_and_disturbed_ones_give_no_range(monkeypatch):
    asked = timed_as(monkeypatch, float("inf"))
    manager().pause(True)
    manager().submit(build_settings("quick", "digits", {"hardware.device": "cpu"}))
    query = {"data.image_size": "48", "hardware.device": "cpu"}
    assert steps_text(opened("train", "none", **query)) == ":small[120 steps]" and not asked
    manager().stop(manager().waiting()[0])
    test = opened("train", "none", **query)
    while "estimating" in steps_text(test):
        test.run()
    assert steps_text(test) == ":small[120 steps · this computer was too busy for an estimate]" and len(asked) == 1
    monkeypatch.setattr(expectation, "AGAIN", 0.0)  # long ago
    asked = timed_as(monkeypatch, 0.03)
    while "too busy" in steps_text(test) or "estimating" in steps_text(test):
        test.run()
    assert "roughly" in steps_text(test) and len(asked) == 1
