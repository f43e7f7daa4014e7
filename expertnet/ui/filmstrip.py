"""A strip of small images or cards, one of which is chosen. Each is a button, so the keyboard reaches it."""

import math
from collections.abc import Callable, Sequence

import streamlit as st
from torch import Tensor

from expertnet.data.data_url import to_data_url
from expertnet.ui.style import cards_key, room_key

CSS = """
.strip { display: flex; flex-wrap: wrap; gap: 0.4rem; }
button { background: none; border: 2px solid transparent; border-radius: var(--st-base-radius); padding: 2px;
  cursor: pointer; color: var(--st-text-color); font: inherit; font-size: 0.8rem; flex: none; width: 68px; }
button:hover { border-color: var(--st-border-color); }
button[aria-pressed=true] { border-color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-text-color); outline-offset: 1px; }
img { display: block; width: 100%; aspect-ratio: 1; image-rendering: pixelated; border-radius: 4px; }
.blank { display: grid; place-items: center; width: 100%; aspect-ratio: 1; border-radius: 4px; box-sizing: border-box;
  border: 1px dashed var(--st-border-color); white-space: pre-line; }
span { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
@media (max-width: 640px) { .strip { flex-wrap: nowrap; overflow-x: auto; } button { width: 64px; } }
.sentences button { width: 92px; }
.sentences span { white-space: normal; }
.cards { flex-wrap: wrap; overflow: visible; }
.cards button { width: 116px; border-color: var(--st-border-color); padding: 5px; }
.cards button[aria-pressed=true] { border-color: var(--st-primary-color); font-weight: 600; }
.cards :is(img, .blank) { aspect-ratio: 3 / 2; }
@media (max-width: 640px) { .cards button { width: calc((100% - 0.8rem) / 3); } }
"""
# Texts reach the page as text only, and images as data URLs that this program made
FILL = """
function fill(parent, tiles) {
  const text = JSON.stringify(tiles)
  if (parent.tiles === text) return false
  parent.tiles = text
  parent.replaceChildren(...tiles.map(([image, caption, name]) => {
    const button = document.createElement("button")
    button.type = "button"
    button.title = name
    button.setAttribute("aria-label", name)
    button.setAttribute("aria-pressed", "false")
    const isImage = image.startsWith("data:")
    const thumbnail = document.createElement(isImage ? "img" : "div")
    if (isImage) {
      thumbnail.src = image
      thumbnail.alt = ""
    } else {
      thumbnail.className = "blank"
      thumbnail.textContent = image
    }
    const below = document.createElement("span")
    below.textContent = caption
    button.append(thumbnail, below)
    return button
  }))
  return true
}
"""
JS = (
    FILL
    + """
export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const strip = parentElement.querySelector(".strip")
  fill(strip, data.tiles)
  strip.setAttribute("aria-label", data.label)
  strip.classList.toggle("cards", data.cards)
  strip.classList.toggle("sentences", data.sentences)
  const press = (picked) =>
    [...strip.children].forEach((button, place) => button.setAttribute("aria-pressed", String(place === picked)))
  press(data.picked)
  ;[...strip.children].forEach((button, place) => {
    button.onclick = () => {
      press(place)
      data.keeps ? setStateValue("picked", place) : setTriggerValue("pressed", place)
    }
  })
}
"""
)
COLUMNS = (8, 3)  # cards in a row of the form, and on a phone
PAGE_COLUMNS = (9, 3)  # of a page at 1280 pixels
_strip = st.components.v2.component("filmstrip", html='<div class="strip" role="group">\n</div>', css=CSS, js=JS)


def filmstrip(
    label: str,
    images: Sequence[Tensor | str],
    captions: Sequence[str],
    names: Sequence[str],
    key: str,
    picked: int | None = None,
    on_pick: Callable[[int], None] | None = None,
    cards: bool = False,
    sentences: bool = False,
    columns: tuple[int, int] = COLUMNS,
) -> int:
    """Show uint8 images (3, H, W), or texts in their place, and return the place of the chosen one, at first 0.

    `captions` are drawn below the images, and `names` are read out and shown on hovering. Both are plain text. With `on_pick`,
    the strip keeps no choice of its own: it shows `picked` as chosen, and calls `on_pick` with the place of a pressed image.
    `cards` are larger; `columns` is how many fit side by side, and on a phone. With `sentences`, captions may have several lines.
    """
    if on_pick is None or picked is None:
        picked = valid_place(st.session_state.get(key, {}).get("picked"), len(images))

    def pressed() -> None:
        sent = st.session_state[key].get("pressed")
        if on_pick is not None and valid_place(sent, len(images)) == sent:
            on_pick(sent)

    urls = (to_data_url(image) if isinstance(image, Tensor) else image for image in images)
    tiles = list(zip(urls, captions, names, strict=True))
    data = {"label": label, "tiles": tiles, "picked": picked, "keeps": on_pick is None, "cards": cards}
    data["sentences"] = sentences
    wide, narrow = (math.ceil(len(images) / each) for each in columns)
    with st.container(key=cards_key(wide, narrow, key) if cards else room_key(f"film {key}")):
        _strip(key=key, data=data, on_picked_change=lambda: None, on_pressed_change=pressed)
    return picked


def valid_place(sent: object, count: int) -> int:
    """Return the place that a browser sent if it is one of `count`, else 0."""
    return sent if type(sent) is int and 0 <= sent < count else 0
