"""The routing of a test set, on sets built so that the answer is on paper."""

import math

import pytest
import torch

from expertnet.network.routing_metrics import information
from expertnet.routing.information import block_table, permuted_information, verdict
from expertnet.routing.mistakes import mistakes_table
from expertnet.routing.similarity import components, likeness_order, match_experts
from expertnet.routing.specialization import halves, specializations
from expertnet.routing.usage import expert_table, extremes

CLASSES = ("a", "b", "c", "d")
LABELS = torch.arange(400) % 4


def one_hot(experts_N, experts):
    """One block whose router sends each image to one expert alone: (N, 1, K)."""
    return torch.nn.functional.one_hot(experts_N, experts).float()[:, None]


BY_CLASS = one_hot(LABELS, 4)  # each class has an expert of its own
CONSTANT = torch.tensor([0.5, 0.3, 0.2]).expand(400, 2, 3)


def test_a_router_by_class_tells_log2_k_bits_and_chance_next_to_nothing():
    row = block_table(BY_CLASS, LABELS, 4).iloc[0]
    assert row["information"] == pytest.approx(2.0)
    assert row["entropy_of_mean"] == pytest.approx(math.log(4))
    assert row["mean_entropy"] == 0
    assert row["verdict"].startswith("decisive and varied")
    # of independent labels 2 N ln 2 times the information is chi squared with (C - 1)(K - 1) = 9 degrees of freedom
    assert row["chance"] == pytest.approx(9 / (2 * 400 * math.log(2)), rel=0.25)
    assert row["chance"] < row["chance_high"] < 0.05


def test_a_constant_router_tells_nothing_even_by_chance():
    table = block_table(CONSTANT, LABELS, 4)
    assert table["information"].tolist() == pytest.approx([0, 0], abs=1e-9)
    assert table["chance_high"].tolist() == pytest.approx([0, 0], abs=1e-9)
    own = -(0.5 * math.log(0.5) + 0.3 * math.log(0.3) + 0.2 * math.log(0.2))
    assert table["mean_entropy"].tolist() == pytest.approx([own, own], rel=1e-6)


def test_chance_passes_its_mark_in_one_of_many_blocks_no_more_often_than_in_one():
    alarms = 0
    for seed in range(30):
        routing = torch.rand(200, 8, 3, generator=torch.Generator().manual_seed(seed)).softmax(2)
        table = block_table(routing, LABELS[:200], 4)
        alarms += bool((table["information"] > table["chance_high"]).any())
    assert (
        alarms <= 8
    )  # of 60 draws at 5%, more than 8 come with a probability of 0.3%; without a correction, about 20 are


def test_chance_is_what_routing_tells_about_labels_that_are_dealt_anew():
    generator = torch.Generator().manual_seed(7)
    routing = torch.rand(300, 2, 3, generator=generator).softmax(2)
    labels = torch.randint(4, (300,), generator=generator) + 1  # and no image of the first class
    dealt, order = torch.empty_like(labels), torch.randperm(300, generator=torch.Generator().manual_seed(0))
    dealt[order] = labels.sort().values
    chance = permuted_information(routing, labels, 5)
    assert chance.shape == (100, 2)
    assert torch.allclose(chance[0], information(routing, dealt, 5), atol=1e-12)


def test_the_same_seed_gives_the_same_chance():
    routing = torch.rand(400, 2, 3, generator=torch.Generator().manual_seed(5)).softmax(2)
    assert torch.equal(permuted_information(routing, LABELS, 4), permuted_information(routing, LABELS, 4))


@pytest.mark.parametrize(
    ("of_mean", "mean_of", "says"),
    [(0.0, 0.0, "collapse"), (1.0, 0.1, "decisive"), (1.0, 1.0, "unused"), (0.95, 0.7, "soft")],
)
def test_the_verdict_in_words(of_mean, mean_of, says):
    most = math.log(3)
    assert says in verdict(of_mean * most, mean_of * most, 3)
    assert "nothing to route" in verdict(0.0, 0.0, 1)


