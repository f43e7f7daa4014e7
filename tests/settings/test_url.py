"""Settings in a URL and back, and what is taken from a hostile URL."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expertnet.errors import SettingsError
from expertnet.settings.fields import build_settings, flat, setting_fields
from expertnet.settings.presets import PRESETS
from expertnet.settings.url import from_query, is_form_key, to_query

VALUES = ["", "0", "-1", "1e3", "nan", "2,4", "true", "auto", "x", "²", "9" * 400, "<b>", "\0", "32", "0.5"]
KEYS = st.sampled_from(
    [field.key for field in setting_fields()] + ["preset", "dataset", "model.", "data.x", "training"]
)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_url_reproduces_the_settings(preset):
    overrides = {
        "model.pool_after": "",
        "model.widths": "",
        "training.lr": "1e-9",
        "hardware.device": "cuda:3",
        "model.residual": "true",
    }
    wanted = build_settings(preset, "/a folder/of & images?", overrides | {"data.validation_share": "1e-7"})
    query = to_query(preset, wanted.data.dataset, flat(wanted))
    assert "training.epochs" not in query and all(map(is_form_key, query))
    assert from_query(query) == (wanted, preset, "")


def test_initial_settings_need_no_query():
    assert to_query("quick", "digits", flat(build_settings("quick"))) == {}
    assert from_query({}) == (build_settings(), "quick", "")


def test_settings_that_are_valid_only_together_are_taken_together():
    query = {"data.cutout": "64", "data.image_size": "64"}
    found, _, refused = from_query(query)
    assert (found.data.cutout, refused) == (64, "")
    found, _, refused = from_query(query | {"training.lr": "-1", "training.epochs": "7"})
    assert "training.lr" in refused and (found.training.epochs, found.data.image_size) == (7, 64)


def test_invalid_values_are_counted():
    query = {"seed": "-1", "training.lr": "nan", "training.epochs": "7"}
    assert from_query(query)[2].endswith(" 1 other value was ignored too.")
    assert from_query(query | {"preset": "nope"})[2].endswith(" 2 other values were ignored too.")
    assert "You entered 1e+30." in from_query({"training.epochs": "1e+30"})[2]
    assert "other" not in from_query({"seed": "-1"})[2]


def test_other_keys_are_left_to_the_page():
    assert [
        name for name in ("run", "view", "embed", "preset", "seed", "data.x", "x.data", "training") if is_form_key(name)
    ] == [*("preset", "seed", "data.x")]


@pytest.mark.slow
@given(st.dictionaries(KEYS, st.one_of(st.sampled_from([*VALUES, *PRESETS]), st.text(max_size=20)), max_size=6))
@settings(derandomize=True, max_examples=300)
def test_any_url_gives_settings_and_a_message_if_something_is_invalid(query):
    found, preset, refused = from_query(query)
    assert preset in PRESETS and len(refused) < 400
    try:
        build_settings(
            query.get("preset", "quick"),
            query.get("dataset"),
            {k: v for k, v in query.items() if "." in k or k == "seed"},
        )
        sound = "training" not in query
    except SettingsError:
        sound = False
    assert (refused == "") == sound
    assert from_query(to_query(preset, found.data.dataset, flat(found))) == (found, preset, "")
