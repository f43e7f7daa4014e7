"""What is said about classes and mistakes, and only as far as the data allow."""

import torch

from expertnet.findings import classes
from expertnet.inference.routing_cache import Routed
from expertnet.routing.lab import Lab
from tests.support.lab import ANIMALS, routed


def test_routing_that_says_nothing_about_classes_says_nothing_about_mistakes():
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(400) % 4
    taken = torch.where(torch.rand(400, generator=generator) < 0.4, (labels + 1) % 4, labels)
    lab = Lab(Routed(torch.rand(400, 3, 3, generator=generator).softmax(2), labels, taken), ANIMALS)
    assert "says nothing" in classes.information(lab).sentence
    assert "says nothing" in classes.mistakes(lab).sentence
    telling = Lab(routed(400), ANIMALS)
    assert "more than chance would in 2 of 2 blocks." in classes.information(telling).sentence
    assert "says nothing" not in classes.mistakes(telling).sentence


def mistaken(a_for_b, like):
    """Four classes with an expert each. The last is never recognized, and some images of the first are misclassified as the second."""
    labels = torch.tensor([0, 1, 2] * 20 + [3] * 5 + [0] * a_for_b)
    predictions = torch.tensor([0, 1, 2] * 20 + [0] * 5 + [1] * a_for_b)
    routing = torch.nn.functional.one_hot(labels, 4).float()[:, None]
    routing[len(labels) - a_for_b :] = torch.eye(4)[like]
    return classes.mistakes(Lab(Routed(routing, labels, predictions), ANIMALS))


def test_mistakes_that_cannot_be_compared_are_counted():
    assert mistaken(2, like=0).method.startswith("Of 7 misclassified images, 2 can be compared: ")
    found = routed()
    wrong = int((found.labels != found.predictions).sum())
    assert classes.mistakes(Lab(found, ANIMALS)).method.startswith(
        f"Compares {wrong} misclassified images. The chart shows"
    )


def test_what_mistakes_are_routed_like_is_said_only_if_the_interval_allows():
    own, predicted = "their own class", "the predicted class"
    assert mistaken(30, like=1).sentence == (
        f"Mistakes are routed more like {predicted} than like {own} in block 1 (at 95% confidence)."
    )
    assert mistaken(30, like=0).sentence == (
        f"Mistakes are routed more like {own} than like {predicted} in block 1 (at 95% confidence)."
    )
    assert mistaken(2, like=1).sentence == (
        f"The data (2 mistakes) do not show whether mistakes are routed more like {predicted} or like {own}."
    )
    assert "(1 mistake)" in mistaken(1, like=1).sentence


def test_a_sample_is_always_the_same():
    assert classes.sample(5, 3) == [0, 1, 2]
    assert classes.sample(5, 100) == classes.sample(5, 100) == sorted(set(classes.sample(5, 100)))
