"""Changes to the weights of a block, and what a network makes of them."""

import pytest
import torch

from expertnet.routing.interventions import (
    ablated,
    applied,
    forced,
    from_text,
    given,
    swapped,
    to_text,
    top1,
    uniform,
    with_weight,
)
from tests.support.lab import predictor, random_images

WEIGHTS = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.0, 0.9], [0.0, 1.0, 0.0]])


def test_changes_by_hand():
    assert ablated(0, renormalize=False)(WEIGHTS).tolist()[0] == pytest.approx([0, 0.3, 0.2])
    assert ablated(0)(WEIGHTS).tolist()[0] == pytest.approx([0, 0.6, 0.4])
    assert ablated(1)(WEIGHTS).tolist()[2] == pytest.approx([0.5, 0, 0.5])  # it had all of the weight
    assert forced(2)(WEIGHTS).tolist() == [[0, 0, 1]] * 3
    assert swapped(0, 2)(WEIGHTS).tolist()[0] == pytest.approx([0.2, 0.3, 0.5])
    assert top1(WEIGHTS).argmax(1).tolist() == [0, 2, 1]
    assert uniform(WEIGHTS)[0].tolist() == pytest.approx([1 / 3] * 3)
    assert given([0.0, 0.25, 0.75])(WEIGHTS).tolist() == [[0, 0.25, 0.75]] * 3
    assert WEIGHTS.tolist()[0] == pytest.approx([0.5, 0.3, 0.2])  # nothing is changed in place


@pytest.mark.parametrize("renormalize", [True, False])
def test_ablating_an_expert_without_weight_changes_no_bit(renormalize):
    assert torch.equal(ablated(1, renormalize)(WEIGHTS)[1], WEIGHTS[1])
    net, images = predictor(), random_images(5)
    without = {2: given([0.7, 0.0, 0.3])}
    ablation = {2: lambda weights: ablated(1, renormalize)(given([0.7, 0.0, 0.3])(weights))}
    for a, b in zip(net(images, without), net(images, ablation), strict=True):
        assert torch.equal(a, b)


def test_uniform_changes_nothing_in_a_uniform_network():
    net, images = predictor(routing="uniform"), random_images(5)
    changes = dict.fromkeys((1, 2, 3), uniform)
    for a, b in zip(net(images), net(images, changes), strict=True):
        assert torch.equal(a, b)


def test_a_change_reaches_its_own_block_and_what_comes_after():
    net, images = predictor(), random_images(5)
    probabilities, routing = net(images)
    other, rerouted = net(images, {2: forced(0)})
    assert torch.equal(rerouted[:, 0], routing[:, 0])
    assert rerouted[:, 1].tolist() == [[1, 0, 0]] * 5
    assert not torch.equal(rerouted[:, 2], routing[:, 2])
    assert not torch.allclose(other, probabilities)


def test_setting_a_weight_keeps_the_sum_and_the_others_proportions():
    assert with_weight([0.5, 0.3, 0.2], 0, 0.1) == pytest.approx([0.1, 0.54, 0.36])
    assert with_weight([1.0, 0.0, 0.0], 0, 0.4) == pytest.approx([0.4, 0.3, 0.3])
    assert with_weight([0.0, 1.0], 1, 0.25) == pytest.approx([0.75, 0.25])
    assert applied(swapped(0, 1), [0.9, 0.1]) == pytest.approx([0.1, 0.9])


def test_weights_are_read_from_text_and_parts_that_do_not_fit_are_skipped():
    changed = {3: [1.0, 0.0, 0.0], 1: [0.5, 0.3, 0.2]}
    assert to_text(changed) == "1:0.5,0.3,0.2;3:1,0,0"
    assert from_text(to_text(changed), (1, 2, 3), 3) == changed
    assert from_text("", (1, 2, 3), 3) == {}
    for wrong in (
        "4:1,0,0",
        "0:1,0,0",
        "1:1,0",
        "1:0.9,0.9,0.9",
        "1:2,-1,0",
        "1:nan,0,1",
        "1:inf,0,0",
        "x:1,0,0",
        "1",
        ";;:",
    ):
        assert from_text(f"{wrong};2:0,1,0", (1, 2, 3), 3) == {2: [0, 1, 0]}, wrong
