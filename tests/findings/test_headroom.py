"""What is said about better routing weights, and about the control."""

import torch

from expertnet.findings.headroom import headroom
from expertnet.routing.headroom import Headroom


def found(images, mistakes, repaired, turned, classes=3):
    """The first images are mistakes, the first of these are repaired, and the last of these are turned into another wrong class."""
    labels = torch.zeros(images, dtype=torch.int64)
    learned, best, toward = labels.clone(), labels.clone(), labels.clone()
    learned[:mistakes] = best[:mistakes] = toward[:mistakes] = 1
    best[:repaired] = 0
    others = torch.full((images,), 2 if classes > 2 else 0)
    toward[mistakes - turned : mistakes] = 2
    return Headroom("validation", labels, learned, best, others, toward, torch.zeros(images, 1))


def test_repaired_mistakes_are_counted_and_beat_the_control_beyond_chance():
    """50 more are right of 1,000: Agresti-Min's interval is 50 / 1002 -+ 1.96 sqrt(51 - 50^2 / 1002) / 1002, 3.6 to 6.4 points."""
    finding = headroom(found(1000, 60, 50, 8))
    assert finding.sentence == (
        "Other routing weights would repair 50 of 60 mistakes on 1,000 validation images: with the best weights found for each "
        "image, the accuracy would be 99.0% instead of 94.0% (+5.0 points, 95%: +3.6 to +6.4). The same search turns 8 of 60 mistakes "
        "into another wrong class, fewer than chance explains: weights that favor the true class exist, and the router misses them."
    )
    assert finding.table[["reached", "of"]].to_numpy().tolist() == [[50, 60], [8, 60]]
    assert finding.table["low"].iloc[0] < 50 / 60 < finding.table["high"].iloc[0]


def test_weights_that_lead_anywhere_do_not_show_a_bad_router():
    said = headroom(found(1000, 60, 40, 38)).sentence
    assert said.endswith(
        "into another wrong class, which is not a measurable difference: this does not show that the router is bad."
    )
    assert headroom(found(1000, 60, 5, 50)).sentence.endswith("so the weights do not favor the true class.")


def test_a_handful_of_mistakes_shows_no_effect_beyond_chance():
    """All of 5 repaired has an exact p of 2 / 32, all of 6 one of 2 / 64."""
    for repaired, turned in ((3, 0), (5, 0), (0, 5)):
        assert headroom(found(200, max(repaired, turned), repaired, turned)).sentence.endswith(
            "which is not a measurable difference: this does not show that the router is bad."
        )
    assert headroom(found(200, 6, 6, 0)).sentence.endswith("and the router misses them.")
    assert headroom(found(200, 6, 0, 6)).sentence.endswith("so the weights do not favor the true class.")


def test_experts_are_called_interchangeable_if_the_answers_hardly_depend_on_the_weights():
    assert "the experts are nearly interchangeable here" in headroom(found(1000, 60, 2, 1)).sentence
    few = headroom(found(100, 3, 0, 0)).sentence  # of three mistakes, none repaired does not tell
    assert "interchangeable" not in few and few.endswith("this does not show that the router is bad.")


def test_without_mistakes_or_without_a_third_class_less_is_said():
    finding = headroom(found(180, 0, 0, 0))
    assert finding.sentence == (
        "The network makes no mistake on 180 validation images, so other routing weights have nothing to repair."
    )
    assert finding.table.empty and finding.chart is None
    two = headroom(found(1000, 60, 50, 0, classes=2))
    assert two.sentence.endswith("Without a third class, nothing shows whether the weights favor the true one.")
    assert len(two.table) == 1 and two.chart is not None
