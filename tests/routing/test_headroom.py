"""The best weights of single images, against a grid where the loss is convex, and the control by hand."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from expertnet.data.splits import Split
from expertnet.routing.effects import Images
from expertnet.routing.headroom import HEADROOM, best_weights, equally_likely, outputs_of, search_headroom
from expertnet.routing.interventions import given
from tests.support.kinds import KINDS
from tests.support.lab import fitted, measured_images, predictor, random_images, saved_run


@pytest.mark.slow
def test_the_weights_found_are_those_of_a_fine_grid_where_the_loss_is_convex():
    """One block of two experts: the logits are linear in the weight of the first, so the loss has one minimum."""
    net = predictor(num_blocks=1, num_experts=2, pool_after=())
    torch.manual_seed(5)
    net.model.classifier.head = torch.nn.Linear(8, 4)  # of two classes, the loss would be the least at either end
    net.model.classifier.head.weight.data.mul_(20)
    images, classes = random_images(20), torch.arange(20) % 4
    pixels = net.normalized(images)
    with torch.no_grad():
        own = net.model(pixels, True)[1][:, 0, 0]
        grid = torch.linspace(0, 1, 1001)
        losses = torch.stack(
            [
                cross_entropy(net.model(pixels, changes={1: given([w, 1 - w])}), classes, reduction="none")
                for w in grid.tolist()
            ]
        )
    answers, moved = best_weights(outputs_of(net), (1,), images, classes)
    best = grid[losses.argmin(0)]
    inside = (best > 0.02) & (best < 0.98)  # the search reaches the ends only in the limit
    assert inside.any() and not inside.all()
    assert torch.allclose(moved[inside, 0], (best - own).abs()[inside], atol=0.02)
    assert torch.allclose(moved[~inside, 0], (best - own).abs()[~inside], atol=0.1)
    with torch.no_grad():
        at_best = torch.stack(
            [net.model(pixels[[n]], changes={1: given([w, 1 - w])})[0].argmax() for n, w in enumerate(best.tolist())]
        )
    assert (answers == at_best).float().mean() >= 0.95


@pytest.mark.slow
def test_the_search_changes_mistakes_only_and_reaches_no_more_than_all_classes():
    net, images = fitted(predictor()), measured_images()
    found = search_headroom(net, images)
    right = found.learned == found.labels
    assert 0 < right.sum() < len(right) == 40
    assert torch.equal(found.found[right], found.labels[right]) and not found.moved[right].any()
    assert torch.equal(found.others[~right], found.labels[~right])  # without a third class, there is no control
    assert (found.found == found.labels)[~right].any()
    assert not any(parameter.grad is not None for parameter in net.model.parameters())


@pytest.mark.slow
def test_a_network_whose_experts_are_equal_has_no_headroom():
    net = fitted(predictor())
    for block in net.model.backbone.blocks:
        conv, norm = block.experts.conv, block.experts.norm
        for tensor in (conv.weight.data, norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
            tensor.copy_(tensor.chunk(3)[0].repeat(3, *[1] * (tensor.dim() - 1)))
    found = search_headroom(net, measured_images())
    assert torch.equal(found.found, found.learned) and torch.equal(found.toward, found.learned)


@pytest.mark.slow
def test_every_kind_of_network_can_be_searched(monkeypatch):
    monkeypatch.setattr("expertnet.routing.headroom.STEPS", 3)
    for overrides in ({"expert_blocks": (1, 3)}, *KINDS):
        net, images = predictor(**overrides), measured_images(12)
        found = search_headroom(net, images)
        assert found.moved.shape == (12, 2 if "expert_blocks" in overrides else 3)
        assert (found.found == found.labels).sum() >= (found.learned == found.labels).sum()


def test_the_other_class_is_the_one_about_as_likely_as_the_true_one():
    probabilities = torch.tensor([[0.5, 0.3, 0.15, 0.05]] * 3)
    # for the class with 0.3, 0.15 is nearest (the answer is no other class); for 0.05, 0.15; for the answer itself, 0.3
    assert equally_likely(probabilities, torch.tensor([1, 3, 0])).tolist() == [2, 2, 1]
    assert equally_likely(torch.tensor([[0.9, 0.1]]), torch.tensor([1])).tolist() == [1]


@pytest.mark.slow
def test_with_many_mistakes_a_part_of_the_images_counts(monkeypatch, tmp_path):
    monkeypatch.setattr("expertnet.routing.headroom.MISTAKES", 5)
    images = measured_images()
    found = HEADROOM.measure(saved_run(tmp_path / "runs"), images)
    assert (found.learned != found.labels).sum() == 5 and 5 < len(found.labels) < 40
    few = Images("validation", Split(random_images(3), predictor()(random_images(3))[0].argmax(1)), images.training)
    without = search_headroom(predictor(), few)  # whose answers are all right
    assert torch.equal(without.found, without.labels)
