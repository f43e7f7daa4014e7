"""How much of the routing known factors of the images explain, on routings whose answer is known."""

import pandas as pd
import pytest
import torch

from expertnet.data import planted
from expertnet.routing.factors import codes, explained, known_factors, what_it_shows
from tests.support.lab import one_hot

BACKGROUND = torch.arange(80) % 4
SHAPE = torch.arange(80) // 4 % 4  # independent of the background
FACTORS = pd.DataFrame(
    {
        "background": pd.Categorical.from_codes(BACKGROUND.tolist(), list("abcd")),
        "shape": pd.Categorical.from_codes(SHAPE.tolist(), list("wxyz")),
    }
)


def shares(routing, blocks=(1,)):
    table = explained(routing, FACTORS, blocks)
    return {(row.block, row.factor): pytest.approx(row.share, abs=1e-6) for row in table.itertuples()}


def test_a_factor_that_decides_the_weights_explains_all_and_an_independent_one_nothing():
    assert shares(one_hot(BACKGROUND, 4)) == {(1, "background"): 1, (1, "shape"): 0}


def test_shares_of_independent_factors_add_up():
    # The weight of expert 1 is 0.5, plus or minus 0.3 by the background and 0.1 by the shape: variances 0.09 and 0.01
    weight = 0.5 + 0.3 * (1 - 2 * (BACKGROUND % 2)) + 0.1 * (1 - 2 * (SHAPE % 2))
    routing = torch.stack([weight, 1 - weight], 1)[:, None]
    table = explained(routing, FACTORS, [1])
    assert table["share"].tolist() == pytest.approx([0.9, 0.1], abs=1e-6)
    assert table["deviation"].tolist() == pytest.approx([0.3 * 2**0.5, 0.1 * 2**0.5], abs=1e-6)  # of two experts


def test_constant_weights_follow_nothing_and_blocks_keep_their_numbers():
    routing = torch.cat([torch.full((80, 1, 4), 0.25), one_hot(SHAPE, 4)], 1)
    assert shares(routing, (2, 5)) == {(2, "background"): 0, (2, "shape"): 0, (5, "background"): 0, (5, "shape"): 1}


def test_factors_are_known_of_the_test_sets_drawn_by_code_alone():
    known = known_factors("contexts", 1800)
    assert codes(known["background"]).tolist() == planted.factors("test")["background"].cat.codes.tolist()
    assert list(known) == ["shape", "color", "background", "texture", "meaning"]
    assert "meaning" not in known_factors("shapes", 1800)
    assert known_factors("contexts", 1799) is None and known_factors("digits", 1800) is None


def test_an_image_is_described_by_what_it_shows():
    first = planted.factors("test").iloc[0]
    assert (
        what_it_shows("shapes", 1800, 0) == f"{first['color']} {first['shape']} on a {first['background']} background"
    )
    assert what_it_shows("digits", 359, 0) == ""
