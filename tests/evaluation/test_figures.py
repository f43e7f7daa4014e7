"""The figures of a network equal scikit-learn's, and their intervals scipy's and the bootstrap's."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support, top_k_accuracy_score

from expertnet.evaluation.figures import class_table, f1_parts, figures, macro_f1
from expertnet.evaluation.outputs import Outputs
from expertnet.routing.paired import wilson

SEED = 5
CLASSES = tuple(f"class {number}" for number in range(8))


def outputs(count=400, classes=8, strength=1.5):
    """Random outputs that prefer the label. The last class is never a label, and the one before it never an answer."""
    generator = torch.Generator().manual_seed(SEED)
    labels = torch.randint(classes - 1, (count,), generator=generator)
    logits = torch.randn(count, classes, generator=generator)
    logits[torch.arange(count), labels] += strength
    logits[:, -2] -= 100
    return Outputs("test", labels, logits, torch.ones(count, 1, 1), "x")


def test_the_figures_are_those_of_scikit_learn():
    print("seed", SEED)
    found, given = figures(outputs()), outputs()
    assert list(found) == ["accuracy", "top-5 accuracy", "macro F1"]
    labels, predictions = given.labels.numpy(), given.predictions.numpy()
    assert found["accuracy"].value == pytest.approx(accuracy_score(labels, predictions))
    top = top_k_accuracy_score(labels, given.logits.numpy(), k=5, labels=range(8))
    assert found["top-5 accuracy"].value == pytest.approx(top)
    assert found["macro F1"].value == pytest.approx(f1_score(labels, predictions, average="macro", zero_division=0))


def test_the_figures_of_classes_are_those_of_scikit_learn():
    print("seed", SEED)
    given, table = outputs(), class_table(outputs(), CLASSES)
    arrays = given.labels.numpy(), given.predictions.numpy()
    precision, recall, f1, support = precision_recall_fscore_support(*arrays, labels=range(8), zero_division=np.nan)
    for name, expected in (("precision", precision), ("recall", recall), ("images", support)):
        assert table[name].to_numpy(dtype=float) == pytest.approx(expected, nan_ok=True)
    assert table["f1"].to_numpy() == pytest.approx(f1, nan_ok=True)
    for name in ("low", "high"):
        expected = [
            getattr(binomtest(round(r * n), int(n)).proportion_ci(method="wilson"), name)
            for r, n in zip(recall[:7], support[:7], strict=True)
        ]
        assert table[name][:7].to_numpy(dtype=float) == pytest.approx(np.array(expected), abs=1e-5)
    assert table["low"].dtype == float and np.isnan(table["low"][7])
    assert np.isnan(table["precision"][6]) and np.isnan(table["recall"][7])  # never an answer, never a label


def test_the_most_frequent_wrong_answer_is_named():
    labels, answers = torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0, 1, 2, 2, 1])
    logits = torch.nn.functional.one_hot(answers, 3).float()
    given = Outputs("test", labels, logits, torch.ones(5, 1, 1), "x")
    assert class_table(given, ("cat", "dog", "eel"))["most_often"].tolist() == ["eel", "", ""]


@pytest.mark.parametrize(("right", "count"), [(0, 10), (7, 10), (10, 10), (8653, 10_000)])
def test_the_interval_of_a_share_is_that_of_scipy(right, count):
    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right / count, count) == pytest.approx((expected.low, expected.high), abs=1e-5)


def test_the_interval_of_none_or_all_images_holds_0_or_1_exactly():
    assert all(wilson(0.0, count)[0] == 0 and wilson(1.0, count)[1] == 1 for count in range(1, 500))


def test_the_interval_of_macro_f1_is_that_of_the_bootstrap():
    print("seed", SEED)
    given, generator = outputs(1000), torch.Generator().manual_seed(SEED)
    values = []
    for _ in range(400):
        drawn = torch.randint(1000, (1000,), generator=generator)
        values.append(macro_f1(given.labels[drawn], given.predictions[drawn], 8).value)
    found, drawn = macro_f1(given.labels, given.predictions, 8), np.array(values)
    parts = f1_parts(given.labels, given.predictions, 8)
    assert parts.mean().item() == pytest.approx(0, abs=1e-12)
    assert parts.std().item() / 1000**0.5 == pytest.approx(drawn.std(), rel=0.12)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.005)


def test_few_classes_have_no_top_five_and_no_mistake_leaves_no_empty_interval():
    labels = torch.arange(40) % 4
    given = Outputs("test", labels, 9 * torch.nn.functional.one_hot(labels).float(), torch.ones(40, 1, 1), "x")
    found = figures(given)
    assert list(found) == ["accuracy", "macro F1"]
    assert found["macro F1"] == found["accuracy"] and 0.9 < found["accuracy"].low < found["accuracy"].high == 1
