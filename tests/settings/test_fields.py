"""Settings: presets, labels, and messages on invalid values."""

import shlex
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from expertnet.errors import SettingsError
from expertnet.network.model import ExpertNet
from expertnet.settings.fields import (
    build_settings,
    command_line,
    display_value,
    get_value,
    parse_assignments,
    setting_fields,
    settings_from_dict,
    with_labels,
)
from expertnet.settings.presets import PRESETS
from expertnet.settings.schema import Settings

ROOT = Path(__file__).parents[2]


def test_a_preset_that_names_a_time_says_for_which_images():
    for preset in PRESETS.values():
        if "laptop" in preset.reason:
            assert "digits take" in preset.reason or "CIFAR-10 takes" in preset.reason


def test_messages_show_labels_instead_of_keys():
    shown = with_labels("`data.cutout` must be at most `data.image_size`, or set training.lr=1.")
    assert shown == "“Cutout” must be at most “Image size”, or set “Learning rate”=1."
    assert with_labels("`seed` must be") == "“Seed” must be"
    for sentence in (
        "seed could not be read.",
        "There is no /home/data.flip here, nor training.lr.zip, nor my-data.flips.",
    ):
        assert with_labels(sentence) == sentence


def test_the_report_preset_is_the_run_in_the_report():
    settings = build_settings("report", "cifar10")
    model, training = settings.model, settings.training
    assert (model.num_blocks, model.channels, model.num_experts, model.reduction, model.pool_after) == (8, 64, 3, 8, ())
    assert (training.lr, training.weight_decay, training.epochs, training.batch_size) == (3e-4, 1e-3, 100, 128)
    assert (training.optimizer, training.schedule, settings.watches_test) == ("adamw", "cosine", True)


def test_assignments_override_the_dataset_and_the_preset():
    settings = build_settings("report", "cifar10", parse_assignments(["data.dataset=svhn", "model.num_blocks=2"]))
    assert (settings.data.dataset, settings.model.num_blocks, settings.model.channels) == ("svhn", 2, 64)


@pytest.mark.parametrize(
    "assignment",
    [
        "training.lr=0.002",
        "training.lr=1e-2",
        "model.pool_after=1,3",
        "model.pool_after=",
        "hardware.compile=true",
        "seed=7",
        "training.optimizer=sgd",
        "data.validation_share=0.25",
        "hardware.device=cuda:1",
    ],
)
def test_the_command_line_reproduces_the_settings(assignment):
    settings = build_settings("quick", "a folder/of images", parse_assignments([assignment]))
    words = shlex.split(command_line(settings, "quick"))
    options = dict(zip(words[2::2], words[3::2], strict=True))
    again = build_settings(
        options["--preset"], options["--dataset"], parse_assignments([options["--set"]] if "--set" in options else [])
    )
    assert again == settings


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("training.lr=0", ("`training.lr` must be greater than 0 and at most 10. You entered 0.",)),
        ("training.lr=fast", ("training.lr", "'fast'", "a number")),
        ("training.lr=nan", ("training.lr", "'nan'", "a number")),
        ("training.epochs=1.5", ("training.epochs", "1.5", "whole number")),
        ("training.epochs=true", ("training.epochs", "'true'", "whole number")),
        ("training.optimizer=adam", ("training.optimizer", "adam", "adamw, sgd")),
        ("training.epohcs=3", ("training.epohcs", "training.epochs")),
        ("hardware.device=tpu", ("hardware.device", "tpu", "cuda")),
        ("hardware.compile=maybe", ("hardware.compile", "maybe", "auto, on, off")),
        ("model.pool_after=5", ("model.pool_after", "5", "between 1 and 4")),
        ("model.pool_after=x", ("model.pool_after", "x", "2,4")),
        ("model.widths=8", ("model.widths", "8", "2")),
        ("model.widths=8,16,x", ("model.widths", "whole numbers")),
        ("model.widths=8,0", ("model.widths", "between 1 and 1024")),
        ("model.pool_after=1,1", ("model.pool_after", "1,1", "once")),
        ("data.cutout=40", ("data.cutout", "40", "32")),
        ("model.expert_blocks=2,5", ("model.expert_blocks", "2,5", "between 1 and 4")),
        ("data.image_size=1", ("data.image_size", "between 8 and 128", "1")),  # too small for a stem or a moved view
        ("training.lr", ("key=value", "training.lr")),
        ("=3", ("key=value", "'=3'")),
        ("training.lr=", ("`training.lr` must be a number", "You entered nothing.")),
        ("data.dataset=", ("`data.dataset` must be a built-in dataset", "You entered nothing.")),
        ("training.lr=1000000000", ("You entered 1000000000.",)),
        ("training.gradient_clip=1e400", ("You entered 1e400.",)),
        ("model.widths=²", ("model.widths", "whole numbers")),
        ("model.widths=--5", ("model.widths", "whole numbers")),
        ("model.widths=" + "9" * 5000, ("model.widths", "whole numbers")),
    ],
)
def test_errors_name_the_key_the_value_and_the_allowed_values(assignment, says):
    with pytest.raises(SettingsError) as refused:
        build_settings(overrides=parse_assignments([assignment]))
    sentence = str(refused.value)
    assert all(part in sentence for part in says) and "\n" not in sentence and sentence.endswith(".")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("training.epohcs", "training.epochs"),
        ("lr", "training.lr"),
        ("model.lr", "training.lr"),  # wrong section
        ("Training.LR", "training.lr"),
        ("data.size", "data.image_size"),
        ("sed", "seed"),
    ],
)
def test_a_misspelled_key_gets_a_suggestion(typed, meant):
    with pytest.raises(SettingsError) as refused:
        build_settings(overrides={typed: "1"})
    assert f". Did you mean {meant}? Run" in str(refused.value) and len(str(refused.value)) < 150


