"""What is said about how similar experts are."""

from dataclasses import replace

import torch

from expertnet.findings.likeness import likeness
from expertnet.routing.likeness import GROUPS, UNTRAINED, Likeness
from tests.support.charts import drawn


def found(values, untrained, noise=0.0):
    """The CKA of experts 1 and 2, 1 and 3, 2 and 3 of two blocks, all random ones, and how far half of the groups differ."""
    learned = torch.eye(3).repeat(2, 1, 1)
    for block in range(2):
        for (a, b), value in zip(((0, 1), (0, 2), (1, 2)), values, strict=True):
            learned[block, a, b] = learned[block, b, a] = value
    without = learned.repeat(GROUPS, 1, 1, 1)
    without[::2] += noise
    without[1::2] -= noise
    return Likeness("validation", torch.zeros(256), learned, without, torch.full((UNTRAINED, 2, 3, 3), untrained))


def test_the_most_similar_pair_is_named_beside_random_kernels():
    finding = likeness(found([0.9, 0.5, 0.95], 0.6), (1, 4), 4)
    assert finding.sentence == (
        "In block 4, the outputs of experts 2 and 3 are the most similar: CKA 0.95 (95%: 0.95 to 0.95). With random kernels, experts "
        "reach 0.60; 2 of 3 pairs are measurably more similar than that."
    )
    assert finding.table["cka"].round(2).tolist() == [0.95, 0.9, 0.5] and set(finding.table["block"]) == {4}
    rows, _ = drawn(finding.chart)
    assert "experts 2 and 3: 0.95 (random kernels: 0.60)" in [row.get("text") for row in rows]


def test_a_pair_is_not_called_more_similar_within_its_interval():
    """A standard deviation of 0.02 without groups is one of 0.02 sqrt(15) = 0.077, and 0.165 by Student's t."""
    assert likeness(found([0.7, 0.5, 0.5], 0.6, noise=0.02), (1, 2), 1).sentence.endswith(
        "no pair is measurably more similar than that."
    )


def test_nothing_is_said_of_too_few_images():
    few = replace(found([0.9, 0.5, 0.95], 0.6), labels=torch.zeros(3))
    finding = likeness(few, (1, 4), 4)
    assert finding.sentence == (
        "3 validation images are too few to compare the outputs of experts, which needs at least 16."
    )
    assert finding.chart is None and finding.table["cka"].isna().all()
