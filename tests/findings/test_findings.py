"""The tables of a test set made once, two runs matched, the findings' words and files, and images of feature maps."""

import re

import altair as alt
import pandas as pd
import pytest
import torch

from expertnet.charts.ablations import weight_and_effect
from expertnet.charts.base import specification, to_file
from expertnet.charts.routing import information_bars
from expertnet.findings import ablations, classes, policies, through_training
from expertnet.findings import experts as expert_findings
from expertnet.inference.routing_cache import Routed
from expertnet.routing.effects import POLICIES, Effects
from expertnet.routing.feature_maps import mosaic
from expertnet.routing.lab import Lab, matched, open_lab

CLASSES = ("cat", "dog", "eel", "fox")


def routed(n=80, blocks=2, experts=3, seed=7):
    print("seed", seed)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    logits = (
        torch.randn(n, blocks, experts, generator=generator)
        + 3 * torch.randn(4, blocks, experts, generator=generator)[labels]
    )
    predictions = torch.where(torch.rand(n, generator=generator) < 0.2, (labels + 1) % 4, labels)
    return Routed(logits.softmax(2), labels, predictions)


def test_the_same_routing_is_the_same_lab():
    found = routed()
    assert open_lab(found, CLASSES) is open_lab(found, CLASSES)
    assert open_lab(found, CLASSES).blocks is open_lab(found, CLASSES).blocks


def test_a_lab_agrees_with_its_routing():
    found = routed()
    lab = Lab(found, CLASSES)
    assert lab.usage.sum(1).tolist() == pytest.approx([1, 1])
    table = lab.by_class.set_index(["class", "block", "expert"])["weight"]
    assert table["dog", 2, 3] == pytest.approx(found.routing[found.labels == 1, 1, 2].mean().item())
    assert set(lab.by_class["class"]) == set(CLASSES)
    points, _ = lab.points
    wrong = points[points["class"] != points["taken for"]]
    assert len(wrong) == (found.labels != found.predictions).sum()


def test_a_run_with_its_experts_renumbered_is_matched_back():
    found = routed()
    order = torch.tensor([[2, 0, 1], [1, 2, 0]])
    other = Routed(found.routing.gather(2, order.expand_as(found.routing)), found.labels, found.predictions)
    lab, reference = Lab(other, CLASSES), Lab(found, CLASSES)
    assert torch.equal(matched(lab, reference).routed.routing, found.routing)
    assert matched(lab, reference) is matched(lab, reference)


def test_two_runs_have_their_classes_in_the_same_order():
    found = routed()
    swapped = torch.tensor([3, 2, 0, 1])[found.labels]  # other classes route alike
    lab, reference = Lab(Routed(found.routing, swapped, found.predictions), CLASSES), Lab(found, CLASSES)
    assert list(lab.by_class["class"].unique()) != list(reference.by_class["class"].unique())
    other = matched(lab, reference)
    assert list(other.by_class["class"].unique()) == list(reference.by_class["class"].unique())
    own = lab.by_class.set_index(["class", "block"]).groupby(level=[0, 1])["weight"].max()
    assert other.by_class.groupby(["class", "block"])["weight"].max().equals(own)  # the weights stay with their class
    assert "order of the first run" in classes.classes(other, 1).method
    assert "neighbours" in classes.classes(lab, 1).method


def test_a_class_without_images_is_left_out():
    found = routed()
    members = found.labels != 2
    lab = Lab(Routed(found.routing[members], found.labels[members], found.predictions[members]), CLASSES)
    assert set(lab.by_class["class"]) == {"cat", "dog", "fox"}
    assert len(lab.mistakes) == 2


@pytest.mark.parametrize(("blocks", "experts"), [(2, 3), (1, 1), (1, 2), (3, 1)])
def test_every_figure_can_be_made_and_saved(blocks, experts):
    found = routed(blocks=blocks, experts=experts)
    lab = Lab(found, CLASSES)
    everyone = found.predictions.expand(blocks, experts, -1)
    silenced = Effects(found.labels, found.predictions, everyone.roll(1, -1))
    six = Effects(found.labels, found.predictions, found.predictions.expand(len(POLICIES), -1))
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
        classes.plane(lab),
        classes.mistakes(lab),
        expert_findings.utilization(lab),
        expert_findings.entropies(lab),
        expert_findings.specializations(lab),
        policies.policies(six),
        ablations.ablation(silenced, lab, True),
        ablations.ablation_by_class(silenced, lab, 1),
        *through_training.through_training(history, "test set"),
        through_training.training_utilization(history, 1, "test set"),
    ]
    assert len({finding.name for finding in made}) == len(made)
    for finding in made:
        assert finding.sentence.endswith(".") and finding.method.endswith(".") and "nan" not in finding.sentence
        assert len(finding.table)
        if finding.chart is not None:
            assert b"<svg" in to_file(finding.chart, "svg")[:200]
    assert to_file(made[0].chart, "png").startswith(b"\x89PNG")


