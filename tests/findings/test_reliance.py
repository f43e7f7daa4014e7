"""What is said about experts that are switched off, and about relying on per-image routing."""

import re

import pytest
import torch

from expertnet.charts.base import to_file
from expertnet.findings.reliance import ablation, ablation_by_class, policies
from expertnet.routing.effects import KINDS, POLICIES, SHUFFLED, SHUFFLES, Ablations, Routings
from expertnet.utils.text import listed
from tests.support.lab import ANIMALS

LABELS = torch.arange(1000) % 4
WRONG = (LABELS + 1) % 4


def ablations(*wrong, blocks=1, weights=None, part="validation"):
    """The first so many images are misclassified without each expert of each block."""
    changed = LABELS.expand(len(KINDS), blocks, len(wrong) // blocks, -1).clone()
    for place, count in enumerate(wrong):
        changed.view(len(KINDS), len(wrong), -1)[:, place, :count] = WRONG[:count]
    weights = torch.full(changed.shape[1:3], 1 / changed.shape[2]) if weights is None else weights
    return Ablations(part, LABELS, LABELS.repeat(2, 1), changed[0].clone(), changed, weights)


def sentence(effects, kind="zero"):
    blocks = tuple(range(1, effects.weights.shape[0] + 1))
    return ablation(effects, kind, blocks).sentence


def test_only_the_first_dead_experts_are_named():
    weights = torch.tensor([[0.01, 0.98, 0.01]] * 3)  # experts 1 and 3 of each block are hardly used
    named = "block 1, expert 1; block 1, expert 3; block 2, expert 1; block 2, expert 3; and 2 more"
    assert f"6 dead experts: {named}." in sentence(ablations(*[0] * 9, blocks=3, weights=weights))
    some = ablations(50, 0, 50, 50, 0, 50, 50, 0, 0, blocks=3, weights=weights)
    assert "1 dead expert: block 3, expert 3." in sentence(some)


def test_the_expert_that_costs_the_most_is_named_if_the_next_one_costs_less_beyond_chance():
    assert sentence(ablations(20, 114, 0, 0, blocks=2)).startswith(
        "Switching off expert 2 of block 1 costs the most accuracy: 11.4 points on the 1,000 validation images. In block 2, no "
        "expert matters: any single one can be switched off without a measurable loss, which is not to say that all of them can."
    )


def test_experts_that_chance_may_have_ordered_are_both_named():
    """30 images are lost without either; 4 more without expert 2. An interval of 4 of 1,000 (Agresti-Min) holds 0."""
    assert sentence(ablations(30, 34)).startswith(
        "Switching off expert 2 of block 1 costs 3.4 points on the 1,000 validation images, which is indistinguishable from the change "
        "for expert 1 of block 1 (-3.0 points)."
    )
    assert "costs the most" in sentence(ablations(30, 40))  # ten more, all in one direction


def test_a_larger_loss_that_chance_may_explain_is_what_a_sure_one_is_compared_with():
    """Without expert 1, 120 images are lost and 100 others won; without expert 2, 18 are lost."""
    effects = ablations(0, 18)
    effects.learned[1, 880:] = WRONG[880:]
    effects.changed[..., 880:] = WRONG[880:]
    effects.changed[:, 0, 0, :120], effects.changed[:, 0, 0, 880:980] = WRONG[:120], LABELS[880:980]
    assert sentence(effects).startswith(
        "Switching off expert 2 of block 1 costs 1.8 points on the 1,000 validation images, which is indistinguishable from the change "
        "for expert 1 of block 1 (-2.0 points)."
    )


def test_no_cost_is_claimed_within_chance():
    """Two of 1,000 lost: the sign test gives 1/2."""
    found = sentence(ablations(2, 0, part="test"), "mean")
    assert found.startswith(
        "Replacing by its mean any single expert makes no measurable difference on the 1,000 test images: it costs at most 0."
    )


@pytest.mark.parametrize(
    ("lost", "better", "said"),
    [
        (
            0,
            [2],
            "any single expert costs at most 0.4 points on the 1,000 validation images (95% for all experts together).",
        ),
        (100, [2], "expert 1 of block 1 costs the most accuracy: 10.0 points on the 1,000 validation images."),
        (
            0,
            [1, 2],
            "any single expert costs at most 0.4 points on the 1,000 validation images (95% for all experts together).",
        ),
    ],
)
def test_experts_without_which_the_network_is_better_are_named(lost, better, said):
    """Of 60 mistakes, 40 are right without one or both experts of block 2. Without expert 1 of block 1, `lost` images are lost."""
    effects = ablations(lost, 0, 0, 0, blocks=2)
    effects.learned[1, 940:] = WRONG[940:]
    effects.changed[..., 940:] = WRONG[940:]
    for expert in better:
        effects.changed[:, 1, expert - 1, 940:980] = LABELS[940:980]
    named = listed(f"expert {expert} of block 2" for expert in better)
    apart = ", one at a time" if len(better) > 1 else ""
    for kind, doing in (("zero", "Switching off"), ("mean", "Replacing by its mean")):
        expected = f"{doing} {said} The network is better with {named} {KINDS[kind]}{apart}. No expert is dead."
        assert sentence(effects, kind) == expected


def test_shares_are_percentages_and_differences_are_points():
    finding = ablation_by_class(ablations(0, 114, 0, 0, blocks=2), "zero", ANIMALS, 1)
    assert finding.sentence == "In block 1, class cat loses the most without expert 2: 11.6% of its 250 images."
    numbers = re.findall(r">([+\u2212-]?[\d.]+%?)</text>", to_file(finding.chart, "svg").decode())
    assert numbers.count("0") == 4 and sum(number.endswith("11.6%") for number in numbers) == 2


def test_both_ablations_and_both_figures_are_in_the_table_and_the_texts_say_which_images():
    for part in ("validation", "test"):
        effects = ablations(20, 114, part=part)
        effects.shipped[0, 1] = WRONG  # as shipped, everything is lost
        effects.changed[1, 0, 1] = LABELS  # replaced by its mean, nothing
        finding = ablation(effects, "zero", (1,))
        assert finding.table["change"].tolist() == [-0.02, -0.114]
        assert finding.table["as_shipped"].tolist() == [-0.02, -1]
        assert finding.table["replaced_by_its_mean"].tolist() == [-0.02, 0]
        assert f"1,000 {part} images" in finding.method
        assert f"{part} images" in ablation_by_class(effects, "zero", ANIMALS, 1).method


def routings(wrong_learned, wrong_mean, shuffled=0.5, part="validation"):
    """The first so many images are misclassified with the learned and with the mean weights."""
    answers = LABELS.expand(2, len(POLICIES), -1).clone()
    answers[:, :, :wrong_learned] = WRONG[:wrong_learned]
    mean = list(POLICIES).index("mean")
    answers[:, mean] = LABELS
    answers[:, mean, :wrong_mean] = WRONG[:wrong_mean]
    return Routings(part, LABELS, answers, torch.full((len(SHUFFLED), SHUFFLES), shuffled), torch.zeros(2))


def test_few_images_are_said_to_be_too_few():
    """Agresti-Min's interval without a changed answer is 2 x 1.96 x sqrt(1 / (n + 2)) / sqrt(n + 2) wide: 0.28 at n = 12."""
    few, labels = torch.zeros(2, len(POLICIES), 12, dtype=torch.long), torch.zeros(12, dtype=torch.long)
    found = policies(Routings("validation", labels, few, torch.ones(len(SHUFFLED), SHUFFLES), torch.ones(2)))
    assert found.sentence.startswith("12 images are too few to tell whether the network relies on per-image routing: ")


def test_a_loss_with_the_mean_weights_beyond_the_interval_is_reliance():
    effects = routings(0, 31)
    effects.answers[0, list(POLICIES).index("mean"), :50] = WRONG[:50]
    assert policies(effects).sentence == (
        "The network relies on per-image routing: mean weights change its accuracy on the validation images by -3.1 points "
        "(95%: -4.2 to -2.0; as shipped: -5.0)."
    )


def test_an_interval_that_excludes_0_does_not_seem_to_end_there():
    """Of 10,000 images, 12 are lost and 3 won. Agresti-Min's interval ends at (-9 + 1.96 sqrt(16 - 81 / 10002)) / 10002, -0.012 points."""
    labels = torch.zeros(10_000, dtype=torch.long)
    answers = torch.zeros(2, len(POLICIES), 10_000, dtype=torch.long)
    answers[:, :, :3] = 1  # misclassified
    mean = list(POLICIES).index("mean")
    answers[:, mean, :3], answers[:, mean, 3:15] = 0, 1
    found = policies(Routings("test", labels, answers, torch.ones(len(SHUFFLED), SHUFFLES), torch.ones(2)))
    assert "by -0.1 points (95%: -0.17 to -0.01; as shipped: -0.1)" in found.sentence


@pytest.mark.parametrize(("learned", "mean"), [(10, 10), (0, 2), (12, 10)])
def test_no_reliance_is_claimed_within_the_interval_however_bad_other_images_weights_are(learned, mean):
    assert policies(routings(learned, mean, shuffled=0.1)).sentence.startswith(
        "The network does not measurably rely on per-image routing: "
    )


def test_mean_weights_that_do_better_are_said_to_be_better():
    found = policies(routings(31, 0, part="test"))
    assert found.sentence.startswith("The network is better without per-image routing: ")
    assert "mean weights change its accuracy on the test images by +3.1 points" in found.sentence
    assert "1,000 test images" in found.method


def test_nothing_is_said_to_be_earned_without_trained_controls():
    for finding in (policies(routings(0, 31)), ablation(ablations(20, 114), "zero", (1,))):
        assert "earn" not in finding.sentence + finding.method
