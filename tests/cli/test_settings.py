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


def test_an_unknown_preset_is_rejected():
    assert "Did you mean quick?" in refused(command("settings", "--preset", "qick"))
