"""A canvas to draw on with a mouse, a pen or a finger. The drawing arrives as bytes, like an upload."""

import streamlit as st

from expertnet.data.data_url import from_data_url

HTML = """
<div>
<canvas width="280" height="280" role="img"
  aria-label="Canvas. Draw with a mouse, a pen or a finger. Without one, use Upload."></canvas>
<button type="button">Clear drawing</button>
</div>
"""
CSS = """
div { display: flex; flex-wrap: wrap; align-items: end; gap: 0.5rem; }
canvas { width: 280px; aspect-ratio: 1; touch-action: none; cursor: crosshair;
  border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); }
@media (max-width: 640px) { canvas { width: 210px; } }
button { padding: 0.25rem 0.75rem; font: inherit; color: var(--st-text-color); cursor: pointer;
  background: var(--st-background-color); border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius); }
button:hover, button:focus-visible { border-color: var(--st-primary-color); }
"""
JS = """
export default function ({ data, parentElement, setStateValue }) {
  const canvas = parentElement.querySelector("canvas")
  const context = canvas.getContext("2d")
  const clear = () => {
    context.fillStyle = data.paper
    context.fillRect(0, 0, canvas.width, canvas.height)
  }
  if (canvas.paper !== data.paper) { canvas.paper = data.paper; clear() }
  const place = (event) => {
    const box = canvas.getBoundingClientRect()
    const scale = canvas.width / box.width
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale]
  }
  let last = null
  const line = (event) => {
    const next = place(event)
    context.strokeStyle = data.ink
    context.lineWidth = canvas.width / 6  // about as thick as in the digits
    context.lineCap = context.lineJoin = "round"
    context.beginPath()
    context.moveTo(...last)
    context.lineTo(...next)
    context.stroke()
    last = next
  }
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId)
    last = place(event)
    line(event)
  }
  canvas.onpointermove = (event) => { if (last) line(event) }
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (!last) return
    last = null
    setStateValue("drawing", canvas.toDataURL("image/png"))
  }
  parentElement.querySelector("button").onclick = () => { clear(); setStateValue("drawing", "") }
}
"""
_canvas = st.components.v2.component("canvas", html=HTML, css=CSS, js=JS)


def draw(light_on_dark: bool, key: str) -> bytes | None:
    """Return a drawing as an image file, or None before the first stroke. Raises ImageError if it cannot be read."""
    ink, paper = ("white", "black") if light_on_dark else ("black", "white")
    result = _canvas(key=key, data={"ink": ink, "paper": paper}, on_drawing_change=lambda: None)
    return from_data_url(result.drawing) if result.drawing else None
