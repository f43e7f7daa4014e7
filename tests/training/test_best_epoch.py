"""Which epoch is the best, when a training ends early, and what is tested then."""

import copy
from dataclasses import replace

import pytest

from expertnet.data.datasets import Dataset
from expertnet.network.evaluation import evaluate
from expertnet.network.model import ExpertNet
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import TrainingSettings
from expertnet.training.early_stop import early_end
from expertnet.training.trainer import Trainer
from tests.support.colors import TINY, epochs, trainer


def best_by_hand(lines):
    """The epoch with the highest validation accuracy; of equal ones, the one with the lowest validation loss."""
    return min(lines, key=lambda line: (-line["val_accuracy"], line["val_loss"]))["epoch"]


@pytest.mark.slow
def test_of_equally_accurate_epochs_the_best_has_the_lowest_loss_in_a_resumed_run_too(data):
    settings = {"training.epochs": 8, "training.lr": 0.01}
    states = []
    run = trainer(data, **settings)
    lines = []
    for record in run.run():
        if record.kind == "epoch":
            lines.append(record.metrics)
            states.append(copy.deepcopy(run.state_dict()))
            assert run.best["epoch"] == best_by_hand(lines)
    accuracies = [line["val_accuracy"] for line in lines]
    first = accuracies.index(max(accuracies)) + 1
    assert accuracies.count(max(accuracies)) > 1 and run.best["epoch"] != first  # else this test shows nothing
    for state in states[first - 1 : -1]:
        resumed = trainer(data, **settings)
        resumed.load_state_dict(state)
        list(resumed.run())
        assert resumed.best["epoch"] == run.best["epoch"]
    older = states[first - 1]
    del older["best"]["loss"]  # the state of an older version, which kept the first of equal epochs
    resumed = trainer(data, **settings)
    resumed.load_state_dict(older)
    list(resumed.run())
    assert resumed.best["epoch"] == first


def test_best_is_by_validation_accuracy_and_its_weights_are_tested(data):
    run = trainer(data)
    records = list(run.run())
    assert run.best["epoch"] == best_by_hand(epochs(records))
    run.model.load_state_dict(run.best["weights"])
    result = evaluate(run.model, data.test, data.info.mean, data.info.std)
    assert result.accuracy == records[-1].test["test_accuracy"]
    assert result.confusion.sum() == len(data.test) and result.routing.shape == (60, 2, 3)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_final_figures_are_in_float32_whatever_the_training_computes_in(data, share):
    """So that the test figures of a run are those that `evaluate` prints."""
    data = replace(data, validation=data.validation if share else data.test)
    run = trainer(data, **{"hardware.precision": "bf16", "data.flip": "on", "data.validation_share": share})
    records = list(run.run())
    net = ExpertNet(run.settings.model, 2)
    net.load_state_dict(run.best["weights"])
    result = evaluate(net, data.test, data.info.mean, data.info.std, mirrored=True)
    assert records[-1].test == {
        "test_loss": result.loss,
        "test_accuracy": result.accuracy,
        "test_accuracy_mirrored": result.accuracy_mirrored,
        "test_accuracy_views": None,
    }
    if not share:  # epochs are measured in the precision of the training
        assert epochs(records)[-1]["val_loss"] != result.loss


def history(accuracies, seconds=1.0):
    return [
        {"epoch": epoch, "val_accuracy": accuracy, "seconds": seconds} for epoch, accuracy in enumerate(accuracies, 1)
    ]


@pytest.mark.parametrize(
    ("accuracies", "patience", "epochs"),
    [
        ([0.5, 0.6, 0.6, 0.6, 0.9], 2, 4),  # the second epoch is the best, and two follow it
        ([0.5, 0.6, 0.6, 0.7, 0.6], 2, 5),
        ([0.5, 0.4, 0.3, 0.2, 0.1], 0, 5),
        ([0.5, 0.4, 0.3, 0.2, 0.1], 1, 2),
    ],
)
def test_patience_ends_it_after_so_many_epochs_without_a_better_one(accuracies, patience, epochs):
    training = TrainingSettings(epochs=5, patience=patience)
    ends = [early_end(training, history(accuracies[:done])) != "" for done in range(1, 6)]
    assert (ends.index(True) + 1 if True in ends else 5) == epochs


def test_patience_does_not_wait_on_because_the_loss_still_falls(data):
    """Of equally accurate epochs, the one with the lowest loss is kept, but it is no more accurate."""
    logged = []
    settings = {"training.epochs": 30, "training.lr": 0.01, "training.patience": 3}
    run = Trainer(build_settings("quick", "colors", TINY | settings), data, log=logged.append)
    lines = epochs(run.run())
    accuracies, losses = ([line[name] for line in lines] for name in ("val_accuracy", "val_loss"))
    first = accuracies.index(max(accuracies)) + 1
    assert min(losses[first:]) < losses[first - 1]  # else this test shows nothing
    assert len(lines) == first + 3 and logged == ["Stopped early: no better validation accuracy for 3 epochs."]


def test_a_time_limit_leaves_no_epoch_that_would_exceed_it():
    training = TrainingSettings(epochs=9, max_minutes=1)
    assert [bool(early_end(training, history([0.5] * n, 20.0))) for n in (1, 2, 3, 4)] == [False, False, True, True]


def test_what_ends_early_is_tested_says_why_and_is_the_beginning_of_the_whole_training(data):
    seen: list[str] = []
    whole = Trainer(build_settings("quick", "colors", TINY), data)
    short = Trainer(build_settings("quick", "colors", TINY | {"training.max_minutes": 1e-6}), data, log=seen.append)
    first, second = (
        [record for record in trainer.run() if record.metrics or record.test] for trainer in (whole, short)
    )
    assert [record.kind for record in second] == ["epoch", "test"] and short.epoch == 1
    assert first[0].metrics["train_loss"] == second[0].metrics["train_loss"]
    assert seen == ["Stopped early: another epoch would exceed the time limit of 1e-06 minutes."]


def test_where_the_test_set_is_watched_the_last_epoch_is_the_best(data):
    watched = Dataset(data.info, data.train, data.test, data.test)
    run = trainer(watched, **{"data.validation_share": 0.0})
    records = list(run.run())
    assert run.best["epoch"] == 3
    assert records[-1].test["test_accuracy"] == epochs(records)[-1]["val_accuracy"]