def test_utilization_is_k_times_the_weight_and_sums_to_k_in_a_block():
    table = expert_table(torch.cat([CONSTANT[:, :1], one_hot(LABELS % 3, 3)], dim=1))
    assert table.groupby("block")["utilization"].sum().tolist() == pytest.approx([3, 3])
    assert table["utilization"].tolist()[:3] == pytest.approx([1.5, 0.9, 0.6])
    assert table["first"].tolist()[:3] == [1, 0, 0]
    assert table["first"].tolist()[3:] == [0.5, 0.25, 0.25]  # the fourth class goes to the first expert too


def test_the_images_that_weigh_an_expert_most_and_least():
    weights = torch.tensor([0.2, 0.9, 0.5, 0.1])
    routing = torch.stack([weights, 1 - weights], dim=1)[:, None]
    assert extremes(routing, 1, 1, 2) == ([1, 2], [3, 0])
    assert extremes(routing, 1, 2, 2) == ([3, 0], [1, 2])


def test_halves_hold_every_class_alike_and_no_image_twice():
    first, second = halves(LABELS)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(400))
    assert torch.equal(LABELS[first].bincount(), LABELS[second].bincount())


def test_a_specialization_is_named_where_it_repeats():
    table = specializations(BY_CLASS, LABELS, CLASSES)
    assert table["class"].tolist() == list(CLASSES)
    assert table["ratio"].tolist() == pytest.approx([4, 4, 4, 4])


def test_no_specialization_is_named_where_the_halves_disagree_or_all_are_alike():
    first, second = halves(LABELS)
    contrary = torch.zeros(400, 1, 4)
    contrary[first], contrary[second] = BY_CLASS[first], one_hot((LABELS + 1) % 4, 4)[second]
    assert set(specializations(contrary, LABELS, CLASSES)["class"]) == {""}
    assert set(specializations(CONSTANT, LABELS, CLASSES)["class"]) == {""}


def test_mistakes_that_route_like_the_class_they_were_taken_for():
    predictions = LABELS.clone()
    predictions[:40] = (LABELS[:40] + 1) % 4
    like_the_other = one_hot(predictions, 4)
    row = mistakes_table(like_the_other, LABELS, predictions, 4).iloc[0]
    assert (row["share"], row["mistakes"]) == (1, 40)
    assert 0.9 < row["low"] < 1
    row = mistakes_table(BY_CLASS, LABELS, predictions, 4).iloc[0]
    assert row["share"] == 0
    assert mistakes_table(CONSTANT, LABELS, predictions, 4)["share"].tolist() == [0.5, 0.5]
    assert mistakes_table(BY_CLASS, LABELS, LABELS, 4).empty


def test_components_find_the_direction_in_which_images_differ():
    share = torch.linspace(0, 1, 400)
    routing = torch.stack([share, 1 - share], dim=1)[:, None]
    placed, explained = components(routing)
    assert explained[0] == pytest.approx(1)
    assert placed[:, 0].abs().max().item() == pytest.approx(math.sqrt(2) / 2, rel=1e-3)
    assert components(CONSTANT)[1] == [0, 0]
    assert components(torch.ones(5, 1, 1))[0].shape == (5, 2)


def test_likeness_order_puts_like_rows_beside_one_another():
    order = likeness_order(torch.tensor([[0.0], [10.0], [0.1], [10.1], [5.0]]))
    assert [sorted(order[:2]), order[2], sorted(order[3:])] in ([[0, 2], 4, [1, 3]], [[1, 3], 4, [0, 2]])
    assert likeness_order(torch.rand(2, 3)) == [0, 1]
    assert likeness_order(torch.rand(1, 3)) == [0]


def test_experts_are_matched_however_they_are_numbered():
    generator = torch.Generator().manual_seed(3)
    profiles = torch.rand(10, 3, 4, generator=generator).softmax(2)
    orders = torch.stack([torch.randperm(4, generator=generator) for _ in range(3)])
    renumbered = torch.stack([profiles[:, block, orders[block]] for block in range(3)], dim=1)
    renumbered[7] = float("nan")  # a class without images there
    found = match_experts(profiles, renumbered)
    for block in range(3):
        assert torch.equal(orders[block][found[block]], torch.arange(4))
