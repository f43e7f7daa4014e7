"""How even the classes of a checked dataset are, and their names, which can be changed."""

import streamlit as st

from expertnet.curation.check import Check, balance_sentence
from expertnet.settings.fields import with_labels
from expertnet.ui.data.findings import Findings
from expertnet.ui.data.forms import rename_class_form
from expertnet.utils.text import escape


def balance_view(found: Findings) -> None:
    """Draw the number of images of each class, and the form that renames one."""
    check, names = Check(found.survey, [], {}), found.latest.contents.classes
    st.markdown(escape(with_labels(balance_sentence(check))))
    counts = check.counts
    bar = st.column_config.ProgressColumn(
        "training images", format="%d", min_value=0, max_value=int(counts["train"].max())
    )
    st.dataframe(counts.rename(columns={"test": "test images"}), hide_index=True, column_config={"train": bar})
    if names:
        row, labels = st.container(horizontal=True, vertical_alignment="bottom"), sorted(names, key=names.__getitem__)
        key = f"class to rename {found.latest.reference}"
        label = row.selectbox("Class", labels, format_func=names.__getitem__, key=key, width=240)
        rename_class_form(row, found.latest, label)
