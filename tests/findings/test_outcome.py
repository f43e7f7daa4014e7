"""What a training came to, in a sentence."""

import pytest

from expertnet.findings.outcome import needs_more, outcome
from expertnet.settings.fields import build_settings
from expertnet.store.status import Status

ENDED = {"state": "finished", "epoch": 12, "epochs": 12, "steps": 10}


@pytest.mark.parametrize(
    ("dataset", "status", "sentence"),
    [
        ("digits", {"test_accuracy": 357 / 359}, "Recognizes 99.4% of 359 unseen digits; 2 wrong."),
        ("cifar10", {"test_accuracy": 0.865}, "Recognizes 86.5% of 10,000 unseen images; 1,350 wrong."),
        ("/own/images", {"test_accuracy": 0.968}, "Recognizes 96.8% of the unseen test images."),
        (
            "/own/images",
            {"test_accuracy": 0.968, "test_images": 500},
            "Recognizes 96.8% of 500 unseen images; 16 wrong.",
        ),
        (  # Newcombe 1998 prints the formula; 11 of 12 by hand: (11 + 1.92 ± 1.96 √(11/12 + 0.96)) / (12 + 3.84)
            "/own/images",
            {"test_accuracy": 11 / 12, "test_images": 12},
            "Recognizes 11 of 12 unseen images (91.7%). So few images say little: "
            "the accuracy is likely between 64.6% and 98.5% (95% Wilson interval).",
        ),
        (  # 68.1% with z = 1.959964 in place of 1.96, which all intervals use
            "/own/images",
            {"test_accuracy": 33 / 40, "test_images": 40},
            "Recognizes 33 of 40 unseen images (82.5%). So few images say little: "
            "the accuracy is likely between 68.0% and 91.3% (95% Wilson interval).",
        ),
        (
            "/own/images",
            {"test_accuracy": 0.47, "steps": 1},
            "Barely learned: 47.0% of the unseen images are right after 12 steps in all. Train longer.",
        ),
        (
            "/own/images",
            {"test_accuracy": 0.97, "steps": 1},
            "Recognizes 97.0% of the unseen test images. Only 12 steps in all; train longer.",
        ),
        ("/own/images", {"test_accuracy": 1.0, "steps": 1}, "Recognizes 100.0% of the unseen test images."),
        ("digits", {"test_accuracy": 1.0, "steps": 1}, "Recognizes 100.0% of 359 unseen digits; 0 wrong."),
        (  # the preset's batch size and epochs
            "digits",
            {"test_accuracy": 357 / 359, "steps": 1},
            "Recognizes 99.4% of 359 unseen digits; 2 wrong.",
        ),
        (  # ended by its time limit or patience
            "digits",
            {"test_accuracy": 357 / 359, "epoch": 4},
            "Recognizes 99.4% of 359 unseen digits; 2 wrong. Only 40 steps in all; train longer.",
        ),
        (  # 33.2% to 35.1%
            "cifar10",
            {"test_accuracy": 0.3412, "steps": 1000},
            "Hardly better than guessing one of 3 classes: 34.1% of 10,000 unseen images are right.",
        ),
        ("cifar10", {"test_accuracy": 0.37, "steps": 1000}, "Recognizes 37.0% of 10,000 unseen images; 6,300 wrong."),
        (
            "/own/images",
            {"test_accuracy": 0.34, "steps": 1000},
            "Hardly better than guessing one of 3 classes: 34.0% of the unseen test images are right.",
        ),
        (  # (14 + 1.92 ± 1.96 √(14 · 26/40 + 0.96)) / (40 + 3.84)
            "/own/images",
            {"test_accuracy": 14 / 40, "test_images": 40, "steps": 1000},
            "Recognizes 14 of 40 unseen images (35.0%). So few images say little: the accuracy is likely between "
            "22.1% and 50.5% (95% Wilson interval). By guessing one of 3 classes, 33.3% are right.",
        ),
        (
            "digits",
            {"state": "stopped", "epoch": 3, "best_val_accuracy": 0.91},
            "Recognizes 91.0% of the validation images after 3 of 12 epochs.",
        ),
        (
            "digits",
            {"state": "stopped", "epoch": 3, "best_epoch": 1, "best_val_accuracy": 0.91},
            "Recognizes 91.0% of the validation images after 1 of 12 epochs. Later epochs were no better.",
        ),
        ("digits", {"state": "stopped", "epoch": 0}, ""),
    ],
)
def test_an_outcome_is_a_sentence_or_two(dataset, status, sentence):
    settings, ended = build_settings("quick", dataset), Status(**(ENDED | status))
    assert outcome(settings, "quick", ended, 3) == sentence
    assert needs_more(settings, "quick", ended, 3) == sentence.lower().endswith("train longer.")


def test_the_number_of_classes_may_be_unknown():
    status = Status(**(ENDED | {"test_accuracy": 0.1, "test_images": 5000, "steps": 1000}))
    assert outcome(build_settings("quick", "/own/images"), "quick", status, 0).endswith("; 4,500 wrong.")


def test_without_validation_images_the_accuracy_is_the_test_sets():
    settings = build_settings("quick", "digits", {"data.validation_share": 0.0})
    status = Status(**(ENDED | {"state": "failed", "epoch": 3, "best_val_accuracy": 0.5}))
    assert "of the test images" in outcome(settings, "quick", status, 10)
