"""Training: repeatable, resumable to the bit, stoppable, and honest about what it measured."""

import copy
import itertools
import math
import os
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist

from expertnet.data.augment import normalize
from expertnet.data.datasets import Dataset
from expertnet.data.info import DatasetInfo
from expertnet.data.splits import Split, epoch_order
from expertnet.errors import RunError, TrainingError
from expertnet.network.evaluation import evaluate
from expertnet.network.model import ExpertNet
from expertnet.network.stem import whitening_kernels
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import DataSettings, TrainingSettings
from expertnet.training import allocation
from expertnet.training.early_stop import early_end
from expertnet.training.optim import learning_rate
from expertnet.training.parallel import Group
from expertnet.training.trainer import Trainer
from expertnet.utils.devices import available_threads

TINY = {
    "model.num_blocks": 2,
    "model.channels": 8,
    "model.reduction": 2,
    "model.pool_after": (1,),
    "training.batch_size": 16,
    "training.epochs": 3,
    "data.image_size": 8,
    "data.crop_padding": 1,
    "hardware.device": "cpu",
}


def two_colors(n, seed):
    """Images whose class is whether they are more red or more blue, with noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (n,), generator=generator)
    images = torch.randint(0, 120, (n, 3, 8, 8), generator=generator)
    images[torch.arange(n), labels * 2] += 80
    return Split(images.to(torch.uint8), labels)


@pytest.fixture
def data():
    info = DatasetInfo(
        name="colors",
        classes=("red", "blue"),
        mean=(0.35, 0.25, 0.35),
        std=(0.2, 0.15, 0.2),
        image_size=8,
        fingerprint="x",
    )
    return Dataset(info, two_colors(100, 1), two_colors(40, 2), two_colors(60, 3))


def trainer(data, **overrides):
    return Trainer(build_settings("quick", overrides=TINY | overrides), data, threads=1)


def epochs(records):
    return [
        {k: v for k, v in r.metrics.items() if k not in ("seconds", "images_per_second")}
        for r in records
        if r.kind == "epoch"
    ]


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


ALL = {  # everything that a resumed run must remember
    "training.optimizer": "muon",
    "training.ema": 0.9,
    "training.temperature": 30.0,
    "training.temperature_share": 0.9,
    "training.decay_all": False,
    "data.flip": "on",
    "data.alternating_flip": True,
    "data.mixup": 0.5,
    "data.cutmix": 1.0,
    "model.residual": True,
    "model.widths": (8, 12),
    "training.expert_dropout": 0.3,
    "data.resolutions": (4, 6, 8),
}


FAST = {
    "training.optimizer": "muon_sgd",
    "training.momentum": 0.6,
    "training.bias_lr_share": 0.1,
    "data.crop_fill": "reflect",
    "model.whitened_stem": True,
    "model.dirac": True,
    "model.head": "max",
    "model.norm_scale": False,
    "model.norm_momentum": 0.4,
    "model.activation": "gelu",
    "model.channels": 24,
    "model.expert_blocks": (2,),
}


TOP_1 = {"model.top_k": 1, "model.balance": 0.1, "training.optimizer": "sgd", "training.momentum": 0.5}
KERNELS = {"model.mixing": "kernels", "model.router_output": "sigmoid", "training.optimizer": "muon"}
CONTROLS = {"model.routing": "random", "model.gates": "se", "training.ema": 0.9, "training.optimizer": "muon"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"training.optimizer": "adamw"}, {"training.optimizer": "sgd"}, ALL, FAST, CONTROLS, KERNELS, TOP_1],
    ids=["adamw", "sgd", "all", "fast", "controls", "kernels", "top 1"],
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


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon", "muon_sgd"])
def test_a_random_router_keeps_the_initial_weights_of_one_that_learns(data, optimizer):
    same = {"training.optimizer": optimizer, "training.weight_decay": 0.1, "training.epochs": 1, "seed": 3}
    learned = trainer(data, **same).weights()
    training = trainer(data, **same | {"model.routing": "random", "training.ema": 0.9, "training.gradient_clip": 1.0})
    assert training.weights().keys() == learned.keys()
    assert all(torch.equal(value, learned[name]) for name, value in training.weights().items())
    list(training.run())
    for weights in (training.weights(), training.weights(training.model)):
        for name, value in weights.items():
            if name.endswith("weight"):
                assert torch.equal(value, learned[name]) == (".branch." in name), name
    other = trainer(data, **same | {"seed": 4, "model.routing": "random"}).weights()
    name = "backbone.blocks.0.branch.route.weight"
    assert not torch.equal(other[name], learned[name])
    images = normalize(data.test.images, training.mean, training.std)
    assert training.evaluated.eval()(images, True)[1].std(0).min() > 0  # it depends on the image


def test_the_resolution_grows_in_equal_shares_of_the_steps_and_evaluation_is_at_the_full_one(data):
    run, trained, evaluated = trainer(data, **{"data.resolutions": (4, 6, 8)}), [], []

    def record(stem, inputs):
        (trained if stem.training else evaluated).append(inputs[0].shape[-1])

    run.model.stem.register_forward_pre_hook(record)
    list(run.run())
    assert trained == [4] * 6 + [6] * 6 + [8] * 6
    assert set(evaluated) == {8}


def test_the_bias_of_a_whitened_stem_learns_for_three_epochs_however_often_a_run_is_prolonged(data):
    state, biases = None, []
    for total in (2, 4, 5):
        made = trainer(data, **FAST | {"training.epochs": total, "training.lr": 0.01})
        if state is not None:
            made.load_state_dict(state)
        for record in made.run():
            if record.kind == "epoch":
                state = made.state_dict()
                biases.append(state["weights"]["stem.conv.bias"])
    changed = [not torch.equal(before, after) for before, after in itertools.pairwise(biases)]
    assert changed == [True, True, False, False]


def test_a_whitened_stem_whitens_the_training_images_and_only_its_bias_learns(data):
    run = trainer(data, **FAST | {"data.flip": "on", "data.six_views": True, "training.epochs": 2})
    before = run.weights()
    images = normalize(data.train.images, run.mean, run.std)
    torch.testing.assert_close(before["stem.conv.weight"], whitening_kernels(images))
    records = list(run.run())
    after = run.weights()
    assert torch.equal(before["stem.conv.weight"], after["stem.conv.weight"])
    assert not torch.equal(before["stem.conv.bias"], after["stem.conv.bias"])
    line, test = epochs(records)[-1], records[-1].test
    assert line["routing_entropy"][0] is line["routing_information"][0] is None and line["routing_entropy"][1] > 0
    assert line["expert_usage"][0] == [1, 0, 0]
    assert test["test_accuracy"] > 0.9 and test["test_accuracy_views"] > 0.9


@pytest.mark.parametrize("warms_up", [True, False])
def test_averaged_weights_are_those_evaluated(data, warms_up):
    """Against the average on paper: the first step's weights, then moved towards the new ones, at first in large steps."""
    run, expected, steps = trainer(data, **{"training.ema": 0.9, "training.epochs": 1}), None, 0
    if not warms_up:
        run.load_state_dict(
            {k: v for k, v in run.state_dict().items() if k != "average_warms_up"}
        )  # of an older version
    for record in run.run():
        if record.kind == "step":
            now = run.model.classifier.head.weight.detach().clone()
            decay = min(0.9, (1 + steps) / (10 + steps)) if warms_up else 0.9
            expected = now if expected is None else decay * expected + (1 - decay) * now
            steps += 1
        if record.kind == "epoch":
            break
    torch.testing.assert_close(run.weights()["classifier.head.weight"], expected)
    assert not torch.equal(run.weights()["classifier.head.weight"], run.model.classifier.head.weight)


