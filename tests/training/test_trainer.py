"""Training: repeatable, resumable to the bit, stoppable, and honest about what it measured."""

import copy
import itertools
import math
import os
from dataclasses import replace

import pytest
import torch

from expertnet.data.augment import normalize
from expertnet.data.splits import Split, epoch_order
from expertnet.errors import SettingsError, TrainingError
from expertnet.network.evaluation import evaluate
from expertnet.settings.schema import DataSettings, TrainingSettings
from expertnet.training import allocation
from expertnet.training.optim import learning_rate
from expertnet.utils.devices import available_threads
from tests.support.colors import FAST, epochs, trainer, two_colors


def test_a_weighted_loss_counts_each_class_as_much_as_the_others(data):
    labels = torch.tensor([0] * 12 + [1] * 4)
    data = replace(data, train=Split(two_colors(16, 4).images, labels))
    plain = {"data.crop_padding": 0, "data.flip": "off", "training.epochs": 1, "hardware.precision": "fp32"}
    weighted = trainer(data, **plain, **{"data.class_balance": "weights"})
    logits = copy.deepcopy(weighted.model)(normalize(data.train.images, weighted.mean, weighted.std))
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    expected = (losses[:12].mean() + losses[12:].mean()) / 2
    assert next(weighted.run()).loss == pytest.approx(expected.item(), rel=1e-5)


def test_balanced_sampling_draws_each_class_equally_often():
    labels, data = torch.tensor([0] * 9000 + [1] * 1000), DataSettings(class_balance="sampling")
    counts = labels[epoch_order(labels, data, torch.Generator().manual_seed(0))].bincount().tolist()
    assert sum(counts) == 10_000 and counts[1] == pytest.approx(5000, abs=200)  # four standard deviations
    order = epoch_order(labels, DataSettings(), torch.Generator().manual_seed(0))
    assert torch.equal(order, torch.randperm(10_000, generator=torch.Generator().manual_seed(0)))


@pytest.mark.slow
def test_learns_measures_the_test_set_once_and_repeats(data):
    records = list(trainer(data).run())
    assert [r.kind for r in records].count("test") == 1 and records[-1].kind == "test"
    assert records[-1].test["test_accuracy"] > 0.9
    lines = epochs(records)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines == epochs(trainer(data).run())
    assert lines != epochs(trainer(data, seed=1).run())


def test_metrics_line_has_the_routing_of_the_validation_set(data):
    line = epochs(trainer(data).run())[-1]
    assert set(line) == {
        "epoch",
        "train_loss",
        "train_accuracy",
        "val_loss",
        "val_accuracy",
        "lr",
        "routing_entropy",
        "routing_information",
        "expert_usage",
    }
    assert len(line["routing_entropy"]) == 2 and all(0 <= h <= math.log(3) for h in line["routing_entropy"])
    assert all(sum(block) == pytest.approx(1) and len(block) == 3 for block in line["expert_usage"])


FLIPS = {"data.flip": "on", "data.alternating_flip": True}
ALL = {  # everything that a resumed run must remember
    "training.optimizer": "muon",
    "training.ema": 0.9,
    "training.temperature": 30.0,
    "training.temperature_share": 0.9,
    "training.decay_all": False,
    **FLIPS,
    "data.mixup": 0.5,
    "data.cutmix": 1.0,
    "model.residual": True,
    "model.pool_before_norm": False,
    "model.widths": (8, 12),
    "training.expert_dropout": 0.3,
    "data.resolutions": (4, 6, 8),
}
TOP_1 = {"model.top_k": 1, "model.balance": 0.1, "training.optimizer": "sgd", "training.momentum": 0.5}
KERNELS = {"model.mixing": "kernels", "model.router_output": "sigmoid", "training.optimizer": "muon"}
HARDEST = {"training.hardest_share": 0.5, "training.expert_dropout": 0.3, "training.ema": 0.9, **FLIPS}
CONTROLS = {"model.routing": "random", "model.gates": "se", "training.ema": 0.9, "training.optimizer": "muon"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"training.optimizer": "adamw"}, {"training.optimizer": "sgd"}, ALL, FAST, CONTROLS, KERNELS, TOP_1, HARDEST],
    ids=["adamw", "sgd", "all", "fast", "controls", "kernels", "top 1", "hardest"],
)
def test_going_on_from_a_state_gives_the_numbers_of_a_run_left_alone(data, settings, tmp_path):
    settings = settings | {"training.lr": 0.01}
    whole = trainer(data, **settings)
    expected = epochs(whole.run())
    first = trainer(data, **settings)
    for record in first.run():
        if record.kind == "epoch":
            torch.save(first.state_dict(), tmp_path / "state.pt")
            break
    second = trainer(data, **settings)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert epochs(second.run()) == expected[1:]
    assert all(torch.equal(a, b) for a, b in zip(whole.weights().values(), second.weights().values(), strict=True))


