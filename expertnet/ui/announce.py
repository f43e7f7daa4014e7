"""What a screen reader says when a run or a sweep starts, stops or finishes, where lost focus goes, and the menu of pages on a phone.

A browser that may (notify.py) also notifies users who look at something else that it has ended.
"""

from collections.abc import Iterable
from contextlib import suppress

import streamlit as st

from expertnet.errors import RunError
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES
from expertnet.sweeps.sweep import all_sweeps, find_sweep
from expertnet.training.manager import manager
from expertnet.training.notice import controls_train
from expertnet.utils.text import cut

TOP = "top"  # in the session: changed when the page is to scroll to its top
HEARD = "heard"  # in the session: the states of what trains, by kind and id, and what was said last
STARTED = {"queued": "about to start", "running": "started"}
LONGEST = 40  # characters of a title
# A module runs once in a tab, so the region outlives the pages: one that is new on a page is not read out. The focus is
# looked for a little later than it is lost, because closing menus return it to their buttons themselves.
JS = """
const region = document.createElement("p")
region.role = "status"
region.ariaLive = "polite"
region.style.cssText = "position: absolute; top: 0; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%)"
document.body.append(region)

let focused = null
let waiting = false
const lost = () => focused && !focused.isConnected && document.activeElement === document.body
document.addEventListener("pointerdown", () => { focused = null })
document.addEventListener("focusin", (event) => { focused = event.target })
new MutationObserver(() => {
  if (waiting || !lost()) return
  waiting = true
  setTimeout(() => {
    waiting = false
    const heading = document.querySelector("[data-testid=stMain] h2")
    if (!lost() || !heading) return
    heading.tabIndex = -1
    heading.focus({ preventScroll: true })
  }, 100)
}).observe(document.body, { childList: true, subtree: true })

// On a phone, the menu of pages lies over the page, and Streamlit leaves it open
document.addEventListener("click", (event) => {
  if (innerWidth <= 768 && event.target.closest("[data-testid=stSidebarNavLink]"))
    document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click()
})

let top = null
export default function ({ data }) {
  if (top !== null && top !== data.top) document.querySelector("[data-testid=stMain]")?.scrollTo(0, 0)
  top = data.top
  if (region.textContent === data.said) return
  region.textContent = data.said
  if (!data.ended || !document.hidden || globalThis.Notification?.permission !== "granted") return
  new Notification(data.ended, { tag: data.ended })  // one for all tabs
}
"""
_region = st.components.v2.component("announcer", js=JS)


def announce() -> None:
    """Say what has started or ended since this session last drew a page, and keep the focus on the page."""
    known, said = st.session_state.get(HEARD, (None, ""))
    now = _watched(known or ())
    news = (
        [] if known is None else [key for key in now if now[key][1] != known.get(key)]
    )  # a new session missed nothing
    said = " ".join(_news(key, *now[key]) for key in news) or said
    ended = " ".join(_news(key, *now[key]) for key in news if now[key][1] not in ACTIVE_STATES)
    st.session_state[HEARD] = {key: state for key, (_, state) in now.items() if state in ACTIVE_STATES}, said
    _region(key="announcer", data={"said": said, "ended": ended, "top": st.session_state.get(TOP, 0)})


def _watched(known: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the title and the state of what trains now, or did when `known` was written.

    Of the trials of a sweep, that is the sweep, and of the controls of a run, all of them together.
    """
    store, training = manager().store, manager().training()
    told = [run for run in training if run.control_of or not run.trial]
    keys = [f"Controls {run.control_of}" if run.control_of else f"Training {run.id}" for run in told]
    keys += [f"Sweep {sweep.id}" for sweep in all_sweeps(store) if sweep.active]
    found = {}
    for key in dict.fromkeys([*known, *keys]):
        with suppress(RunError):  # it was deleted
            found[key] = _look(store, *key.split())
    return found


def _look(store: RunStore, kind: str, name: str) -> tuple[str, str]:
    if kind == "Sweep":
        sweep = find_sweep(store, name)
        return sweep.title, sweep.status().state
    run = store.get(name)
    if kind == "Controls":
        return run.title, "running" if controls_train(store.root, name) else "ended"
    return run.title, run.state


def _news(key: str, title: str, state: str) -> str:
    return f"{key.partition(' ')[0]} {STARTED.get(state, state)}: {cut(title, LONGEST)}."
