"""Learning from the hardest images of each batch."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from expertnet.errors import SettingsError
from expertnet.settings.fields import build_settings, parse_assignments
from expertnet.settings.schema import TrainingSettings
from expertnet.training import updater
from expertnet.training.hardest import Hardest
from expertnet.training.parallel import ALONE, Group
from tests.support.colors import trainer

CPU = torch.device("cpu")


def hardest(share, losses, group=ALONE):
    made = Hardest(TrainingSettings(hardest_share=share), len(losses), CPU, group)
    made.losses.copy_(torch.tensor(losses))
    return made


def test_the_images_with_the_largest_last_losses_are_chosen_and_new_ones_first():
    new = float("inf")
    chosen = hardest(0.5, [0.1, new, 3.0, 0.2, 9.0, new]).choose(torch.tensor([0, 1, 2, 3]))
    assert chosen.tolist() == [1, 2]  # in the order of the batch; 4 and 5 are in another batch


@pytest.mark.parametrize(
    ("share", "images", "processes", "count"),
    [(0.5, 7, 1, 3), (0.1, 7, 1, 1), (0.5, 12, 4, 4), (0.1, 12, 4, 4), (0.58, 100, 1, 58)],
)
def test_each_process_gets_as_many(share, images, processes, count):
    assert TrainingSettings(hardest_share=share).learned_images(images, processes) == count
    assert len(hardest(share, [0.0] * images, Group(0, processes)).choose(torch.arange(images))) == count


def test_what_was_chosen_gets_its_new_loss_and_the_rest_keeps_the_old_one():
    made, logits = hardest(0.5, [1.0, 2.0, 3.0, 4.0]), torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    labels = torch.tensor([1, 1])
    made.remember(torch.tensor([3, 1]), logits, labels)
    new = [F.cross_entropy(row, label).item() for row, label in zip(logits, labels, strict=True)]
    assert made.losses.tolist() == pytest.approx([1.0, new[1], 3.0, new[0]]) and made.times.tolist() == [0, 1, 0, 1]


def test_an_image_that_was_drawn_twice_keeps_the_larger_loss():
    made, logits = hardest(0.5, [9.0, 9.0]), torch.tensor([[0.0, 2.0], [0.0, 5.0], [0.0, 1.0]])
    made.remember(torch.tensor([1, 1, 1]), logits, torch.tensor([0, 0, 0]))
    assert made.losses.tolist() == pytest.approx([9.0, F.cross_entropy(logits[1], torch.tensor(0)).item()])
    assert made.times.tolist() == [0, 1]  # one step


def test_several_processes_learn_from_as_many_images_as_one():
    chosen = {"training.batch_size": 128, "training.hardest_share": 0.3}
    with pytest.raises(SettingsError, match="must be a multiple of `hardware.processes` \\(4\\).* which is 38 images"):
        build_settings("quick", "digits", chosen | {"hardware.processes": 4})
    build_settings("quick", "digits", chosen | {"hardware.processes": 2})


@pytest.mark.parametrize("key", ["data.mixup", "data.cutmix"])
def test_the_loss_of_a_mixed_image_chooses_nothing(key):
    with pytest.raises(SettingsError, match=f"must be 1 with `{key}`, since the loss of a mixed image") as refused:
        build_settings(overrides={"training.hardest_share": 0.5, key: 0.2})
    assert list(refused.value.by_key) == ["training.hardest_share"]


def test_batch_norm_gets_more_than_one_of_the_chosen_images():
    pixel = parse_assignments(
        ["data.image_size=8", "data.crop_padding=1", "model.pool_after=1,2,3", "training.hardest_share=0.5"]
    )
    with pytest.raises(SettingsError, match="`training.batch_size` must be at least 4"):
        build_settings("quick", "digits", pixel | {"training.batch_size": 3})
    build_settings("quick", "digits", pixel | {"training.batch_size": 4})


def test_each_image_is_mirrored_every_second_time_that_it_is_learned_from(data, monkeypatch):
    choose, augment, chosen, turns = Hardest.choose, updater.augment, [], []
    monkeypatch.setattr(Hardest, "choose", lambda self, batch: chosen.append(choose(self, batch)) or chosen[-1])
    monkeypatch.setattr(updater, "augment", lambda *given: turns.append(given[-1]) or augment(*given))
    flips = {"data.flip": "on", "data.alternating_flip": True, "training.hardest_share": 0.5, "training.epochs": 6}
    list(trainer(data, **flips).run())
    seen = [[] for _ in data.train.labels]
    for place, turn in zip(torch.cat(chosen).tolist(), torch.cat(turns).tolist(), strict=True):
        seen[place].append(turn % 2)
    assert all(a != b for each in seen for a, b in pairwise(each))
    assert min(map(len, seen)) < max(map(len, seen)) < 6  # so epochs would not have alternated them


def test_a_training_learns_from_half_of_each_batch_and_its_figures_are_of_these(data):
    """Of 100 images, 6 batches of 16 are drawn. The colors are learned, so nearly all answers become right."""
    run = trainer(data, **{"training.hardest_share": 0.5, "training.epochs": 6})
    lines = []
    for record in run.run():
        if record.kind == "epoch":
            lines.append(record.metrics)
            if record.epoch == 1:
                assert run.updater.hardest.losses.isfinite().sum() == 6 * 8
    assert lines[-1]["val_accuracy"] > 0.9 and 0.6 < lines[-1]["train_accuracy"] <= 1
