"""`expertnet settings`."""

from expertnet.settings.fields import build_settings, flat
from tests.support.command import command, document, refused


def test_every_setting_is_listed_with_the_value_of_the_preset():
    rows = document("settings", "--preset", "report")
    assert all(list(row) == ["setting", "value", "takes", "help"] for row in rows)
    values = flat(build_settings("report"))
    expected = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    assert {row["setting"]: row["value"] for row in rows} == expected
    assert "model.pool_after=1,2 " in command("settings").stdout


def test_the_limits_of_numbers_are_said_in_english():
    takes = {row["setting"]: row["takes"] for row in document("settings")}
    assert takes["training.ema"] == "a number of at least 0 and less than 1"
    assert takes["training.lr"] == "a number greater than 0 and at most 10"
    assert takes["training.epochs"] == "a whole number between 1 and 10000"


def test_an_unknown_preset_is_rejected():
    assert "Did you mean quick?" in refused(command("settings", "--preset", "qick"))
