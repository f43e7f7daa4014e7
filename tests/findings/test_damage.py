"""What is said about certainty and about damaged images."""

import torch

from expertnet.findings.damage import calibration, corruptions
from expertnet.routing.robustness import CONDITIONS, TRIED, Robustness
from tests.support.charts import drawn


def robustness(own, mean, confidence=0.8):
    """So many of 1,000 answers are right with learned and with mean weights, in all conditions or in each."""
    labels = torch.zeros(1000, dtype=torch.int64)
    answers = torch.ones(len(TRIED), len(CONDITIONS), 1000, dtype=torch.int64)
    for place, numbers in enumerate((own, mean, own)):
        numbers = [numbers] * len(CONDITIONS) if isinstance(numbers, int) else numbers
        for condition, number in enumerate(numbers):
            answers[place, condition, :number] = 0
    sure = torch.full(answers.shape, confidence)
    return Robustness("validation", labels, answers, sure, torch.where(answers == 0, 0.2, 1.6))


def test_certainty_is_compared_with_accuracy():
    """80% against 70%, by Wilson 67.1% to 72.8%. 100 images lose 1.4 nats each of 1,000."""
    assert calibration(robustness(700, 600)).sentence == (
        "With re-estimated batch norms, the network is overconfident on 1,000 validation images: it gives a mean probability of "
        "80.0% for its answers, of which 70.0% are right (95% for the difference: +7.2 to +12.9 points). Mean weights raise its log loss "
        "(+0.140, 95%: +0.114 to +0.166)."
    )
    under = calibration(robustness(900, 900)).sentence
    assert under.startswith("With re-estimated batch norms, the network is underconfident on 1,000 validation")
    even = calibration(robustness(805, 800)).sentence
    assert even.startswith("With re-estimated batch norms, the network is not measurably over- or underconfident")
    assert "Mean weights raise its log loss (+0.007" in even  # five images, all in one direction: Student's t is 2.2
    assert "Mean weights do not measurably change its log loss" in calibration(robustness(803, 800)).sentence


def test_damage_is_compared_under_both_routings():
    """Only under blur are 60 of 1,000 images lost with mean weights; under noise the fewest are right."""
    own = [900, 500, 800, 800, 800, 800, 800]
    finding = corruptions(robustness(own, [900, 500, 740, 800, 800, 800, 800]))
    assert finding.sentence == (
        "Of 1,000 validation images, 90.0% are right with re-estimated batch norms. Of 6 kinds of damage, noise leaves the fewest: "
        "50.0%. Against mean weights, per-image routing helps under blur (by up to 6.0 points)."
    )
    assert "Bonferroni" in finding.method and "512 clean training images" in finding.method
    rows, _ = drawn(finding.chart)
    assert "blur: 80.0% → 74.0% (-6.0)" in [row.get("text") for row in rows]
    harm = corruptions(robustness(own, [900, 560, 800, 800, 800, 800, 800]))
    assert harm.sentence.endswith("per-image routing does harm under noise (by up to 6.0 points).")
    same = corruptions(robustness(own, [900, 501, 800, 800, 800, 800, 800]))
    assert same.sentence.endswith("Per-image routing makes no measurable difference to mean weights under any of them.")