@pytest.mark.parametrize("typed", ["zzz", "", "model.fizz", "x" * 100_000, "\n\x00<script>"])
def test_an_unrelated_key_gets_no_suggestion(typed):
    with pytest.raises(SettingsError) as refused:
        build_settings(overrides={typed: "1"})
    assert "Did you mean" not in str(refused.value) and len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("size", "blocks", "pools", "batch", "others", "fits"),
    [
        (8, 4, (1, 2, 3), 1, {}, False),
        (15, 4, (1, 2, 3), 1, {}, False),  # 15, 7, 3, 1
        (8, 4, (1, 2, 3), 2, {}, True),
        (8, 3, (1, 2, 3), 1, {}, True),  # the last pooling has no batch norm after it
        (8, 3, (1, 2, 3), 1, {"model.pool_before_norm": True}, False),
        (8, 4, (1, 2), 1, {}, True),
        (8, 3, (1, 2), 1, {"model.whitened_stem": True}, False),  # 7, 3, 1
        (8, 4, (1, 2, 3), 1, {"model.num_experts": 1, "model.routing": "uniform"}, False),
        (16, 4, (1, 2, 3), 1, {}, True),
        (16, 5, (1, 2, 3, 4), 1, {}, False),
    ],
)
def test_batch_norm_gets_more_than_one_value_per_channel(size, blocks, pools, batch, others, fits):
    """Against torch, which rejects a single value in training."""
    values = {
        "data.image_size": size,
        "model.num_blocks": blocks,
        "model.pool_after": pools,
        "model.channels": 8,
    } | others
    net = ExpertNet(build_settings("report", overrides=values).model, 2)
    images = torch.zeros(batch, 3, size, size)
    with nullcontext() if fits else pytest.raises(ValueError, match="more than 1 value per channel"):
        net(images)
    with nullcontext() if fits else pytest.raises(SettingsError, match="at least 2.*You entered 1") as refused:
        build_settings("report", overrides=values | {"training.batch_size": batch})
    if not fits:
        assert list(refused.value.by_key) == ["training.batch_size"]


def test_an_unknown_preset_lists_all_presets():
    with pytest.raises(SettingsError, match="quick, fast, max, report, report-tuned"):
        build_settings("fast-and-loose")


def test_config_json_is_read_back_and_missing_keys_get_defaults():
    settings = build_settings("report", "cifar10", {"model.pool_after": (2,)})
    nested = settings.model_dump(mode="json")
    assert settings_from_dict(nested | {"name": "x", "dataset": {}}) == settings
    del nested["training"]["gradient_clip"]
    assert settings_from_dict(nested) == settings


def test_every_field_has_a_label_help_and_limits():
    for field in setting_fields():
        assert field.label and field.help.endswith("."), field.key
        assert get_value(Settings(), field.key) == field.default
        assert field.kind in ("choice", "bool", "text", "blocks", "ints") or field.minimum < field.maximum, field.key


def test_values_are_shown_as_text():
    values = (True, False, (), (1, 2), 0.0003, "adamw")
    assert [display_value(value) for value in values] == ["on", "off", "none", "1,2", "0.0003", "adamw"]


def test_patience_needs_validation_images():
    with pytest.raises(SettingsError, match=r"`training.patience` needs validation images"):
        build_settings(overrides={"training.patience": 3, "data.validation_share": 0})
    assert build_settings(overrides={"training.patience": 3}).training.patience == 3
