"""The form of the Train page and its values."""

from tests.support.opening import opened


def values(test):
    """Return the values of the form's fields by setting."""
    widgets = (*test.number_input, *test.selectbox, *test.text_input, *test.multiselect)
    return {widget.key.split()[-1]: widget.value for widget in widgets if (widget.key or "").startswith("field ")}


def form(run=None, **query):
    """Open the page with the settings unfolded."""
    test = opened("train", run, **query)
    test.session_state["form"].unfolded = True
    return test.run()


def own_images_form():
    """Open the page with the card of your own images chosen."""
    test = form("none")
    test.session_state["form"].source = "own"
    return test.run()


def archive_uploader(test):
    return next(uploader for uploader in test.file_uploader if uploader.label == "Upload an archive")


def chosen(test):
    """Return the line on your own images that were found to be usable."""
    return next(mark.value for mark in test.markdown if ":material/check_circle:" in mark.value)