@pytest.mark.parametrize(
    ("precision", "others"),
    [("fp32", ", or set `training.gradient_clip`."), ("bf16", "`, or set `hardware.precision` to fp32.")],
)
def test_a_loss_that_is_not_finite_ends_it_with_what_to_try(data, precision, others):
    run = trainer(
        data,
        **{
            "training.lr": 10.0,
            "training.optimizer": "sgd",
            "training.warmup_share": 0.0,
            "hardware.precision": precision,
        },
    )
    with torch.no_grad():
        run.model.classifier.head.weight.fill_(math.inf)
    with pytest.raises(TrainingError, match="Lower `training.lr`") as failed:
        list(run.run())
    assert failed.value.kind == "nan" and str(failed.value).endswith(others)


def test_running_out_of_memory_names_a_batch_that_fits(data, monkeypatch):
    run = trainer(data)

    def no_memory(*arguments, **keywords):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(run.model, "forward", no_memory)
    monkeypatch.setattr(allocation, "available_memory", lambda device: 2**40)  # not what this machine has free
    with pytest.raises(TrainingError, match="`training.batch_size` to 8 instead of 16") as failed:
        list(run.run())
    assert failed.value.kind == "memory"


def test_a_batch_of_all_images_is_named_with_a_smaller_one_that_fits(data, monkeypatch):
    """Of 100 images, a batch of 2000 has 100, so 64 are fewer and 1024 are not."""
    run = trainer(data, **{"training.batch_size": 2000})
    monkeypatch.setattr(run.model, "forward", lambda *arguments: torch.empty(2**60))
    monkeypatch.setattr(allocation, "available_memory", lambda device: 2**40)
    with pytest.raises(TrainingError, match="`training.batch_size` to 64 instead of 2000"):
        list(run.run())


def test_too_few_images_for_batch_norm_are_refused_with_what_to_do(data):
    pixel = {"model.num_blocks": 4, "model.pool_after": (1, 2, 3), "training.hardest_share": 0.5}
    with pytest.raises(SettingsError, match="with 3 training images a step has one image and `model.pool_after`"):
        trainer(replace(data, train=two_colors(3, 1)), **pixel)
    assert epochs(trainer(replace(data, train=two_colors(4, 1)), **pixel).run())


def test_whoever_iterates_sees_every_step_and_evaluation_batch(data):
    kinds = [r.kind for r in itertools.islice(trainer(data).run(), 8)]
    assert kinds == ["step"] * 6 + ["evaluation", "epoch"]  # 100 images in steps of 16, the last 4 left out


def test_schedules_against_answers_on_paper():
    cosine = TrainingSettings(lr=2.0)
    assert [learning_rate(cosine, done) for done in (0, 0.5, 1)] == pytest.approx([2, 1, 0])
    one_cycle = TrainingSettings(lr=2.0, schedule="one_cycle", warmup_share=0.2)
    assert [learning_rate(one_cycle, done) for done in (0, 0.1, 0.2, 0.6, 1)] == pytest.approx([0, 1, 2, 1, 0])


def test_evaluation_against_plain_arithmetic(data):
    run = trainer(data)
    result = evaluate(run.model, data.test, data.info.mean, data.info.std)
    mean, std = (torch.tensor(v)[:, None, None] for v in (data.info.mean, data.info.std))
    run.model.eval()
    logits = run.model((data.test.images / 255 - mean) / std).detach()
    assert result.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, data.test.labels).item(), rel=1e-5)
    for true, guessed in itertools.product(range(2), repeat=2):
        assert result.confusion[true, guessed] == ((data.test.labels == true) & (logits.argmax(1) == guessed)).sum()


@pytest.mark.parametrize("asked", ["", "0", "many"])
def test_as_many_threads_as_omp_num_threads_asks_for(monkeypatch, asked):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert available_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert available_threads() == len(os.sched_getaffinity(0))
