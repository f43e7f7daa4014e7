"""The checks of a dataset, drawn without a page."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.photos import encoded, photo, write
from tests.support.small import until


def script(path):
    from expertnet.settings.schema import DataSettings
    from expertnet.ui.data.checks import checks_view

    checks_view(DataSettings(dataset=path))


@pytest.fixture
def test(tmp_path):
    files = {f"{name}/{seed}.png": encoded(photo(seed + 10 * (name == "b"))) for name in "ab" for seed in range(5)}
    files |= {
        "b/<b>copy.png": encoded(photo(0)),
        "b/dark.png": encoded(photo(20).point(lambda value: value // 10)),
        "b/x.png": b"",
    }
    path = str(write(tmp_path / "own", files))
    test = AppTest.from_function(script, args=(path,), default_timeout=60)
    drawn(test)
    return test


def drawn(test):
    until(lambda: not test.run().get("progress"))
    assert not test.exception, [error.value for error in test.exception]
    return test


def choose(test, view):
    test.segmented_control[0].set_value(view)
    return drawn(test)


def text(test):
    return " ".join(item.value for item in test.markdown)


def html(test):
    return " ".join(item.proto.body for item in test.get("html"))


def test_duplicates_are_shown_side_by_side(test):
    assert "2 images look like others, in 1 group" in text(test)
    assert "Same pixels" in html(test) and "several classes" in html(test)
    assert "&lt;b&gt;copy.png" in html(test) and "<b>copy" not in html(test)
    assert html(test).count("<img") == 2


def test_every_view_shows_what_is_wrong(test):
    assert "**Dark**: 1 image" in text(choose(test, "images")) and "dark.png" in html(test)
    assert "Training skips 1 file" in text(choose(test, "files"))
    assert test.dataframe[0].value["reason"].tolist() == ["The file is empty. Choose an image."]
    assert "The classes are even" in text(choose(test, "classes"))
    assert test.dataframe[0].value["class"].tolist() == ["a", "b"]
    choose(test, "labels")
    assert [button.label for button in test.button if button.label.startswith("Look")] == ["Look for wrong labels"]


def test_it_can_be_checked_again(test, tmp_path):
    (tmp_path / "own/b/x.png").unlink()
    next(button for button in test.button if button.label == "Check again").click()
    assert "Every file is an image" in text(choose(drawn(test), "files"))
