"""After a sweep: the best trial longer, and the best trials with several seeds."""

from dataclasses import replace

import pytest

from expertnet.errors import RunError, SettingsError
from expertnet.store.queue import RunQueue
from expertnet.sweeps.engine import advance
from expertnet.sweeps.findings import best_so_far
from expertnet.sweeps.follow_up import queue_repeats, repeats, repeats_table, train_longer
from expertnet.sweeps.trials import best_trials, trials_of
from expertnet.training.stop import stop_run
from tests.support.lab import COLORS
from tests.support.sweeps import done, peak, started, train


@pytest.fixture
def sweep(store):
    return done(started(store, "training.lr=1e-3,1e-2,1e-1", "model.channels=8,16"))


def test_the_best_trial_is_trained_longer_once(store, sweep):
    run = train_longer(sweep, 9)
    (best,) = best_trials(trials_of(sweep))
    settings = best.run.settings()
    longer = settings.model_copy(update={"training": settings.training.model_copy(update={"epochs": 9})})
    assert run.settings() == longer and run.state == "queued"
    assert run.title.startswith(f"Trial {best.number}, 9 epochs of ")
    assert train_longer(sweep, 9).id == run.id
    with pytest.raises(SettingsError, match="have 4 epochs already. Enter more. You entered 4."):
        train_longer(sweep, 4)


@pytest.mark.slow
def test_the_best_three_with_seeds_train_what_is_missing(store, sweep):
    queued = queue_repeats(sweep, best=3, seeds=3)
    assert len(queued) == 3 * 2 and queue_repeats(sweep, best=3, seeds=3) == []
    assert {run.settings().seed for run in queued} == {1, 2}
    for run in queued:  # each seed costs a point
        train(run, lambda values: peak(values) - 0.01 * values.seed)
    table = repeats_table(repeats(sweep, best=3, seeds=3))
    best = best_trials(trials_of(sweep), 3)
    assert table["trial"].tolist() == [trial.number for trial in best] and table["seeds"].tolist() == [3, 3, 3]
    expected = [trial.accuracy - 0.01 for trial in best]  # the mean of 0, 1 and 2 points less
    assert table["validation"].tolist() == pytest.approx(expected) == table["test"].tolist()
    assert table["validation sd"].tolist() == pytest.approx([0.01] * 3)


def test_a_repeat_that_was_cut_off_goes_on(store, sweep):
    queued = queue_repeats(sweep, best=1, seeds=3)
    longer, before = train_longer(sweep, 9), len(store.list())
    for run in (*queued, longer):
        RunQueue(store.root).remove(run.id)
        run.write_status(run.status().changed(state="interrupted"))
    again = queue_repeats(sweep, best=1, seeds=3)
    assert [run.id for run in again] == [run.id for run in queued] and train_longer(sweep, 9).id == longer.id
    assert len(store.list()) == before and all(run.state == "queued" for run in (*queued, longer))


def test_only_repeats_on_the_images_of_the_trial_count(store, sweep):
    (best,) = best_trials(trials_of(sweep))
    best.run.write_config(best.run.config() | {"dataset": COLORS.to_dict()})
    _, repeat = repeats(sweep, best=1, seeds=2)
    others = replace(COLORS, fingerprint="others-8px-v2")
    train(store.create(repeat.settings, own=others), lambda values: 0.2)
    assert repeats(sweep, best=1, seeds=2)[1].row is None
    train(store.create(repeat.settings, own=COLORS), lambda values: 0.7)
    train(store.create(repeat.settings, own=others), lambda values: 0.2)
    assert repeats(sweep, best=1, seeds=2)[1].row.test == 0.7


def test_a_trial_that_the_user_stopped_follows_if_it_is_called_the_best(store):
    sweep = started(store, "training.lr=1e-3,1e-2,1e-1", sampler="grid")
    (first,) = advance(sweep)
    train(first, lambda values: 0.5)
    (second,) = advance(sweep)
    train(second, lambda values: 1.0, after_epoch=lambda: second.status().epoch == 3 and stop_run(second))
    done(sweep, lambda values: 0.5)
    trials = trials_of(sweep)
    assert [(trial.state, trial.accuracy) for trial in trials] == [
        ("finished", 0.5),
        ("stopped", 0.9),
        ("finished", 0.5),
    ]
    assert best_so_far(sweep.plan(), trials).sentence.startswith("The best is trial 2 with 90.0%")
    longer = train_longer(sweep, 9)
    assert longer.title.startswith("Trial 2, ") and longer.settings().training.lr == trials[1].values["training.lr"]
    assert [repeat.trial.number for repeat in repeats(sweep, best=2, seeds=1)] == [2, 1]
    (again,) = queue_repeats(sweep, best=2, seeds=1)  # which trains to its last epoch
    assert again.settings() == second.settings()


def test_what_cannot_follow_says_why(store, sweep):
    with pytest.raises(SettingsError, match="number of seeds must be between 1 and 30. You entered 0."):
        repeats(sweep, seeds=0)
    with pytest.raises(RunError, match="No trial of sweep .* has ended yet"):
        train_longer(started(store), 9)
