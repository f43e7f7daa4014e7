"""What varies: ranges and lists, and what is refused."""

import math
import random

import pytest

from expertnet.errors import SettingsError
from expertnet.sweeps.space import combinations, parse_dimension, parse_space, settings_with
from tests.support.small import settings


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("model.num_experts=2..5", [2, 3, 4, 5]),
        ("model.channels=32..100:step=32", [32, 64, 96]),  # the last step lies below the limit
        ("training.label_smoothing=0..0.2:step=0.1", [0.0, 0.1, 0.2]),
        ("training.label_smoothing=0..0.3:step=0.1", [0.0, 0.1, 0.2, 0.3]),  # 0.1 * 3 is above 0.3
        ("training.optimizer=adamw,muon", ["adamw", "muon"]),
        ("training.lr=0.1,0.2,1e-1", ["1e-1", "0.2"]),  # the same number would train the same network
        ("training.decay_all=true,false", ["true", "false"]),
        ("model.pool_after=1/1,2", ["1", "1,2"]),
        ("model.channels=32,64", ["32", "64"]),
        ("training.lr=1e-4..1e-2:log", None),
    ],
)
def test_a_dimension_has_these_values_and_survives_its_text(text, values):
    found = parse_dimension(text)
    assert (None if math.isinf(found.count) else found.values) == values
    assert values is None or found.count == len(values)
    assert parse_dimension(found.text) == found
    distribution = found.distribution()
    if values is None:
        assert distribution.log and (distribution.low, distribution.high) == (1e-4, 1e-2)
    elif not found.choices:
        assert (distribution.low, distribution.high) == (values[0], values[-1])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("training.lr=-1..1", "`training.lr` must be greater than 0 and at most 10. You entered -1."),
        ("model.num_experts=2..99", "`model.num_experts` must be between 1 and 16. You entered 99."),
        ("model.num_experts=2.5..5", "a whole number between 1 and 16. You entered 2.5."),
        ("model.num_experts=2,99", "between 1 and 16. You entered 99."),
        ("training.optimizer=adamw,adam", "must be one of adamw, sgd, muon, muon_sgd. You entered 'adam'."),
        ("training.lr=1e-2..1e-3", "must go from a smaller to a larger number. You entered 0.01..0.001."),
        ("data.mixup=0..1:log", "must begin above 0 to be logarithmic"),
        ("training.lr=1e-4..1e-2:log:step=1e-3", "logarithmic or have steps, not both"),
        (
            "model.channels=32..64:step=64",
            "at most the width of its range, and at least a billionth of it. You entered 64.",
        ),
        ("model.channels=32..64:step=0.5", "must be a whole number. You entered 0.5."),
        ("training.lr=1e-3..1:step=1e-320", "at least a billionth of it."),
        ("model.channels=32..64:fast", "ends with :log, :linear or :step=S. You entered 'fast'"),
        ("model.channels=a..b", "A range needs two numbers"),
        ("model.channels=1..inf", "A range needs two numbers"),
        ("model.channels=64", "needs at least two different values"),
        ("training.lr=0.1,1e-1", "needs at least two different values"),
        ("training.decay_all=0..1", "must be true or false"),
        ("model.chanels=1..2", "Did you mean model.channels?"),
        ("seed=0..4", "does not vary `seed`. It is chance"),
        ("data.dataset=digits,shapes", "does not vary `data.dataset`"),
        ("data.validation_share=0.1..0.2", "does not vary `data.validation_share`"),
        ("model.channels", "--vary needs a setting and its values"),
    ],
)
def test_what_cannot_vary_is_refused(text, says):
    with pytest.raises(SettingsError) as refused:
        parse_dimension(text)
    assert says in str(refused.value)


def test_a_space_has_every_setting_once():
    for texts, says in (([], "Nothing varies"), (["model.channels=8,16"] * 2, "`model.channels` appears twice")):
        with pytest.raises(SettingsError, match=says):
            parse_space(texts)


def test_the_number_of_combinations():
    assert combinations(parse_space(["model.num_experts=2..5", "training.optimizer=adamw,sgd"])) == 8
    assert combinations(parse_space(["model.num_experts=2..5", "training.lr=0.1..1"])) == float("inf")
    assert combinations(parse_space(["training.lr=1..2:step=1e-9", "model.num_experts=2..5"])) == 4 * (10**9 + 1)


def test_a_value_is_drawn_from_any_range():
    chance = random.Random(0)
    fine, smooth = parse_space(["training.lr=1..2:step=1e-9", "data.mixup=0.25..0.5"])
    assert all(1 <= fine.draw(chance) <= 2 and 0.25 <= smooth.draw(chance) <= 0.5 for _ in range(100))


def test_values_replace_those_of_the_base_and_must_fit_together():
    changed = settings_with(settings(), {"model.channels": "16", "seed": 3, "training.lr": 0.5})
    assert (changed.model.channels, changed.seed, changed.training.lr) == (16, 3, 0.5)
    with pytest.raises(SettingsError, match=r"model.pool_after"):
        settings_with(settings(), {"model.pool_after": "4"})


def test_the_questions_of_the_report_are_ready_made_and_each_can_be_replaced():
    keys = ["model.num_experts", "model.num_blocks", "model.channels", "model.reduction", "training.lr"]
    assert [dimension.key for dimension in parse_space(["report"])] == keys
    space = {dimension.key: dimension.text for dimension in parse_space(["training.lr=1e-3,1e-2", "report"])}
    assert sorted(space) == sorted(keys) and space["training.lr"] == "training.lr=1e-3,1e-2"
    with pytest.raises(SettingsError, match="appears twice"):
        parse_space(["report", "report"])
