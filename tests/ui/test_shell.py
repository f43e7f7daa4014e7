"""The looks of states and times."""

import pytest

from expertnet.ui.shell import duration, estimate, state_label, state_mark, time_text


def test_a_state_has_an_icon_or_a_sign_and_an_unknown_one_is_escaped():
    assert (state_label("running"), state_mark("running")) == (":material/play_circle: running", "▶ running")
    assert (state_label("*odd*"), state_mark("*odd*")) == ("\\*odd\\*", "*odd*")


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (44.6, "45 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (59.7, "1 min 0 s")]
)
def test_a_duration_has_at_most_two_units(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "10 s"), (44.6, "40 s"), (89, "90 s"), (925, "15 min"), (5399, "90 min"), (7900, "2 h 10 min")],
)
def test_an_estimate_is_round(seconds, text):
    assert estimate(seconds) == text


@pytest.mark.parametrize(
    ("created", "text"),
    [("2026-11-04T14:05:59+00:00", "4 Nov 2026, 14:05 UTC"), ("2026-11-24T14:05:00+02:00", "24 Nov 2026, 12:05 UTC")],
)
def test_a_time_is_shown_in_utc(created, text):
    assert time_text(created) == text


@pytest.mark.parametrize("created", ["", "yesterday"])
def test_text_that_is_not_a_time_is_unchanged(created):
    assert time_text(created) == created
