"""What is said about classes, and only as far as the data allow."""

import re

import torch

from expertnet.findings import classes
from expertnet.inference.routing_cache import Routed
from expertnet.routing.lab import Lab
from expertnet.routing.probe import Probes
from tests.support.lab import ANIMALS, one_hot, routed

LABELS = torch.arange(400) % 4


def test_what_a_drawn_expert_says_about_the_class_is_compared_with_chance():
    routing = torch.rand(400, 3, 3, generator=torch.Generator().manual_seed(5)).softmax(2)
    assert "says nothing" in classes.information(Lab(Routed(routing, LABELS, LABELS), ANIMALS)).sentence
    told = classes.information(Lab(Routed(torch.cat([routing, one_hot(LABELS // 2, 3)], 1), LABELS, LABELS), ANIMALS))
    assert told.sentence == (
        "An expert drawn by the weights of block 4 says the most about the class: 1.000 bits. "
        "Such an expert says more than chance would in 1 of 4 blocks."
    )


def test_a_trace_of_information_is_not_said_to_be_much():
    """Weights of 1/2 -+ 0.01 tell 0.0003 bits of the class: more than chance, and yet next to nothing."""
    trace = 0.5 + 0.01 * (2 * (LABELS % 2) - 1)
    lab = Lab(Routed(torch.stack([trace, 1 - trace], 1)[:, None], LABELS, LABELS), ANIMALS)
    assert classes.information(lab).sentence == (
        "An expert drawn by the weights says next to nothing about the class (under 0.001 bits in block 1, the most), though more than "
        "chance would in 1 of 1 block."
    )


def test_differences_of_classes_are_named_only_beyond_chance():
    generator = torch.Generator().manual_seed(5)
    independent = torch.rand(400, 1, 3, generator=generator).softmax(2)
    by_class = torch.eye(3)[LABELS % 3][:, None]  # cat and fox go to expert 1, dog to 2 and eel to 3
    lab = Lab(Routed(torch.cat([independent, by_class], 1), LABELS, LABELS), ANIMALS)
    assert classes.classes(lab, 1).sentence == (
        "In block 1, the classes' mean weights differ no more than chance would make them differ."
    )
    assert re.fullmatch(
        r"In block 2, classes differ most in the weight of expert 1: on average 1\.00 for (cat|fox) and 0\.00 for (dog|eel)\. "
        r"Chance alone would give differences of at most 0\.[12]\d\.",
        classes.classes(lab, 2).sentence,
    )
    even = Lab(Routed(torch.full((400, 1, 3), 1 / 3), LABELS, LABELS), ANIMALS)
    assert classes.classes(even, 1).sentence == "In block 1, all classes are routed nearly the same way on average."


def test_the_plane_says_how_much_it_shows():
    assert (
        "as far as the plane shows it: 100% of the variance." in classes.plane(Lab(routed(blocks=1), ANIMALS)).sentence
    )
    even = Lab(Routed(torch.full((400, 1, 3), 1 / 3), LABELS, LABELS), ANIMALS)
    assert classes.plane(even).sentence == "All test images have the same routing weights."


def test_the_map_says_if_all_images_are_routed_nearly_alike():
    def sentence(difference):
        weights = 0.5 + difference / 2 * torch.tensor([[[1.0, -1.0]], [[-1.0, 1.0]]]).repeat(10, 1, 1)
        labels = torch.arange(20) % 4
        return classes.plane(Lab(Routed(weights, labels, labels), ANIMALS)).sentence

    # Two points, of which (1, 0) and (0, 1) would be 1 apart
    assert " the weights of no two are further apart than 0.04, where 1 means" in sentence(0.04)
    assert "further apart than 0.01," in sentence(1e-4)
    assert "further apart" not in sentence(0.4)


def test_a_sample_is_always_the_same():
    assert classes.sample(5, 3) == [0, 1, 2]
    assert classes.sample(5, 100) == classes.sample(5, 100) == sorted(set(classes.sample(5, 100)))


def test_what_a_probe_reads_is_compared_with_random_routers():
    lab = Lab(routed(), ANIMALS)
    random = torch.tensor([[0.1, 0.9], [0.2, 0.4]])
    finding = classes.probe(Probes(2.0, torch.tensor([0.3, 0.8]), torch.tensor([0.01, 0.01]), random), lab)
    assert finding.sentence == (
        "A linear probe reads the most about the class from the weights of block 2: 0.80 of 2.00 bits. From those of 5 random routers in "
        "block 2, it reads 0.40 to 0.90. It reads more from the learned weights than from those of any random router in 1 of 2 blocks."
    )
    nothing, none = torch.zeros(2), torch.zeros(0, 2)
    assert classes.probe(Probes(2.0, nothing, nothing, none), lab).sentence == (
        "A linear probe reads under 0.005 bits about the class from the weights of any block."
    )
    assert classes.probe(Probes(0.0, nothing, nothing, none), lab).sentence == (
        "A linear probe needs two classes with at least 5 test images each."
    )
