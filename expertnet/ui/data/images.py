"""The classes of a dataset and their images, to move, rename and remove."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.data.catalog import class_counts
from expertnet.data.own import edits
from expertnet.data.own.versions import Version
from expertnet.ui import choices
from expertnet.ui.auth import login
from expertnet.ui.data.forms import move_popover, rename_class_form
from expertnet.ui.data.grid import image_grid
from expertnet.ui.data.tiles import ClassCard, built_in_tiles, class_cards, image_tiles, test_count
from expertnet.ui.filmstrip import PAGE_COLUMNS, filmstrip
from expertnet.ui.shell import act, action
from expertnet.utils.text import counted, cut, escape

CLASSES, IMAGES = 48, 60  # on a page
CLASS = "class"  # in the URL: the name of the open class


def classes_view(dataset: str, version: Version | None) -> None:
    """Draw a card for each class, and the images of the open one. Without a version, it is a built-in dataset."""
    card = _pick_class(dataset)
    if card is None:
        return
    head = st.container(horizontal=True, vertical_alignment="center", key="class head")
    head.markdown(f"**{escape(cut(card.name, 60))}** · {counted(card.count, 'image')}", width="content")
    shown = card.count if version is not None else test_count(dataset, int(card.label))
    start = _page(head, shown, IMAGES, f"images {dataset} {card.label}")
    key = f"grid {dataset} {card.label} {start}"
    if version is None:
        image_grid(card.name, built_in_tiles(dataset, int(card.label), start, IMAGES), key, selects=False)
        st.caption(f"The images shown are the {counted(shown, 'test image')}.")
        return
    _class_menu(head, version, card)
    actions = st.container(horizontal=True, vertical_alignment="center", key="image actions")
    tiles = image_tiles(version, card.label, start, IMAGES)
    selected = image_grid(card.name, tiles, key, selects=login.may_change())
    with actions:
        _image_actions(actions, version, card, selected)


def _pick_class(dataset: str) -> ClassCard | None:
    pages, every, asked = st.container(horizontal=True), list(class_counts(dataset) or ()), choices.read(CLASS)
    if not every:
        return None
    page = f"classes {dataset}"
    if asked in every and (page not in st.session_state or choices.went_back()):
        st.session_state[page] = every.index(asked) // CLASSES
    start = _page(pages, len(every), CLASSES, page)
    cards = class_cards(dataset, start, CLASSES)
    names = [card.name for card in cards]
    place = names.index(asked) if asked in names else 0

    def choose(picked: int) -> None:
        choices.write(CLASS, names[picked])

    captions = [f"{card.name} · {card.count:,}" for card in cards]
    about = [f"{card.name}, {counted(card.count, 'image')}" for card in cards]
    images, key = [card.image for card in cards], f"classes {dataset} {start}"
    filmstrip("Classes", images, captions, about, key, place, choose, cards=True, columns=PAGE_COLUMNS)
    return cards[place]


def _page(place: DeltaGenerator, total: int, size: int, key: str) -> int:
    """Draw a choice of pages if there are several, and return the first place of the chosen one."""
    if total <= size:
        return 0
    pages = range((total + size - 1) // size)
    if st.session_state.get(key) not in (None, *pages):
        del st.session_state[key]
    chosen = place.selectbox(
        "Page",
        pages,
        key=key,
        format_func=lambda page: f"{page * size + 1:,} to {min((page + 1) * size, total):,} of {total:,}",
        label_visibility="collapsed",
        width=200,
    )
    return int(chosen) * size


def _class_menu(place: DeltaGenerator, version: Version, card: ClassCard) -> None:
    dataset, key = version.dataset, f"{card.label} {version.number}"
    with place.popover("Class", icon=":material/edit:", key=f"class {key}"):
        rename_class_form(st.container(), version, card.label, lambda name: choices.write(CLASS, name))
        st.write(f"Removing the class also removes its {counted(card.count, 'image')}. You can undo this.")
        action(
            st.container(),
            "Remove this class",
            "delete",
            f"remove class {key}",
            lambda: edits.remove_class(dataset, card.label),
        )


def _image_actions(place: DeltaGenerator, version: Version, card: ClassCard, selected: list[str]) -> None:
    """Draw what can be done with the selected images."""
    if not selected:
        st.caption("Select images to move, rename or remove them. Shift selects a range.")
        return
    dataset, key = version.dataset, f"{version.number} {hash(tuple(selected))}"
    st.markdown(f"{len(selected):,} selected", width="content")
    move_popover(place, version, selected, card.label)
    if len(selected) == 1:
        image = version.contents.images[selected[0]]
        with (
            st.popover("Rename", icon=":material/edit:", key=f"rename image {key}"),
            st.form(f"form {key}", border=False),
        ):
            name = st.text_input("Name", image.name, key=f"image name {key}")
            if st.form_submit_button("Rename", key=f"renamed {key}", **login.reserved()):
                act(lambda: edits.rename_image(dataset, selected[0], name))
    action(
        st.container(width="content"),
        "Remove",
        "delete",
        f"remove {key}",
        lambda: edits.remove_images(dataset, selected),
    )
