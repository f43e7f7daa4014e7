"""The verdict uses the words of the findings, and says that the network relies on routing only where this was measured."""

import torch

from expertnet.findings.classes import information
from expertnet.findings.experts import entropies
from expertnet.findings.reliance import policies
from expertnet.findings.verdict import UNKNOWN, verdict
from expertnet.routing.effects import POLICIES, SHUFFLED, SHUFFLES, Routings
from expertnet.routing.lab import Lab
from tests.support.lab import ANIMALS, routed

LAB = Lab(routed(), ANIMALS)


def measured(wrong):
    """Policies that all answer as the network does, except that a share of the answers is wrong with the mean weights."""
    labels = LAB.routed.labels
    answers = labels.expand(2, len(POLICIES), -1).clone()
    mean = list(POLICIES).index("mean")
    answers[:, mean, : int(wrong * len(labels))] = (labels[: int(wrong * len(labels))] + 1) % 4
    return Routings("validation", labels, answers, torch.ones(len(SHUFFLED), SHUFFLES), torch.ones(2))


def test_without_a_measurement_it_says_what_routing_reveals_and_nothing_about_its_use():
    sentences = verdict(LAB)
    assert sentences == [UNKNOWN, information(LAB).sentence, entropies(LAB).sentence]
    assert "relies" not in " ".join(sentences) and "rely" not in " ".join(sentences)


def test_with_a_measurement_it_says_whether_the_network_relies_on_routing():
    for wrong, words in ((0.5, "relies on per-image routing"), (0, "does not measurably rely on per-image routing")):
        effects = measured(wrong)
        sentences = verdict(LAB, effects)
        assert sentences == [policies(effects).sentence, entropies(LAB).sentence]
        assert words in sentences[0]


def test_constant_routing_is_not_said_to_reveal_anything():
    constant = routed()
    constant.routing[:] = torch.tensor([0.2, 0.3, 0.5])
    assert "says nothing about the class" in verdict(Lab(constant, ANIMALS))[1]
