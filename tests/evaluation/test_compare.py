"""Two networks on the same images, against answers on paper and the bootstrap."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from expertnet.data.splits import Split
from expertnet.evaluation.compare import (
    GROUPS,
    class_differences,
    difference_table,
    disagreements,
    in_common,
    pair,
    same_images,
)
from expertnet.evaluation.figures import macro_f1
from expertnet.evaluation.outputs import Outputs
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from tests.support.lab import random_images
from tests.support.opening import SHIPPED_CONTEXTS, SHIPPED_DIGITS, copy_of_shipped

SEED = 11


def answered(labels, answers, sure=0.6, classes=3):
    shares = torch.full((len(labels), classes), (1 - sure) / (classes - 1))
    shares[torch.arange(len(labels)), torch.tensor(answers)] = sure
    return Outputs("test", torch.tensor(labels), shares.log(), torch.ones(len(labels), 1, 1), "x")


LABELS = [0, 0, 0, 1, 1, 2]
FIRST, SECOND = answered(LABELS, [0, 0, 1, 1, 0, 2]), answered(LABELS, [0, 1, 2, 1, 1, 0])


def test_the_images_on_which_two_networks_disagree_are_those_on_paper():
    found = disagreements(FIRST, SECOND)
    assert [found[name].tolist() for name in GROUPS] == [[1, 5], [4], [2]]


def test_the_surest_disagreement_comes_first():
    sure = answered([0, 0], [0, 0])
    shares = torch.tensor([[0.3, 0.6, 0.1], [0.05, 0.9, 0.05]])
    other = Outputs("test", torch.tensor([0, 0]), shares.log(), torch.ones(2, 1, 1), "x")
    first = Outputs("test", sure.labels, torch.tensor([[0.9, 0.05, 0.05]] * 2).log(), torch.ones(2, 1, 1), "x")
    assert disagreements(first, other)[GROUPS[0]].tolist() == [1, 0]


def test_differences_are_those_on_paper():
    table = difference_table(FIRST, SECOND).set_index("figure")
    assert table.loc["accuracy", ["first", "second"]].tolist() == pytest.approx([4 / 6, 3 / 6])
    assert table.loc["accuracy", "difference"] == pytest.approx(1 / 6)
    assert table.loc["accuracy", "low"] < 0 < table.loc["accuracy", "high"]
    by_class = class_differences(FIRST, SECOND, ("cat", "dog", "eel")).set_index("class")
    assert by_class["difference"].tolist() == pytest.approx([1 / 3, -1 / 2, 1])
    assert by_class["images"].tolist() == [3, 2, 1]


def test_four_images_that_only_one_network_recognizes_exclude_no_difference_of_0():
    """Four of four such images on the same side have a probability of 1/8 by chance alone."""
    labels = [0, 1] * 500
    wrong = [1 - label if place < 4 else label for place, label in enumerate(labels)]
    table = difference_table(answered(labels, labels), answered(labels, wrong))
    assert (table["low"] < 0).all() and (table["high"] > table["difference"]).all()


def test_differences_between_answers_that_never_are_right_leave_no_empty_interval():
    labels = [0, 0, 0, 0, 2, 3]
    answers = [[0, 0, 0, 2, 0, 0], [0, 0, 0, 3, 0, 0]]  # the F1 of the classes 2 and 3 is 0 with both
    table = difference_table(*(answered(labels, each, classes=4) for each in answers))
    assert (table["low"] < 0).all() and (table["high"] > 0).all()


def test_images_in_common_are_found_by_their_pixels_and_count_once():
    images = random_images(6)
    first = Split(images[[0, 1, 2, 2, 3]], torch.zeros(5, dtype=torch.int64))
    second = Split(images[[5, 3, 0, 2, 0]], torch.zeros(5, dtype=torch.int64))
    mine, theirs = in_common(first, second)
    assert (mine.tolist(), theirs.tolist()) == ([0, 2, 4], [2, 3, 1])
    assert [len(each) for each in in_common(first, Split(images[4:5], torch.zeros(1)))] == [0, 0]


def test_answers_to_the_images_in_common_are_compared_and_put_at_their_places():
    images = random_images(9)
    mine, theirs = Split(images[:6], FIRST.labels), Split(images[[8, 4, 7, 2, 1, 6]], SECOND.labels)
    found = pair(FIRST, SECOND, (mine, theirs))
    assert found.places.tolist() == [1, 2, 4] and found.among == (6, 6) and not found.is_all
    assert found.first.predictions.tolist() == [0, 1, 0] and found.second.predictions.tolist() == [1, 1, 1]
    assert found.first.labels.tolist() == found.second.labels.tolist() == [0, 0, 1]  # not those of the second set
    assert found.spread.predictions[[1, 2, 4]].tolist() == [1, 1, 1] and len(found.spread.labels) == 6
    for outputs in (found.first, found.second, found.spread):
        assert torch.allclose(outputs.log_sums, outputs.logits.logsumexp(1))


def test_all_images_are_compared_if_both_networks_have_the_same():
    found = pair(FIRST, SECOND)
    assert found.is_all and found.first is FIRST and found.second is SECOND and found.spread is SECOND


@pytest.mark.slow
def test_the_interval_of_the_difference_in_macro_f1_is_that_of_the_bootstrap():
    print("seed", SEED)
    generator = torch.Generator().manual_seed(SEED)
    labels = torch.randint(4, (1500,), generator=generator)
    logits = [torch.randn(1500, 4, generator=generator) for _ in range(2)]
    for each, strength in zip(logits, (2.0, 1.5), strict=True):
        each[torch.arange(1500), labels] += strength
    first, second = (Outputs("test", labels, each, torch.ones(1500, 1, 1), "x") for each in logits)
    row = difference_table(first, second).iloc[1]
    values = []
    for _ in range(400):
        drawn = torch.randint(1500, (1500,), generator=generator)
        values.append(
            macro_f1(labels[drawn], first.predictions[drawn], 4).value
            - macro_f1(labels[drawn], second.predictions[drawn], 4).value
        )
    assert (row["high"] - row["low"]) / 2 == pytest.approx(1.96 * np.std(values), rel=0.12)


@pytest.mark.parametrize(
    ("fingerprints", "contents", "same"),
    [
        (("folder-9a-32px-v2", "folder-9a-32px-v3"), ("", ""), False),
        (("folder-9a-32px-v2", "folder-9a-32px-v3"), ("one order", "another"), False),
        (("folder-9a-32px-v2", "folder-9a-32px-v3"), ("same", "same"), True),
        (("folder-9a-32px-v3", "folder-9a-32px-v3"), ("", "known"), True),
        (("digits-32px-v2", "digits-32px-v3"), ("", "known"), True),  # read in one order by all versions
    ],
)
def test_images_that_versions_decoded_in_another_order_are_not_the_same(tmp_path, fingerprints, contents, same):
    runs = [copy_of_shipped(RunStore(tmp_path / name), name) for name in ("one", "other")]
    for run, fingerprint, content in zip(runs, fingerprints, contents, strict=True):
        info = replace(run.dataset_info(), fingerprint=fingerprint, content=content)
        run.write_config(run.config() | {"dataset": info.to_dict()})
    assert same_images(*runs, "test") == same


def test_runs_have_the_same_validation_images_only_with_the_same_seed_and_share(tmp_path):
    store = RunStore(tmp_path / "runs")
    one = copy_of_shipped(store, "one")
    same, shipped, other = Run(one.path), Run(SHIPPED_DIGITS), Run(SHIPPED_CONTEXTS)
    assert same_images(one, shipped, "test") and same_images(same, shipped, "validation")
    assert not same_images(one, other, "test")
    one.write_config(one.config() | {"seed": 99})
    assert same_images(one, shipped, "test") and not same_images(one, shipped, "validation")
