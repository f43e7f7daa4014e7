"""Any torch module in the lab: against the lab's own networks, timm's CondConv, and a mixture whose answers are known on paper.

The module is long because each measurement of the lab is tried on them.
"""

import math

import pytest
import torch
from torch import nn

from expertnet.data.splits import Split
from expertnet.errors import NetworkError
from expertnet.routing.ablations import ablate_all
from expertnet.routing.any_effects import ablate_any, calibrate_any, freeze_any, headroom_any, route_any
from expertnet.routing.any_network import AnyNetwork, Layer, always
from expertnet.routing.effects import KINDS, POLICIES, SHUFFLED, Images
from expertnet.routing.freezing import freeze_each
from expertnet.routing.headroom import search_headroom
from expertnet.routing.interventions import ablated, forced, top1, uniform
from expertnet.routing.policies import route_all
from tests.support.lab import measured_images, predictor

CLASSES = ("a", "b", "c")


class Mixture(nn.Module):
    """Expert k answers class k, and the router sends one-hot images (N, 3) to the expert of their number."""

    def __init__(self):
        super().__init__()
        self.gate, self.experts = nn.Identity(), nn.Linear(3, 3, bias=False)
        nn.init.eye_(self.experts.weight)

    def forward(self, x):
        return self.experts(self.gate(x))


