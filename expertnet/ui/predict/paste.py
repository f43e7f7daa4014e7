"""A field that takes an image from the clipboard. It arrives as bytes, like an upload."""

import streamlit as st

from expertnet.data.data_url import from_data_url

MOST = 4096  # pixels of the longer side; a larger image arrives smaller
HTML = """
<div class="field" tabindex="0" role="textbox" aria-label="Image from the clipboard. Press Ctrl+V.">
<img alt=""><span>Or click here and press Ctrl+V to paste an image.</span>
</div>
"""
CSS = """
.field { display: flex; align-items: center; gap: 0.75rem; min-height: 3rem; padding: 0.25rem 0.75rem; box-sizing: border-box;
  color: var(--st-text-color); cursor: text; border: 1px dashed var(--st-border-color); border-radius: var(--st-base-radius); }
.field:focus { outline: 2px solid var(--st-primary-color); outline-offset: 1px; }
img { max-width: 2.5rem; max-height: 2.5rem; }
img:not([src]) { display: none; }
"""
JS = """
export default function ({ data, parentElement, setStateValue }) {
  const field = parentElement.querySelector(".field")
  const say = (text) => { field.querySelector("span").textContent = text }
  field.onpaste = async (event) => {
    event.preventDefault()
    const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"))
    if (!file) return say("The clipboard has no image. Copy one, then paste it here.")
    const image = await createImageBitmap(file).catch(() => null)
    if (!image) return say("This image cannot be read. Save it as a file and upload it.")
    const scale = Math.min(1, data.most / Math.max(image.width, image.height))
    const canvas = document.createElement("canvas")
    canvas.width = Math.max(1, Math.round(image.width * scale))
    canvas.height = Math.max(1, Math.round(image.height * scale))
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height)
    const url = canvas.toDataURL("image/png")
    field.querySelector("img").src = url
    say("Paste another image to replace this one.")
    setStateValue("image", url)
  }
}
"""
_field = st.components.v2.component("paste", html=HTML, css=CSS, js=JS)


def paste(key: str) -> bytes | None:
    """Return the pasted image as a PNG file, or None before the first one. Raises ImageError if it cannot be read."""
    result = _field(key=key, data={"most": MOST}, on_image_change=lambda: None)
    return from_data_url(result.image) if result.image else None