def test_a_figure_is_made_once_and_drawn_as_altair_would():
    lab = Lab(routed(), CLASSES)
    finding = classes.classes(lab, 1, "cell")
    assert classes.classes(lab, 1, "cell") is finding and classes.classes(lab, 2, "cell") is not finding
    assert classes.classes(Lab(routed(), CLASSES), 1, "cell") is not finding
    for each in (finding, classes.plane(lab, "point"), classes.mistakes(lab)):
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


def test_a_specification_holds_its_tables_whatever_streamlit_does_meanwhile():
    chart = alt.Chart(pd.DataFrame({"x": range(6000)})).mark_point().encode(x=alt.X("x:Q"))
    alt.data_transformers.register("elsewhere", lambda data: {"name": "elsewhere"})
    with alt.data_transformers.enable("elsewhere"):  # as st.altair_chart does for a moment, for all threads
        spec = specification(chart)
    assert [len(table) for table in spec["datasets"].values()] == [6000]
    assert spec["data"]["name"] in spec["datasets"]


def test_experts_that_are_used_alike_are_not_ranked():
    same = Lab(Routed(torch.full((40, 2, 1), 1.0), torch.arange(40) % 4, torch.arange(40) % 4), CLASSES)
    assert expert_findings.utilization(same).sentence == expert_findings.ALIKE
    history = [{"epoch": 1, "expert_usage": same.usage.tolist()}]
    assert through_training.training_utilization(history, 1, "test set").sentence == expert_findings.ALIKE
    assert "is used most" in expert_findings.utilization(Lab(routed(), CLASSES)).sentence


def test_dead_experts_are_named_a_few_at_most():
    routing = torch.full((20, 3, 3), 0.01)
    routing[..., 1] = 0.98  # experts 1 and 3 of each block are hardly used, and silencing any expert changes nothing
    labels = torch.arange(20) % 4
    lab = Lab(Routed(routing, labels, labels), CLASSES)
    sentence = ablations.ablation(Effects(labels, labels, labels.expand(3, 3, -1)), lab, True).sentence
    named = "block 1, expert 1; block 1, expert 3; block 2, expert 1; block 2, expert 3; and 2 more"
    assert f"6 experts are dead ({named})" in sentence
    changed = labels.expand(3, 3, -1).clone()
    changed[:, 0] = changed[:2, 2] = 0  # only the last of them is without effect
    sentence = ablations.ablation(Effects(labels, labels, changed), lab, True).sentence
    assert "1 expert is dead (block 3, expert 3)" in sentence


def test_where_routing_tells_nothing_of_the_class_no_mistake_is_said_to_route_like_one():
    generator = torch.Generator().manual_seed(5)
    labels = torch.arange(400) % 4
    taken = torch.where(torch.rand(400, generator=generator) < 0.4, (labels + 1) % 4, labels)
    lab = Lab(Routed(torch.rand(400, 3, 3, generator=generator).softmax(2), labels, taken), CLASSES)
    assert "tells nothing" in classes.information(lab).sentence
    assert "tells nothing" in classes.mistakes(lab).sentence
    telling = Lab(routed(400), CLASSES)
    assert "2 of 2 blocks tell more" in classes.information(telling).sentence
    assert "tells nothing" not in classes.mistakes(telling).sentence


def mistaken(a_for_b, like):
    """Four classes with an expert each, of which the last is never recognized, and images of the first that are taken for the second."""
    labels = torch.tensor([0, 1, 2] * 20 + [3] * 5 + [0] * a_for_b)
    predictions = torch.tensor([0, 1, 2] * 20 + [0] * 5 + [1] * a_for_b)
    routing = torch.nn.functional.one_hot(labels, 4).float()[:, None]
    routing[len(labels) - a_for_b :] = torch.eye(4)[like]
    return classes.mistakes(Lab(Routed(routing, labels, predictions), CLASSES))


def test_mistakes_that_are_left_out_are_told():
    assert mistaken(2, like=0).method.startswith(
        "Of the images that were classified wrongly (7), those whose own and other class both have rightly classified "
        "images (2): the share whose weights lie nearer"
    )
    found = routed()
    wrong = int((found.labels != found.predictions).sum())
    assert classes.mistakes(Lab(found, CLASSES)).method.startswith(
        f"Of the images that were classified wrongly ({wrong}), the share whose weights lie nearer"
    )


