"""The looks of states."""

from expertnet.ui.shell import state_label, state_mark


def test_a_state_has_an_icon_or_a_sign_and_an_unknown_one_is_escaped():
    assert (state_label("running"), state_mark("running")) == (":material/play_circle: running", "▶ running")
    assert (state_label("*odd*"), state_mark("*odd*")) == ("\\*odd\\*", "*odd*")
