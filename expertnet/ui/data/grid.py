"""A grid of small images, any number of which can be selected. Each is a button, so the keyboard reaches it."""

from collections.abc import Sequence

import streamlit as st

from expertnet.ui.data.tiles import Tile
from expertnet.ui.filmstrip import FILL

CSS = """
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(88px, 1fr)); gap: 0.4rem; }
button { background: none; border: 2px solid transparent; border-radius: var(--st-base-radius); padding: 3px; min-width: 0;
  cursor: pointer; color: var(--st-text-color); font: inherit; font-size: 0.75rem; }
button:hover { border-color: var(--st-border-color); }
button[aria-pressed=true] { border-color: var(--st-primary-color); background: var(--st-secondary-background-color); }
button:focus-visible { outline: 2px solid var(--st-text-color); outline-offset: 1px; }
img, .blank { display: block; width: 100%; aspect-ratio: 1; border-radius: 4px; }
.blank { display: grid; place-items: center; border: 1px dashed var(--st-border-color); box-sizing: border-box; }
span { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
"""
# The selection is kept here until another one is sent, so that quick clicks do not wait for the server. Shift selects all up to a
# tile.
JS = (
    FILL
    + """
export default function ({ data, parentElement, setStateValue }) {
  const grid = parentElement.querySelector(".grid")
  if (fill(grid, data.tiles)) grid.last = null
  grid.setAttribute("aria-label", data.label)
  const buttons = [...grid.children]
  buttons.forEach((button, place) => { button.key = data.keys[place] })
  const pressed = (button) => button.getAttribute("aria-pressed") === "true"
  const press = (button, on) => button.setAttribute("aria-pressed", String(on))
  if (grid.sent !== data.selected.join()) {
    grid.sent = data.selected.join()
    buttons.forEach((button) => press(button, data.selected.includes(button.key)))
  }
  buttons.forEach((button, place) => {
    button.disabled = !data.selects
    button.onclick = (event) => {
      const on = !pressed(button)
      const from = event.shiftKey && grid.last !== null ? grid.last : place
      buttons.slice(Math.min(from, place), Math.max(from, place) + 1).forEach((other) => press(other, on))
      grid.last = place
      const keys = buttons.filter(pressed).map((other) => other.key)
      grid.sent = keys.join()
      setStateValue("selected", keys)
    }
  })
}
"""
)
_grid = st.components.v2.component("image_grid", html='<div class="grid" role="group">\n</div>', css=CSS, js=JS)


def image_grid(label: str, tiles: Sequence[Tile], key: str, selects: bool = True) -> list[str]:
    """Show images and return the keys of those that are selected, in order."""
    sent = st.session_state.get(key, {}).get("selected")
    chosen = {name for name in sent if isinstance(name, str)} if isinstance(sent, list) else set()
    selected = [tile.key for tile in tiles if tile.key in chosen]
    data = {
        "label": label,
        "tiles": [(tile.image, tile.caption, tile.about) for tile in tiles],
        "keys": [tile.key for tile in tiles],
        "selected": selected,
        "selects": selects,
    }
    _grid(key=key, data=data, on_selected_change=lambda: None)
    return selected