def test_what_mistakes_are_routed_like_is_said_only_beyond_doubt():
    own, taken = "their own class", "the class they were taken for"
    assert mistaken(30, like=1).sentence == (
        f"Mistakes route like {taken}, more than like {own}, in block 1 (beyond doubt at 95%)."
    )
    assert mistaken(30, like=0).sentence == (
        f"Mistakes route like {own}, more than like {taken}, in block 1 (beyond doubt at 95%)."
    )
    assert (
        mistaken(2, like=1).sentence
        == f"Whether mistakes route like {taken} or like {own} cannot be told from 2 mistakes."
    )
    assert mistaken(1, like=1).sentence.endswith("from 1 mistake.")


def test_amounts_are_written_so_that_a_person_can_read_them():
    def curves(*bits):
        history = [
            {"epoch": n, "expert_usage": [[0.5, 0.5]], "routing_entropy": [0.25], "routing_information": [each]}
            for n, each in enumerate(bits, 1)
        ]
        return [finding.sentence for finding in through_training.through_training(history, "test set")]

    assert curves(1.7e-6, 0.0123)[2] == (
        "The information about the class went from under 0.001 bits to 0.012 bits between epochs 1 and 2, on the mean of the blocks."
    )
    assert curves(1.7e-6, 0.00027)[2] == (
        "The information about the class is under 0.001 bits after epoch 2, as after epoch 1, on the mean of the blocks."
    )
    assert curves(0.5)[2] == "The information about the class is 0.500 bits after epoch 1, on the mean of the blocks."
    assert "0.250 nats" in curves(0.5)[1]
    blocks = pd.DataFrame({"block": [1, 2], "information": [3.2e-5, 0.4567], "chance": 0.0, "chance_high": 1e-5})
    drawn = to_file(information_bars(blocks), "svg").decode()
    assert ">under 0.001<" in drawn and ">0.457<" in drawn


def test_accuracies_are_in_per_cent_and_their_differences_in_points():
    labels = torch.arange(1000) % 4
    changed = labels.expand(2, 2, -1).clone()
    changed[0, 1, :114] = (labels[:114] + 1) % 4
    effects = Effects(labels, labels, changed)
    lab = Lab(Routed(torch.full((1000, 2, 2), 0.5), labels, labels), CLASSES)
    assert ablations.ablation(effects, lab, True).sentence.startswith(
        "Silencing expert 2 of block 1 costs most, 11.4 points of accuracy; "
    )
    worse = labels.expand(len(POLICIES), -1).clone()
    worse[list(POLICIES).index("shuffled"), :31] = (labels[:31] + 1) % 4
    assert "the accuracy falls by 3.1 points, to 96.9%." in policies.policies(Effects(labels, labels, worse)).sentence
    finding = ablations.ablation_by_class(effects, lab, 1)
    assert finding.sentence == "In block 1 the class cat loses most without expert 2: 11.6% of its images."
    numbers = re.findall(r">([+\u2212-]?[\d.]+%?)</text>", to_file(finding.chart, "svg").decode())
    assert numbers.count("0") == 4 and sum(number.endswith("11.6%") for number in numbers) == 2


def test_labels_stand_only_where_they_hide_nothing():
    table = pd.DataFrame(
        {"block": [1, 1, 2], "expert": [1, 2, 1], "weight": [0.3, 0.31, 0.9], "change": [-0.1, -0.1, -0.2]}
    )
    table = table.assign(low=table["change"] - 0.01, high=table["change"] + 0.01, flipped=3)
    layers = weight_and_effect(table).to_dict()
    named = [[row["text"] for row in rows if "text" in row] for rows in layers["datasets"].values()]
    assert ["", "", "2.1"] in named


def test_no_policy_earns_anything_where_all_say_the_same():
    found = routed()
    same = Effects(found.labels, found.predictions, found.predictions.expand(len(POLICIES), -1))
    assert "earns nothing" in policies.policies(same).sentence
    worse = same.changed.clone()
    worse[-1] = (found.labels + 2) % 4
    assert "earns something" in policies.policies(Effects(found.labels, found.predictions, worse)).sentence


def test_a_sample_is_always_the_same_and_no_larger_than_the_whole():
    assert classes.sample(5, 3) == [0, 1, 2]
    assert classes.sample(5, 100) == classes.sample(5, 100) == sorted(set(classes.sample(5, 100)))


def test_a_mosaic_shows_every_map_in_its_place():
    maps = torch.zeros(3, 2, 2)
    maps[1] = 1
    image = mosaic(maps, pixels=12)  # two columns of maps 3 wide with their line: twice as large
    assert image.shape == (12, 12)
    assert (image[:4, 6:10] == 0).all()
    assert image.sum() == 255 * (12 * 12 - 16)
