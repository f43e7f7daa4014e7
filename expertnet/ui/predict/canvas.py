"""A canvas to draw on with a mouse, a pen, a finger or the keyboard. The drawing arrives as bytes, like an upload."""

import streamlit as st

from expertnet.data.data_url import from_data_url
from expertnet.data.drawing import PEN

HTML = """
<div class="row">
<div class="board">
<canvas width="280" height="280" tabindex="0" role="application"
  aria-label="Canvas. Space lowers and lifts the pen, the arrow keys move it."></canvas>
<i class="pen"></i>
</div>
<button type="button">Clear drawing</button>
</div>
"""
CSS = """
.row { display: flex; flex-wrap: wrap; align-items: end; gap: 0.5rem; }
.board { position: relative; }
canvas:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 1px; }
.pen { display: none; position: absolute; width: 1rem; height: 1rem; margin: -0.5rem; border: 2px solid #888;
  border-radius: 50%; pointer-events: none; }
.pen.down { background: #888; }
canvas:focus-visible + .pen { display: block; }
canvas { display: block; width: 280px; aspect-ratio: 1; touch-action: none; cursor: crosshair;
  border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); }
@media (max-width: 640px) { canvas { width: 210px; } }
button { padding: 0.25rem 0.75rem; font: inherit; color: var(--st-text-color); cursor: pointer;
  background: var(--st-background-color); border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius); }
button:hover, button:focus-visible { border-color: var(--st-primary-color); }
"""
JS = """
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
const STEP = 14  // pixels of the canvas, which has 280

export default function ({ data, parentElement, setStateValue }) {
  const canvas = parentElement.querySelector("canvas")
  const context = canvas.getContext("2d")
  const clear = () => {
    context.fillStyle = data.paper
    context.fillRect(0, 0, canvas.width, canvas.height)
  }
  if (canvas.paper && canvas.paper !== data.paper) {  // another network, which learned the other way round
    context.globalCompositeOperation = "difference"
    context.fillStyle = "white"
    context.fillRect(0, 0, canvas.width, canvas.height)
    context.globalCompositeOperation = "source-over"
    if (canvas.drawn) setStateValue("drawing", canvas.toDataURL("image/png"))
  } else if (!canvas.paper) clear()
  canvas.paper = data.paper
  const place = (event) => {
    const box = canvas.getBoundingClientRect()
    const scale = canvas.width / box.width
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale]
  }
  let last = null
  const lineTo = (next) => {
    context.strokeStyle = data.ink
    context.lineWidth = canvas.width * data.pen
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
    lineTo(last)
  }
  canvas.onpointermove = (event) => { if (last) lineTo(place(event)) }
  const finish = () => {
    if (!last) return
    last = null
    canvas.drawn = true
    setStateValue("drawing", canvas.toDataURL("image/png"))
  }
  canvas.onpointerup = canvas.onpointercancel = finish

  const pen = parentElement.querySelector(".pen")
  const at = canvas.at ??= [canvas.width / 2, canvas.height / 2]
  const show = () => {
    pen.style.left = `${(100 * at[0]) / canvas.width}%`
    pen.style.top = `${(100 * at[1]) / canvas.height}%`
    pen.classList.toggle("down", Boolean(last))
  }
  canvas.onkeydown = (event) => {
    const step = STEPS[event.key]
    if (!step && event.key !== " ") return
    event.preventDefault()  // scrolls otherwise
    if (step) {
      step.forEach((way, axis) => { at[axis] = Math.min(Math.max(at[axis] + way * STEP, 0), canvas.width) })
      if (last) lineTo([...at])
    } else if (last) {
      finish()
    } else if (!event.repeat) {
      last = [...at]
      lineTo(last)
    }
    show()
  }
  canvas.onblur = () => { finish(); show() }
  show()
  parentElement.querySelector("button").onclick = () => {
    clear()
    canvas.drawn = false
    setStateValue("drawing", "")
  }
}
"""
_canvas = st.components.v2.component("canvas", html=HTML, css=CSS, js=JS)


def draw(light_on_dark: bool, key: str) -> bytes | None:
    """Return a drawing as an image file, or None before the first stroke. Raises ImageError if it cannot be read."""
    ink, paper = ("white", "black") if light_on_dark else ("black", "white")
    result = _canvas(key=key, data={"ink": ink, "paper": paper, "pen": PEN}, on_drawing_change=lambda: None)
    return from_data_url(result.drawing) if result.drawing else None