def test_a_short_run_learns_with_strong_averaging(data):
    """With 0.99, an average that moves at one rate would still be close to the first of these 60 steps."""
    run = trainer(data, **{"training.ema": 0.99, "training.epochs": 10})
    accuracies = [line["val_accuracy"] for line in epochs(run.run())]
    assert accuracies[-1] > 0.8, accuracies


def test_the_temperature_falls_to_one_and_is_saved_as_it_was_evaluated(data):
    run = trainer(data, **{"training.temperature": 30.0, "training.temperature_share": 0.5, "training.ema": 0.9})
    seen = []
    for record in run.run():
        if record.kind == "step":
            seen.append(run.model.backbone.blocks[0].branch.temperature.item())
            assert run.evaluated.backbone.blocks[0].branch.temperature.item() == seen[-1]
    assert (
        seen[0] > 20
        and seen == sorted(seen, reverse=True)
        and seen[len(seen) // 2 :] == [1.0] * (len(seen) - len(seen) // 2)
    )


@pytest.mark.slow
def test_mirrored_views_are_reported_beside_the_single_view(data):
    run = trainer(data, **{"data.flip": "on"})
    test = list(run.run())[-1].test
    assert 0.5 < test["test_accuracy_mirrored"] <= 1  # of a task in which left and right do not matter
    net = run.evaluated.eval()
    images = normalize(data.test.images, run.mean, run.std)
    with torch.no_grad():
        both = net(images) + net(images.flip(3))
    by_hand = (both.argmax(1) == data.test.labels).float().mean().item()
    result = evaluate(net, data.test, data.info.mean, data.info.std, mirrored=True)
    assert result.accuracy_mirrored == pytest.approx(by_hand)
    assert list(trainer(data, **{"data.flip": "off"}).run())[-1].test["test_accuracy_mirrored"] is None


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
    best = [max(range(done), key=lambda epoch: (accuracies[epoch], -epoch)) + 1 for done in range(1, 6)]
    ends = [early_end(training, done, best[done - 1], [1.0] * done) != "" for done in range(1, 6)]
    assert (ends.index(True) + 1 if True in ends else 5) == epochs


def test_a_time_limit_leaves_no_epoch_that_would_exceed_it():
    training = TrainingSettings(epochs=9, max_minutes=1)
    assert [bool(early_end(training, n, n, [20.0] * n)) for n in (1, 2, 3, 4)] == [False, False, True, True]


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


def test_a_loss_that_is_not_finite_ends_it_with_what_to_try(data):
    run = trainer(
        data,
        **{
            "training.lr": 10.0,
            "training.optimizer": "sgd",
            "training.warmup_share": 0.0,
            "hardware.precision": "fp32",
        },
    )
    with torch.no_grad():
        run.model.classifier.head.weight.fill_(math.inf)
    with pytest.raises(TrainingError, match="Lower `training.lr`") as failed:
        list(run.run())
    assert failed.value.kind == "nan"


def test_running_out_of_memory_names_a_batch_that_fits(data, monkeypatch):
    run = trainer(data)

    def no_memory(*arguments, **keywords):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(run.model, "forward", no_memory)
    monkeypatch.setattr(allocation, "available_memory", lambda device: 2**40)  # not what this machine has free
    with pytest.raises(TrainingError, match="`training.batch_size` to 8 instead of 16") as failed:
        list(run.run())
    assert failed.value.kind == "memory"


def test_whoever_iterates_sees_every_step_and_evaluation_batch(data):
    kinds = [r.kind for r in itertools.islice(trainer(data).run(), 8)]
    assert kinds == ["step"] * 6 + ["evaluation", "epoch"]  # 100 images in steps of 16, the last 4 left out


class BrokenBackward(torch.autograd.Function):
    """The identity, whose gradient cannot be computed."""

    @staticmethod
    def forward(context, logits):
        return logits.clone()

    @staticmethod
    def backward(context, gradient):
        raise RuntimeError("no compiler here")


@pytest.mark.parametrize("pass_", ["forward", "backward"])
def test_compiled_falls_back_to_eager_with_a_sentence(data, monkeypatch, pass_):
    def broken(model):
        def call(*arguments):
            if pass_ == "backward":
                return BrokenBackward.apply(model(*arguments))
            raise RuntimeError("no compiler here")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    said = []
    run = Trainer(
        build_settings("quick", overrides=TINY | {"hardware.compile": "on"}), data, threads=1, log=said.append
    )
    assert epochs(run.run()) == epochs(trainer(data).run())
    assert len(said) == 1 and "continues without" in said[0]


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [("no compiler here", RunError, "Resume the run with one process"), ("gloo: closed", RuntimeError, "gloo: closed")],
)
def test_one_of_several_processes_does_not_go_on_without_compiling(data, monkeypatch, fault, kind, says):
    """The others would wait for it forever. If they have ended, that is what is said."""

    def broken(model):
        def call(*arguments):
            raise RuntimeError(fault)

        return call

    monkeypatch.setattr(torch, "compile", broken)
    chosen = build_settings("quick", overrides=TINY | {"hardware.compile": "on", "hardware.processes": 2})
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        with pytest.raises(kind, match=says):
            next(Trainer(chosen, data, threads=1, group=Group(0, 2)).run())
    finally:
        dist.destroy_process_group()


@pytest.mark.long
def test_a_process_that_has_compiled_many_networks_compiles_the_next_one_too(data, monkeypatch):
    """torch compiles only a number of networks of a class, which is 8 by default, and runs the others as they are."""
    compile, calls = torch.compile, []

    def backend(graph, inputs):
        def run(*arguments):
            calls.append(graph)
            return graph(*arguments)

        return run

    monkeypatch.setattr(torch, "compile", lambda model: compile(model, backend=backend))
    with torch._dynamo.config.patch(recompile_limit=1):
        for width in (8, 12):
            calls.clear()
            next(trainer(data, **{"hardware.compile": "on", "model.channels": width}).run())
            assert calls, width


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "compiles"),
    [({}, True), ({"training.epochs": 30}, False), ({"hardware.precision": "fp32"}, False)],
    ids=["long", "short", "float32"],
)
def test_only_long_runs_are_compiled_on_a_cpu_with_bf16(data, settings, compiles):
    long = {"model.num_blocks": 12, "model.channels": 256, "training.epochs": 10_000, "hardware.precision": "bf16"}
    run = trainer(data, **long | settings)
    assert (run.updater.forward is not run.model) == compiles


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
