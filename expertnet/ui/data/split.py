"""Which images of one of your datasets are for training, for validation and for the test, and the form that splits them again."""

from collections import Counter

import streamlit as st

from expertnet.curation.split import PARTS, gaps, split_dataset
from expertnet.data.own.layout import layout_of, missing_of
from expertnet.data.own.versions import Version
from expertnet.ui.auth import login
from expertnet.ui.background import in_background
from expertnet.ui.shell import act
from expertnet.utils.progress import Report, ShouldStop
from expertnet.utils.text import escape

ASKED = "split"  # in the session: the version to divide, and how
DRAWN = "With 0, every run draws its own by its seed."


def split_view(version: Version) -> None:
    """Draw the sets with their counts, and the form."""
    st.markdown(_sentence(version))
    sets = _counts(version)
    if lacking := gaps(sets):
        st.warning(f"{escape(lacking)} Add images, or split again.", icon=":material/warning:")
    rows = [
        {"Class": name, **{part.capitalize(): sets[name, part] for part in PARTS}}
        for name in sorted(version.contents.classes.values())
    ]
    beside = st.container(horizontal=True)  # so that the button is in the first screen
    beside.dataframe(rows, hide_index=True, width="content", key=f"sets {version.reference}")
    _divide(version)
    with beside.form(f"split {version.reference}", width="content"):
        row = st.container(horizontal=True)
        test = row.number_input("Test (%)", 1, 90, 20, key="test share", width=130)
        held = row.number_input("Validation (%)", 0, 90, 10, key="validation share", width=130, help=DRAWN)
        seed = row.number_input("Seed", 0, 2**31 - 1, 0, key="split seed", width=130, help="Selects the images.")
        asked = version.key, test / 100, held / 100, seed
        if st.form_submit_button("Split again", icon=":material/call_split:", key="divide", **login.reserved()):
            act(lambda: st.session_state.update({ASKED: asked}))
    st.caption("Each class is divided by these shares, but near duplicates stay in the same set. You can undo this.")


def _sentence(version: Version) -> str:
    """Say which sets the dataset has, and which ones a run draws."""
    sets = "" if version.has_parts else "the test images, a fifth of each class that is always the same,"
    drawn = [each for each in (sets, "" if version.held else "the validation images, by its seed") if each]
    return f"Each run draws {' and '.join(drawn).rstrip(',')}." if drawn else "Every run uses these sets."


def _counts(version: Version) -> Counter[tuple[str, str]]:
    """Return the number of images by class and set, with the test images that a run draws, as they are always the same."""
    if version.has_parts or missing_of(version):
        names = version.contents.classes
        return Counter((names[image.label], image.split or "train") for image in version.contents.images.values())
    layout = layout_of(version)
    parts = ((path, part, layout.classes[label]) for path, (part, label) in layout.images.items())
    return Counter((name, "validation" if path in layout.held else part) for path, part, name in parts)


def _divide(version: Version) -> None:
    """Divide the images in the background, if the user has asked for it, and show the new version once it is there."""
    key, test, held, seed = asked = st.session_state.get(ASKED, ((), 0.0, 0.0, 0))
    if key != version.key:
        return

    def work(progress: Report, cancelled: ShouldStop) -> Version:
        return split_dataset(version.dataset, test, held, seed, progress=progress, cancelled=cancelled)

    if in_background(("split", *asked), "Divide the images", work) is not None:
        del st.session_state[ASKED]
        st.rerun()
