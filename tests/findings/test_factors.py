"""What is said about the factors that the routing follows."""

import torch

from expertnet.data import planted
from expertnet.findings import factors
from expertnet.inference.routing_cache import Routed
from expertnet.routing.lab import Lab
from tests.support.charts import drawn
from tests.support.lab import one_hot

TABLE = planted.factors("test")
BACKGROUND, MEANING = (torch.tensor(TABLE[name].cat.codes.tolist()) for name in ("background", "meaning"))


def lab(routing, blocks=()):
    return Lab(Routed(routing, MEANING, MEANING, blocks), planted.MEANINGS)


def test_the_ground_that_decides_the_experts_is_named_with_its_experts():
    routing = torch.cat([torch.full((1800, 1, 3), 1 / 3), one_hot((BACKGROUND + 1) % 3, 3)], 1)
    found = factors.factors(lab(routing), "contexts")
    assert (
        found.sentence
        == "Block 2 follows the background of the image, which explains 100.0% of the variance of its weights."
    )
    values = factors.values(lab(routing), "contexts", 2)
    assert values.sentence == (
        "In block 2, each background favors an expert of its own: expert 2 by green (mean weight 1.00, 0.33 over all images), "
        "expert 3 by yellow (1.00, 0.33 over all images), expert 1 by blue (1.00, 0.33 over all images)."
    )
    rows, _ = drawn(found.chart)
    assert {(row["block"], row["factor"]): round(row["share"], 2) for row in rows if row["factor"] == "background"} == {
        (1, "background"): 0,
        (2, "background"): 1,
    }


def test_an_expert_that_is_used_most_everywhere_is_not_the_favorite_of_all():
    """Expert 1 has the largest weight for every background, but blue gives it less than the others do."""
    by_background = torch.tensor([[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.6, 0.05, 0.35]])
    said = factors.values(lab(by_background[BACKGROUND][:, None]), "contexts", 1).sentence
    assert said.startswith(
        "In block 1, experts are favored by background: expert 1 by green (mean weight 0.90, 0.80 over all images), expert 1 by"
    )
    assert said.endswith("expert 3 by blue (0.35, 0.15 over all images).")


def test_each_value_is_tested_by_itself():
    """Green and blue move the weights. Yellow leaves them as they are on average, which favors no expert."""
    by_background = torch.tensor([[0.5, 0.3, 0.2], [0.35, 0.35, 0.3], [0.2, 0.4, 0.4]])
    noise = 0.05 * torch.randn(1800, 3, generator=torch.Generator().manual_seed(3))
    said = factors.values(
        lab((by_background[BACKGROUND] + noise - noise.mean(1, keepdim=True))[:, None]), "contexts", 1
    )
    assert said.sentence.startswith(
        "In block 1, experts are favored by background: expert 1 by green (mean weight 0.50, 0.35 over all images), "
    )
    assert ", none by yellow, expert 3 by blue (0.40, 0.30 over all images)." in said.sentence
    assert "This is tested for each value" in said.method


def test_constant_routing_follows_nothing():
    found = factors.factors(lab(torch.full((1800, 1, 3), 1 / 3)), "contexts")
    assert found.sentence == "The routing follows none of the known factors of the images."
    values = factors.values(lab(torch.full((1800, 1, 3), 1 / 3)), "contexts", 1)
    assert values.sentence == "In block 1, the mean weights hardly depend on any known factor of the images."


def test_blocks_keep_their_numbers():
    routing = torch.cat([one_hot(BACKGROUND * 0, 3), one_hot(BACKGROUND, 3)], 1)
    found = factors.factors(lab(routing, (2,)), "contexts")
    assert set(found.table["block"]) == {2}
    assert factors.values(lab(routing, (2,)), "contexts", 2).table["block"].unique().tolist() == [2]


def test_nothing_is_said_about_other_images():
    assert (
        factors.factors(lab(one_hot(BACKGROUND, 3)), "digits")
        is factors.values(lab(one_hot(BACKGROUND, 3)), "digits", 1)
        is None
    )
