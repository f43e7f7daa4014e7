"""What is said about classes, and only as far as the data allow."""

import torch

from expertnet.findings import classes
from expertnet.inference.routing_cache import Routed
from expertnet.routing.lab import Lab
from tests.support.lab import ANIMALS, one_hot, routed

LABELS = torch.arange(400) % 4


def test_what_a_drawn_expert_says_about_the_class_is_compared_with_chance():
    routing = torch.rand(400, 3, 3, generator=torch.Generator().manual_seed(5)).softmax(2)
    assert "says nothing" in classes.information(Lab(Routed(routing, LABELS, LABELS), ANIMALS)).sentence
    told = classes.information(Lab(Routed(torch.cat([routing, one_hot(LABELS // 2, 3)], 1), LABELS, LABELS), ANIMALS))
    assert told.sentence == (
        "An expert drawn by the weights of block 4 says the most about the class: 1.000 bits. "
        "It says more than chance would in 1 of 4 blocks."
    )


def test_differences_of_classes_are_named_only_beyond_chance():
    generator = torch.Generator().manual_seed(5)
    independent = torch.rand(400, 1, 3, generator=generator).softmax(2)
    by_class = torch.eye(3)[LABELS % 3][:, None]  # cat and fox go to expert 1, dog to 2 and eel to 3
    lab = Lab(Routed(torch.cat([independent, by_class], 1), LABELS, LABELS), ANIMALS)
    assert classes.classes(lab, 1).sentence == (
        "In block 1, the classes' mean weights differ no more than chance would make them differ."
    )
    assert classes.classes(lab, 2).sentence.startswith(
        "In block 2, classes differ most in the weight of expert 1: on average 1.00 for cat and 0.00 for dog. Chance alone "
    )
    even = Lab(Routed(torch.full((400, 1, 3), 1 / 3), LABELS, LABELS), ANIMALS)
    assert classes.classes(even, 1).sentence == "In block 1, all classes are routed nearly the same way on average."


def test_the_plane_says_how_much_it_shows():
    assert "the plane shows 100% of the variance." in classes.plane(Lab(routed(blocks=1), ANIMALS)).sentence
    even = Lab(Routed(torch.full((400, 1, 3), 1 / 3), LABELS, LABELS), ANIMALS)
    assert classes.plane(even).sentence == "All test images have the same routing weights."


def test_a_sample_is_always_the_same():
    assert classes.sample(5, 3) == [0, 1, 2]
    assert classes.sample(5, 100) == classes.sample(5, 100) == sorted(set(classes.sample(5, 100)))
