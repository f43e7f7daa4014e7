"""Which classes are taken for which, against an example on paper and scikit-learn."""

import json

import pytest
import torch
from sklearn.metrics import confusion_matrix

from expertnet.findings.confusion import DRAWN, confusion
from expertnet.inference.mistakes import Mistakes

LABELS = torch.tensor([0, 0, 0, 1, 1, 2])
SEED = 8


def test_the_confusion_counts_and_names_the_most_frequent_mistake():
    finding = confusion(Mistakes(LABELS, torch.tensor([0, 1, 1, 1, 2, 2]), ()), ("cat", "dog", "eel"), "test")
    assert finding.table["class"].tolist() == ["cat", "cat", "dog", "dog", "eel"]
    assert finding.table["answer"].tolist() == ["cat", "dog", "dog", "eel", "eel"]
    assert finding.table["images"].tolist() == [1, 2, 1, 1, 1]
    assert finding.table["share"].round(3).tolist() == [0.333, 0.667, 0.5, 0.5, 1]
    assert finding.sentence == "3 mistakes in 6 test images. Most often, cat is mistaken for dog: in 2 of 3 images."
    assert {"class": "cat", "answer": "dog", "images": 2} in [
        {key: row[key] for key in ("class", "answer", "images")}
        for table in finding.spec["datasets"].values()
        for row in table.to_dict("records")
    ]


@pytest.mark.parametrize(("images", "classes"), [(1, 2), (40, 5), (3000, 60)])
def test_the_counts_and_shares_are_those_of_scikit_learn(images, classes):
    print("seed", SEED)
    generator = torch.Generator().manual_seed(SEED)
    labels, answers = torch.randint(classes, (2, images), generator=generator)
    names = tuple(f"class {number}" for number in range(classes))
    table = confusion(Mistakes(labels, answers, ()), names, "test").table
    for column, normalize in (("images", None), ("share", "true")):
        expected = confusion_matrix(labels, answers, labels=range(classes), normalize=normalize)
        cells = [
            (names[true], names[answer], pytest.approx(expected[true, answer]))
            for true, answer in zip(*expected.nonzero(), strict=True)
        ]
        assert list(zip(table["class"], table["answer"], table[column], strict=True)) == cells


def test_no_mistake_is_named_if_none_stands_out():
    single = confusion(Mistakes(LABELS, torch.tensor([0, 0, 1, 1, 1, 2]), ()), ("cat", "dog", "eel"), "validation")
    assert single.sentence == "1 mistake in 6 validation images."
    assert (
        confusion(Mistakes(LABELS, LABELS, ()), ("cat", "dog", "eel"), "test").sentence
        == "No mistakes in 6 test images."
    )


def test_the_chart_of_a_network_without_mistakes_is_json():
    spec = confusion(Mistakes(LABELS, LABELS, ()), ("cat", "dog", "eel"), "test").spec
    json.dumps({key: value for key, value in spec.items() if key != "datasets"}, allow_nan=False)


def test_many_classes_are_drawn_as_far_as_they_have_mistakes():
    labels = torch.arange(30)
    answers = labels.clone()
    answers[29] = 28
    finding = confusion(Mistakes(labels, answers, ()), tuple(f"class {number}" for number in range(30)), "test")
    (drawn,) = finding.spec["datasets"].values()
    assert len(finding.table) == 30 and drawn["class"].nunique() <= DRAWN
    assert {"class 28", "class 29"} <= set(drawn["class"])


def test_a_cell_for_every_pair_of_classes_need_not_fit_into_memory():
    names = tuple(map(str, range(1_000_000)))
    labels = torch.tensor([5, 5, 999_999])
    finding = confusion(Mistakes(labels, torch.tensor([7, 7, 999_999]), ()), names, "test")
    assert finding.sentence == "2 mistakes in 3 test images. Most often, 5 is mistaken for 7: in 2 of 2 images."
