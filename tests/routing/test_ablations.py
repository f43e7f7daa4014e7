"""Experts ablated in two ways, against a plain pass for every expert and against results by hand."""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from expertnet.inference.predictor import load_predictor
from expertnet.network.evaluation import EVALUATION_BATCH
from expertnet.routing.ablations import ABLATIONS, ablate_all, ablation_table, class_effects, costly
from expertnet.routing.effects import KINDS, Ablations, Images
from expertnet.routing.interventions import ablated
from expertnet.routing.paired import paired_interval, together
from expertnet.routing.passes import calibration_images, estimated
from expertnet.store.run import Run
from tests.support.lab import fitted, measured_images, predictor, random_split, saved_run
from tests.support.served import ROOT


def test_switched_off_as_shipped_equals_a_plain_pass_for_every_expert(tmp_path):
    run, images = saved_run(tmp_path / "runs"), measured_images(EVALUATION_BATCH + 40)
    effects, net = ABLATIONS.measure(run, images), predictor()
    pixels = images.evaluated.images
    for block in range(3):
        for expert in range(3):
            plain = net(pixels, {block + 1: ablated(expert)})[0].argmax(1)
            assert torch.equal(effects.shipped[block, expert], plain)
    probabilities, routing = net(pixels)
    assert torch.equal(effects.learned[0], probabilities.argmax(1))
    assert torch.allclose(effects.weights, routing.mean(0), atol=1e-6)
    assert (effects.shipped != effects.learned[0]).any()
    kept = ABLATIONS.cached(run, "validation")
    for name in ("labels", "learned", "shipped", "changed", "weights"):
        assert torch.equal(getattr(kept, name), getattr(effects, name))
    assert ABLATIONS.cached(run, "test") is None


class OneExpert(torch.nn.Module):
    """The experts of a block whose mix has one expert's part replaced by a constant."""

    def __init__(self, experts, expert, part):
        super().__init__()
        self.experts, self.expert, self.part = experts, expert, part

    def forward(self, x, weights):
        outputs = torch.stack(list(self.experts.parts(x)), 1) * weights[:, :, None, None, None]
        return outputs.sum(1) - outputs[:, self.expert] + self.part


def mean_part(control, calibration, block, expert):
    """The mean over these images of an expert's weight times its output, channel by channel and place by place."""
    found = []
    experts = control.blocks[block - 1].experts
    hook = experts.register_forward_pre_hook(lambda _, given: found.append(given))
    control.model(calibration)
    hook.remove()
    x, weights = found[0]
    return (list(experts.parts(x))[expert] * weights[:, expert, None, None, None]).mean(0)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("kind", ["zero", "mean"])
@pytest.mark.parametrize(("block", "expert"), [(1, 0), (2, 1), (3, 2)])
def test_ablations_equal_a_network_whose_later_norms_are_estimated_under_the_change(kind, block, expert):
    net, images = fitted(predictor()), measured_images()
    effects = ablate_all(net, images)
    calibration, _ = calibration_images(net, images.training)
    pixels = net.normalized(images.evaluated.images)
    for answers in (effects.learned[1], effects.changed[0], effects.changed[1]):
        assert 0.1 < answers.double().mean() < 0.9  # both classes
    assert (effects.changed[0] != effects.changed[1]).any()
    assert torch.equal(effects.learned[1], estimated(net, calibration).model(pixels).argmax(1))
    changed = estimated(net, calibration)
    changes = {block: ablated(expert)} if kind == "zero" else {}
    if kind == "mean":
        part, chosen = mean_part(changed, calibration, block, expert), changed.blocks[block - 1]
        chosen.experts = OneExpert(chosen.experts, expert, part)
    x = changed.model.stem(calibration)
    for number in (1, 2, 3):
        x, _ = changed.block(number, x, changes.get(number), estimate=number > block)
    answers = changed.model(pixels, changes=changes).argmax(1)
    assert torch.equal(effects.changed[list(KINDS).index(kind), block - 1, expert], answers)


class Cost(TorchFunctionMode):
    """Adds up the multiply-adds of convolutions."""

    total = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is torch.conv2d:
            self.total += result.numel() * args[1][0].numel()
        return result


