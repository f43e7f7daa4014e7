"""The AUROC of benchmarks.near_strangers."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.near_strangers import auroc


def test_the_area_and_its_interval_are_those_worked_out_by_hand():
    found = auroc(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0]))  # 1.5 and 3 of 3 pairs; 2, 1.5 and 1 of 2
    assert found.value == pytest.approx(0.75)
    deviation = (0.125 / 2 + 0.0625 / 3) ** 0.5
    assert found.low == pytest.approx(0.75 - 1.96 * deviation, abs=1e-4) and found.high == 1


def test_the_area_is_that_of_scikit_learn_also_with_equal_scores():
    generator = torch.Generator().manual_seed(0)
    usual, strange = (torch.randint(high, (300,), generator=generator) for high in (20, 30))
    labels = [0] * 300 + [1] * 300
    assert auroc(usual, strange).value == pytest.approx(roc_auc_score(labels, torch.cat((usual, strange))))
