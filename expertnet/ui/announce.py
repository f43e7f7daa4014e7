"""What a screen reader says when a run starts, stops or finishes, where lost focus goes, and the menu of pages on a phone.

A browser that may (notify.py) also notifies users who look at something else that a run has finished.
"""

import streamlit as st

from expertnet.store.run import Run
from expertnet.store.status import ACTIVE_STATES
from expertnet.training.manager import manager
from expertnet.utils.text import cut

HEARD = "heard"  # in the session: the states of the runs in training, by id, and what was said last
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

export default function ({ data }) {
  if (region.textContent === data.said) return
  region.textContent = data.said
  if (!data.ended || !document.hidden || globalThis.Notification?.permission !== "granted") return
  new Notification(data.ended, { tag: data.ended })  // one for all tabs
}
"""
_region = st.components.v2.component("announcer", js=JS)


def announce() -> None:
    """Say which runs have started or finished since this session last drew a page, and keep the focus on the page."""
    known, said = st.session_state.get(HEARD, (None, ""))
    ids = dict.fromkeys([*(known or {}), *(run.id for run in manager().training())])
    runs = [run for run in (Run(manager().store.root / run_id) for run_id in ids) if run.path.is_dir()]
    states = {run.id: run.state for run in runs}
    news = (
        [] if known is None else [run for run in runs if states[run.id] != known.get(run.id)]
    )  # a new session missed nothing
    said = " ".join(_news(run.title, states[run.id]) for run in news) or said
    ended = " ".join(_news(run.title, states[run.id]) for run in news if states[run.id] not in ACTIVE_STATES)
    st.session_state[HEARD] = {run_id: state for run_id, state in states.items() if state in ACTIVE_STATES}, said
    _region(key="announcer", data={"said": said, "ended": ended})


def _news(title: str, state: str) -> str:
    return f"Training {STARTED.get(state, state)}: {cut(title, LONGEST)}."
