"""A button that asks the browser for desktop notifications, which announce.py then sends when a run finishes."""

import streamlit as st

HTML = '<button type="button" hidden>Notify me when a run finishes</button><span></span>'
CSS = """
button { background: none; border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius); color: inherit;
  cursor: pointer; font: inherit; font-size: 0.875rem; min-height: 2.5rem; padding: 0.25rem 0.75rem; }
button:not([hidden]) { display: block; }
button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-text-color); outline-offset: 1px; }
span { font-size: 0.875rem; line-height: 2.5rem; }
"""
# A browser asks once, on a click, and only on this computer or over https
JS = """
const SAID = {
  granted: "You will be notified when a run finishes.",
  denied: "Your browser blocks notifications of this site.",
}

export default function ({ parentElement }) {
  const button = parentElement.querySelector("button")
  const draw = () => {
    const permission = window.isSecureContext ? globalThis.Notification?.permission : undefined
    button.hidden = permission !== "default"
    parentElement.querySelector("span").textContent = SAID[permission] ?? ""
  }
  button.onclick = () => Notification.requestPermission().then(draw)
  draw()
}
"""
_button = st.components.v2.component("notify", html=HTML, css=CSS, js=JS)


def notify_button() -> None:
    """Draw the button, or what the browser has answered. Its room is reserved, so that nothing moves when it appears."""
    _button(key="notify", width=300, height=40)
