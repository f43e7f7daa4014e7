"""Settings as users read them."""

from expertnet.settings.fields import display_value


def test_values_are_written_for_people():
    values = (True, False, (), (1, 2), 0.0003, "adamw")
    assert [display_value(value) for value in values] == ["on", "off", "none", "1,2", "0.0003", "adamw"]