def cost(work):
    with Cost() as counted:
        work()
    return counted.total


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "evaluated", "training"),
    [("20261124-123318-dac5", 20, 72), ("20261126-095209-771e", 39, 2)],  # as 143 and 10,000 to 512
)
def test_the_ablations_of_each_network_that_ships_take_at_most_30_passes(run, evaluated, training):
    net = load_predictor(Run(ROOT / "runs" / run))
    images = Images("validation", *(random_split(count, size=net.image_size) for count in (evaluated, training)))
    assert cost(lambda: ablate_all(net, images)) <= 30 * cost(lambda: net(images.evaluated.images))


def test_ablations_take_as_many_passes_as_is_said_if_all_blocks_cost_the_same():
    net = predictor(num_blocks=5, pool_after=())
    images = Images("validation", random_split(100), random_split(50))
    passes = cost(lambda: ablate_all(net, images)) / cost(lambda: net(images.evaluated.images))
    assert passes == pytest.approx(20 + 14 / 2, rel=0.05)  # the stem costs a little, too


def test_blocks_without_experts_count_as_unchanged_and_have_no_rows(tmp_path):
    run, images = saved_run(tmp_path / "runs", expert_blocks=(2,)), measured_images()
    effects = ABLATIONS.measure(run, images)
    net = predictor(expert_blocks=(2,))
    assert torch.equal(effects.shipped[[0, 2]], effects.learned[0].expand(2, 3, -1))
    assert torch.equal(effects.changed[:, [0, 2]], effects.learned[1].expand(2, 2, 3, -1))
    for expert in range(3):
        plain = net(images.evaluated.images, {2: ablated(expert)})[0].argmax(1)
        assert torch.equal(effects.shipped[1, expert], plain)
    table = ablation_table(effects, "zero", (2,))
    assert table[["block", "expert"]].values.tolist() == [[2, 1], [2, 2], [2, 3]]
    assert table["flipped"].tolist() == [len(effects.flipped("zero", 2, expert)) for expert in (1, 2, 3)]


def test_one_expert_and_one_block_can_be_ablated_too():
    for overrides in ({"num_experts": 1}, {"num_blocks": 1}):
        effects = ablate_all(predictor(**overrides), measured_images())
        assert len(ablation_table(effects, "zero", (1,)))


def effects(weights=(0.02, 0.98)):
    labels = torch.tensor([0, 0, 1, 1])
    learned = torch.tensor([0, 0, 1, 0])
    changed = torch.tensor([[0, 0, 1, 0], [1, 1, 1, 1]])  # one block, two experts: no effect; two lost and one won
    shipped = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0]])  # one won; three lost
    return Ablations(
        "test", labels, learned.expand(2, -1), shipped[None], changed.expand(2, 1, 2, 4), torch.tensor([weights])
    )


def test_change_interval_and_flips_by_hand():
    table = ablation_table(effects(), "zero", (1,))
    assert table["accuracy"].tolist() == [0.75, 0.5]
    assert table["change"].tolist() == [0, -0.25] and table["as_shipped"].tolist() == [0.25, -0.75]
    assert (table["low"][1], table["high"][1]) == paired_interval(2, 1, 4, together(2))
    assert table["flipped"].tolist() == [0, 3]
    assert table["dead"].tolist() == [True, False]
    assert table["p"][0] == 1
    assert effects().flipped("zero", 1, 2) == [0, 1, 3]


def test_a_little_used_expert_with_an_effect_is_not_dead():
    assert ablation_table(effects((0.98, 0.02)), "zero", (1,))["dead"].tolist() == [False, False]


def test_only_effects_beyond_chance_are_costly():
    labels = torch.zeros(200, dtype=torch.int64)
    changed = labels.expand(2, 1, 3, -1).clone()
    for expert, lost in enumerate((2, 12, 30)):
        changed[..., expert, :lost] = 1
    effects = Ablations("test", labels, labels.expand(2, -1), changed[0], changed, torch.ones(1, 3) / 3)
    table = ablation_table(effects, "mean", (1,))
    assert costly(table)["expert"].tolist() == [3, 2]


def test_effects_by_class_by_hand():
    table = class_effects(effects(), "mean", ("red", "blue"))
    second = table[table["expert"] == 2].set_index("class")["change"]
    assert second.to_dict() == {"red": -1, "blue": 0.5}
    assert class_effects(effects(), "mean", ("red", "blue", "none"))["class"].nunique() == 2