def paper(n=12, part="test"):
    """Images of the mixture. The first class has twice as many as each of the others."""
    labels = torch.tensor([0, 0, 1, 2] * (n // 4))
    split = Split(torch.eye(3)[labels], labels)
    return Images(part, split, split)


def adapted(own):
    """One of the lab's own networks as any network, and its images as that takes them."""
    layers = [Layer(f"backbone.blocks.{number}.branch") for number in range(3)]
    images = measured_images()
    splits = [Split(own.normalized(split.images), split.labels) for split in (images.evaluated, images.training)]
    return AnyNetwork(own.model, layers, own.classes), images, Images(images.part, *splits)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [{}, {"router_output": "sigmoid"}, {"top_k": 2}])
def test_the_labs_own_networks_give_the_same_as_any_network(kind):
    own = predictor(**kind)
    network, images, same = adapted(own)
    for changes in ({}, {2: uniform, 3: top1}):
        logits, routing = network(same.evaluated.images, changes)
        with torch.inference_mode():
            expected = own.model(same.evaluated.images, True, changes)
        torch.testing.assert_close(logits, expected[0])
        torch.testing.assert_close(routing, expected[1])
    policies, expected = route_any(network, same), route_all(own, images)
    assert torch.equal(policies.answers[0], expected.answers[0])  # as shipped
    assert torch.equal(policies.shuffled_shipped, expected.shuffled_shipped)
    assert policies.answers.shape == expected.answers.shape and policies.shuffled.shape == expected.shuffled.shape
    without, all_kinds = ablate_any(network, same), ablate_all(own, images)
    assert torch.equal(without.shipped, all_kinds.shipped) and torch.equal(without.learned[0], all_kinds.learned[0])
    torch.testing.assert_close(without.weights.float(), all_kinds.weights.float())
    assert without.changed.shape == (1, *all_kinds.changed.shape[1:])


@pytest.mark.slow
def test_the_labs_own_network_has_the_same_frozen_blocks_and_headroom_as_any_network():
    own = predictor()
    network, images, same = adapted(own)
    frozen, each = freeze_any(network, same), freeze_each(own, images)
    assert torch.equal(frozen.answers[0], each.answers[0]) and frozen.answers.shape == each.answers.shape
    found, searched = headroom_any(network, same), search_headroom(own, images)
    assert torch.equal(found.found, searched.found) and torch.allclose(found.moved, searched.moved, atol=1e-3)


def test_what_a_mixture_loses_on_paper():
    images, network = paper(), AnyNetwork(Mixture(), [Layer("gate")], CLASSES)
    labels = images.evaluated.labels
    effects = route_any(network, images)
    by_policy = dict(zip(POLICIES, effects.answers[0], strict=True))
    assert all(torch.equal(by_policy[name], labels) for name in ("learned", "first", "class"))
    # equal weights make all logits equal, and the mean weights are the classes' shares: 1/2, 1/4, 1/4
    assert by_policy["uniform"].tolist() == by_policy["mean"].tolist() == [0] * 12
    assert effects.shuffled[list(SHUFFLED).index("shuffled within classes")].tolist() == [1.0] * 20
    without = ablate_any(network, images)
    for expert in range(3):
        # the weight of its images goes to the others in equal parts, of which the first one wins
        answers = without.without(next(iter(KINDS)), 1, expert + 1)
        assert answers[labels != expert].tolist() == labels[labels != expert].tolist()
        assert answers[labels == expert].unique().tolist() == [1 if expert == 0 else 0]
    assert without.weights.tolist() == [[0.5, 0.25, 0.25]]
    frozen = freeze_any(network, images)
    assert torch.equal(frozen.learned[0], labels) and frozen.answers[0].tolist() == [[0] * 12]  # as with mean weights
    sure = calibrate_any(network, images)
    own, mean, even = sure.confidence[:, 0]
    torch.testing.assert_close(own, torch.full((12,), math.e / (math.e + 2)))  # softmax of 1, 0, 0
    torch.testing.assert_close(mean, torch.full((12,), math.e**0.25 / (math.e**0.25 + 2)))  # of 1/2, 1/4, 1/4
    torch.testing.assert_close(even, torch.full((12,), 1 / 3))
    torch.testing.assert_close(sure.loss[2, 0], torch.full((12,), math.log(3)))


def test_headroom_of_a_mixture_on_paper():
    """The second class is sent to the first expert; its own expert is as good for it as for its other images."""
    labels = torch.tensor([0, 1, 1, 2])
    split = Split(torch.eye(3)[[0, 0, 1, 2]], labels)
    found = headroom_any(AnyNetwork(Mixture(), [Layer("gate")], CLASSES), Images("test", split, split))
    assert found.learned.tolist() == [0, 0, 1, 2] and found.found.tolist() == labels.tolist()
    assert found.others[1] == found.toward[1] == 2  # the third expert is as good
    assert found.moved[:, 0].tolist() == pytest.approx([0, 1, 0, 0], abs=0.05)


def test_networks_are_compared_on_the_same_images_only():
    network, images = AnyNetwork(Mixture(), [Layer("gate")], CLASSES), paper().evaluated
    first, second, other = (network.route(split).images for split in (images, images, paper(16).evaluated))
    assert first == second != other


@pytest.mark.slow
def test_condconv_of_timm():
    import timm  # takes a second, also where this test is left out

    torch.manual_seed(3)
    model = timm.create_model("efficientnet_cc_b0_4e", num_classes=3).eval()
    blocks = {name: module for name, module in model.named_modules() if hasattr(module, "routing_fn")}
    for block in blocks.values():
        nn.init.normal_(block.routing_fn.weight, std=20)  # so that images differ
    layers = [Layer((f"{name}.conv_pw", f"{name}.conv_dw", f"{name}.conv_pwl"), argument=1) for name in blocks]
    network, images = AnyNetwork(model, layers, CLASSES), torch.randn(4, 3, 32, 32)
    seen = []
    handles = [
        block.routing_fn.register_forward_hook(lambda module, args, logits: seen.append(logits.sigmoid()))
        for block in blocks.values()
    ]
    with torch.no_grad():
        expected = model(images)
    for handle in handles:
        handle.remove()
    logits, routing = network(images)
    torch.testing.assert_close(logits, expected)
    weights = torch.stack(seen, 1)
    torch.testing.assert_close(routing, weights / weights.sum(2, keepdim=True))
    assert routing.shape == (4, 8, 4) and routing.std(0).max() > 0.01
    # the last block with equal weights that have the same sum, by its own router
    total = weights[:, -1].sum(1, keepdim=True)
    last = next(reversed(blocks.values()))
    last.routing_fn.register_forward_hook(lambda module, args, logits: torch.logit(total / 4).expand(-1, 4))
    with torch.no_grad():
        torch.testing.assert_close(network(images, {8: uniform})[0], model(images))


def test_logits_are_read_as_weights_and_weights_written_as_logits():
    class Soft(Mixture):
        def forward(self, x):
            return self.experts(self.gate(x).softmax(1))

    layer = Layer("gate", read=lambda logits: logits.softmax(1), write=torch.log)
    network = AnyNetwork(Soft(), [layer], CLASSES)
    first = math.e / (math.e + 2)
    logits, routing = network(torch.eye(3))
    torch.testing.assert_close(routing[0, 0], torch.tensor([first, (1 - first) / 2, (1 - first) / 2]))
    torch.testing.assert_close(logits, routing[:, 0])  # the experts are the classes
    assert network(torch.eye(3), {1: forced(1)})[0].tolist() == [[0.0, 1.0, 0.0]] * 3


def test_weights_that_are_passed_by_name():
    class Named(Mixture):
        def forward(self, x):
            return self.experts(input=self.gate(x))

    network = AnyNetwork(Named(), [Layer("experts", argument="input")], CLASSES)
    assert network(torch.eye(3), {1: forced(2)})[0].argmax(1).tolist() == [2, 2, 2]


class Normed(Mixture):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(super().forward(x))


def test_training_images_that_are_sorted_by_class_give_the_same_as_others():
    """Half of them are of the first class, but none of the first 2,000, and the first 512 are all of the last one."""
    evaluated, labels = paper().evaluated, torch.tensor([2] * 1000 + [1] * 1000 + [0] * 2000)
    images = Images("test", evaluated, Split(torch.eye(3)[labels], labels))
    network = AnyNetwork(Normed(), [Layer("gate")], CLASSES)
    routed, frozen = route_any(network, images), freeze_any(network, images)
    mean = routed.answers[0, list(POLICIES).index("mean")]
    assert mean.tolist() == frozen.answers[0, 0].tolist() == [0] * 12  # the mean weights are 1/2, 1/4 and 1/4
    # the norms subtract the mean of all images: that of the last class would make its own images equal to 0
    learned = routed.answers[1, list(POLICIES).index("learned")]
    sure, without = calibrate_any(network, images).answers[0, 0], ablate_any(network, images).learned[1]
    for answers in (learned, frozen.learned[1], sure, without):
        assert torch.equal(answers, evaluated.labels)


def test_batch_norms_get_the_statistics_of_the_changed_inputs():
    model, training = Normed(), paper(128).training
    model.norm.running_mean.fill_(5)
    network = AnyNetwork(model, [Layer("gate")], CLASSES)
    # without its expert, each image of the first class gives half of its weight to both others
    again = network.estimated(training, always({1: ablated(0)})).model.norm
    torch.testing.assert_close(again.running_mean, torch.tensor([0, 0.5, 0.5]))
    # 0.25 on average in each of two batches of 64, as 1 in a quarter and 1/2 in a half of the images
    variance = (0.25 * 1 + 0.5 * 0.25 - 0.25) * 64 / 63
    torch.testing.assert_close(again.running_var, torch.tensor([0, variance, variance]))
    assert again.momentum == 0.1 and not again.training
    assert network.model.norm.running_mean.tolist() == model.norm.running_mean.tolist() == [5, 5, 5]


def test_the_users_model_stays_as_it_is():
    model = Mixture().train()
    model.loss = model.experts.weight.sum()  # with a gradient, as modules keep a load-balancing loss
    network = AnyNetwork(model, [Layer("gate")], CLASSES)
    route_any(network, paper())
    assert model.training and not any(module._forward_hooks for module in model.modules())
    assert not any(module._forward_hooks for module in network.model.modules())


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([], "There is no layer with routing weights"),
        ([Layer("gates")], "no module 'gates'"),
        ([Layer(("gate", "experts"))], "Only one module can return the weights of a layer"),
        ([Layer("gate", argument=1)], "has no argument 1: it gets 1 argument by place"),
        ([Layer("gate", argument="weights")], "has no argument 'weights'"),
        ([Layer("gate", read=lambda x: x.mean(0))], r"must be a tensor of the shape \(4, experts\).*They have \(3,\)"),
        ([Layer("gate", read=lambda x: x - 0.5)], "must be finite, not negative"),
        ([Layer("gate", read=lambda x: x * 0)], "above 0 in sum"),
        ([Layer("gate", write=lambda x: x**2)], "`write` must undo `read`"),
        (
            [Layer("gate"), Layer("gate", read=lambda x: x[:, :2] + 1)],
            "equally many experts to be compared. They have 2, 3",
        ),
    ],
)
def test_a_wrong_layer_is_refused_with_a_sentence(layers, says):
    with pytest.raises(NetworkError, match=says):
        AnyNetwork(Mixture(), layers, CLASSES)(torch.eye(3)[[0, 0, 1, 2]], {1: uniform})


def test_a_network_that_is_no_classifier_of_these_images_is_refused():
    class Other(Mixture):
        def forward(self, x):
            return {"logits": x} if len(x) > 2 else self.gate(self.gate(x))

    network = AnyNetwork(Other(), [Layer("gate")], CLASSES)
    with pytest.raises(NetworkError, match="did not call 'gate'"):
        network(torch.eye(3))
    with pytest.raises(NetworkError, match="calls 'gate' twice"):
        network(torch.eye(3)[:2])
    with pytest.raises(NetworkError, match=r"the shape \(3, 2\), one per image and class. It returned \(3, 3\)"):
        AnyNetwork(Mixture(), [Layer("gate")], ("a", "b"))(torch.eye(3))
    images, labels = torch.eye(3), torch.tensor([0, 1, 3])
    network = AnyNetwork(Mixture(), [Layer("gate")], CLASSES)
    with pytest.raises(NetworkError, match="numbers from 0 to 2"):
        network.route(Split(images, labels))
    with pytest.raises(NetworkError, match="at least 2 training images"):
        network.estimated(Split(images[:1], labels[:1]))
