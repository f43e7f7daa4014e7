"""Every finding has a sentence, a table, a method and files, and is made once."""

import pytest
import torch

from expertnet.charts.base import to_file
from expertnet.findings import classes, experts, image, reliance, through_training
from expertnet.findings.finding import in_words
from expertnet.routing.effects import POLICIES, SHUFFLED, SHUFFLES, Ablations, Routings
from expertnet.routing.lab import Lab
from expertnet.routing.probe import Probes
from tests.support.lab import ANIMALS, routed


@pytest.mark.slow
@pytest.mark.parametrize(("blocks", "num_experts"), [(2, 3), (1, 1), (1, 2), (3, 1)])
def test_every_finding_can_be_made_and_saved(blocks, num_experts):
    found = routed(blocks=blocks, experts=num_experts)
    lab = Lab(found, ANIMALS)
    learned = found.predictions.expand(2, -1)
    changed = found.predictions.expand(2, blocks, num_experts, -1).roll(1, -1)
    ablated = Ablations("test", found.labels, learned, changed[0], changed, lab.usage.float())
    draws = torch.full((len(SHUFFLED), SHUFFLES), 0.5)
    policies = Routings("test", found.labels, learned[:, None].expand(-1, len(POLICIES), -1), draws, draws[:, 0])
    history = [
        {
            "epoch": n,
            "expert_usage": lab.usage.tolist(),
            "routing_entropy": [0.1] * blocks,
            "routing_information": [0.2] * blocks,
        }
        for n in (1, 2)
    ]
    made = [
        classes.classes(lab, 1),
        classes.information(lab),
        classes.probe(Probes(2.0, torch.rand(blocks), torch.rand(blocks), torch.rand(5, blocks)), lab),
        classes.plane(lab),
        experts.utilization(lab),
        experts.entropies(lab),
        experts.specializations(lab),
        reliance.policies(policies),
        reliance.ablation(ablated, "zero", lab.block_numbers),
        reliance.ablation(ablated, "mean", lab.block_numbers),
        reliance.ablation_by_class(ablated, "zero", ANIMALS, 1),
        image.weights(lab.usage, "weights"),
        image.difference(lab.usage - lab.usage.mean(1, keepdim=True), "difference", "their mean"),
        image.entropies(lab.usage, "entropy"),
        image.probabilities(torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.4, 0.3, 0.2, 0.1]), ANIMALS),
        *through_training.through_training(history, "test set"),
        through_training.training_utilization(history, 1, "test set"),
    ]
    assert len({finding.name for finding in made}) == len({finding.title for finding in made}) == len(made)
    for finding in made:
        assert finding.sentence.endswith(".") and finding.method.endswith(".") and "nan" not in finding.sentence
        assert len(finding.table) or finding.name == "specializations"
        if finding.chart is not None:
            assert b"<svg" in to_file(finding.chart, "svg")[:200]
    assert to_file(made[0].chart, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ([4], "block 4"),
        ([1, 2], "blocks 1 and 2"),
        ([1, 4, 5], "blocks 1, 4 and 5"),
        ([1, 2, 3, 6], "blocks 1 to 3 and 6"),
        ([1, 2, 4, 5, 6, 8], "blocks 1, 2, 4 to 6 and 8"),
    ],
)
def test_blocks_in_words(blocks, words):
    assert in_words(blocks) == words


def test_a_finding_is_made_once_and_drawn_as_by_altair():
    lab = Lab(routed(), ANIMALS)
    finding = classes.classes(lab, 1)
    assert classes.classes(lab, 1) is finding and classes.classes(lab, 2) is not finding
    assert classes.classes(Lab(routed(), ANIMALS), 1) is not finding
    for each in (finding, classes.plane(lab), classes.information(lab)):
        spec, whole = each.spec, each.chart.to_dict()
        assert without_data(spec) == without_data(whole)
        assert sorted(map(len, spec["datasets"].values())) == sorted(map(len, whole["datasets"].values()))
        assert {part["data"]["name"] for part in (spec, *spec.get("layer", ())) if "data" in part} == set(
            spec["datasets"]
        )


def without_data(spec):
    if isinstance(spec, list):
        return [without_data(part) for part in spec]
    if not isinstance(spec, dict):
        return spec
    return {key: without_data(part) for key, part in spec.items() if key not in ("data", "datasets", "config")}
