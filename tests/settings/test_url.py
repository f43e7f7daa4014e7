"""Settings through an address and back, and what of a hostile one is taken."""

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
def test_an_address_gives_the_same_settings_again(preset):
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


def test_what_nobody_has_changed_needs_no_address():
    assert to_query("quick", "digits", flat(build_settings("quick"))) == {}
    assert from_query({}) == (build_settings(), "quick", "")


def test_settings_that_fit_only_together_are_taken_together():
    query = {"data.cutout": "64", "data.image_size": "64"}
    found, _, refused = from_query(query)
    assert (found.data.cutout, refused) == (64, "")
    found, _, refused = from_query(query | {"training.lr": "-1", "training.epochs": "7"})
    assert "training.lr" in refused and (found.training.epochs, found.data.image_size) == (7, 64)


def test_how_much_of_an_address_could_not_be_used_is_counted():
    query = {"seed": "-1", "training.lr": "nan", "training.epochs": "7"}
    assert from_query(query)[2].endswith(" 1 other value was ignored too.")
    assert from_query(query | {"preset": "nope"})[2].endswith(" 2 other values were ignored too.")
    assert "You entered 1e+30." in from_query({"training.epochs": "1e+30"})[2]  # as the form says it
    assert "other" not in from_query({"seed": "-1"})[2]


def test_the_form_takes_only_what_is_its_own():
    assert [
        name for name in ("run", "view", "embed", "preset", "seed", "data.x", "x.data", "training") if is_form_key(name)
    ] == [
        *("preset", "seed", "data.x"),
    ]


@given(st.dictionaries(KEYS, st.one_of(st.sampled_from([*VALUES, *PRESETS]), st.text(max_size=20)), max_size=6))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_whatever_an_address_says_gives_settings_and_at_most_a_sentence(query):
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
    assert from_query(to_query(preset, found.data.dataset, flat(found))) == (
        found,
        preset,
        "",
    )  # as a reload asks for it
