"""Grids of small images, any number of which can be selected. Each is a button, so the keyboard reaches it.

All groups are one component: a thousand widgets would take seconds.
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from expertnet.ui.data.tiles import Tile
from expertnet.ui.filmstrip import FILL

CSS = """
.groups { display: flex; flex-wrap: wrap; gap: 0.6rem; }
.group { flex: 1 1 100%; min-width: 0; }
.group.framed { flex: 0 1 auto; padding: 0.5rem; border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); }
.group.framed .grid { display: flex; flex-wrap: wrap; }
.group.framed button { width: 96px; }
.group p { margin: 0 0 0.4rem; font-size: 0.8rem; font-weight: 600; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(88px, 1fr)); gap: 0.4rem; }
button { background: none; border: 2px solid transparent; border-radius: var(--st-base-radius); padding: 3px; min-width: 0;
  cursor: pointer; color: var(--st-text-color); font: inherit; font-size: 0.75rem; }
button:hover { border-color: var(--st-border-color); }
button[aria-pressed=true] { border-color: var(--st-primary-color); background: var(--st-secondary-background-color); }
button:focus-visible { outline: 2px solid var(--st-text-color); outline-offset: 1px; }
img, .blank { display: block; width: 100%; aspect-ratio: 1; border-radius: 4px; }
.blank { display: grid; place-items: center; border: 1px dashed var(--st-border-color); box-sizing: border-box; }
span { display: block; overflow: hidden; text-overflow: ellipsis; white-space: pre; }
"""
# The selection is kept here until another one is sent, so that quick clicks do not wait for the server. Shift selects all up to a
# tile.
JS = (
    FILL
    + """
function made(kind, className, text) {
  const element = document.createElement(kind)
  element.className = className
  element.textContent = text
  return element
}
export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".groups")
  const groups = JSON.stringify(data.groups)
  if (root.groups !== groups) {
    root.groups = groups
    root.last = null
    root.replaceChildren(...data.groups.map(([heading, tiles, keys]) => {
      const group = made("div", heading ? "group framed" : "group", "")
      const grid = made("div", "grid", "")
      fill(grid, tiles)
      ;[...grid.children].forEach((button, place) => { button.key = keys[place] })
      if (heading) group.append(made("p", "", heading))
      group.append(grid)
      return group
    }))
  }
  root.setAttribute("aria-label", data.label)
  const buttons = [...root.querySelectorAll("button")]
  const pressed = (button) => button.getAttribute("aria-pressed") === "true"
  const press = (button, on) => button.setAttribute("aria-pressed", String(on))
  if (root.sent !== data.selected.join()) {
    root.sent = data.selected.join()
    buttons.forEach((button) => press(button, data.selected.includes(button.key)))
  }
  buttons.forEach((button, place) => {
    button.disabled = !data.selects
    button.onclick = (event) => {
      const on = !pressed(button)
      const from = event.shiftKey && root.last !== null ? root.last : place
      buttons.slice(Math.min(from, place), Math.max(from, place) + 1).forEach((other) => press(other, on))
      root.last = place
      const keys = buttons.filter(pressed).map((other) => other.key)
      root.sent = keys.join()
      setStateValue("selected", keys)
    }
  })
}
"""
)
_grid = st.components.v2.component("image_grid", html='<div class="groups" role="group">\n</div>', css=CSS, js=JS)


def image_grid(label: str, tiles: Sequence[Tile], key: str, selects: bool = True) -> list[str]:
    """Show images and return the keys of those that are selected, in order."""
    return grouped_grid(label, [("", tiles)], key, selects)


def grouped_grid(label: str, groups: Sequence[tuple[str, Sequence[Tile]]], key: str, selects: bool = True) -> list[str]:
    """Show groups of images, those with a heading in a frame, and return the keys of those that are selected, in order."""
    selected = _selected(groups, key)
    data = {
        "label": label,
        "groups": [
            (heading, [(tile.image, tile.caption, tile.about) for tile in tiles], [tile.key for tile in tiles])
            for heading, tiles in groups
        ],
        "selected": selected,
        "selects": selects,
    }
    _grid(key=key, data=data, on_selected_change=lambda: None)
    return selected


def _selected(groups: Sequence[tuple[str, Sequence[Tile]]], key: str) -> list[str]:
    sent: Any = st.session_state.get(key, {}).get("selected")
    chosen = {name for name in sent if isinstance(name, str)} if isinstance(sent, list) else set()
    return list(dict.fromkeys(tile.key for _, tiles in groups for tile in tiles if tile.key in chosen))
