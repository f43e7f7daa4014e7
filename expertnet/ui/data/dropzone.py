"""Drop any number of files or folders, which the browser sends to the server's own route in pieces.

It continues by itself after a lost connection, and sends only what is missing if the same files are dropped again. The module is long
because most of it is the script for the browser.
"""

from collections.abc import Callable, Sequence

import streamlit as st

from expertnet.data.archives import MAX_FILES
from expertnet.data.images import READABLE_SUFFIXES
from expertnet.ui.data.receiver import HEADER, ROUTE

# Where HEIC cannot be read, it is not asked for, and an iPhone sends these photos as JPEG
HTML = """
<div class="zone" role="group">
<p class="hint"></p>
<div class="row">
<button type="button" class="files">Choose images</button>
<button type="button" class="folder"></button>
<button type="button" class="archive">Choose an archive</button>
<button type="button" class="stop" hidden>Stop</button>
</div>
<progress max="1" value="0" hidden aria-label="Upload"></progress>
<p class="said" role="status"></p>
<input type="file" multiple hidden class="pick-files" accept="ACCEPTED">
<input type="file" multiple hidden webkitdirectory class="pick-folder">
<input type="file" multiple hidden class="pick-archive" accept=".zip,.tar,.tgz,.gz,.xz,.bz2">
</div>
""".replace("ACCEPTED", ",".join(("image/*", *sorted(READABLE_SUFFIXES))))
CSS = """
.zone { border: 1px dashed var(--st-border-color); border-radius: var(--st-base-radius); padding: 1rem; color: var(--st-text-color);
  background: var(--st-secondary-background-color); }
.zone.over { border-color: var(--st-primary-color); border-style: solid; }
.zone.locked { opacity: 0.6; }
.row { display: flex; flex-wrap: wrap; gap: 0.5rem; }
p { margin: 0 0 0.6rem; }
.said { margin: 0.4rem 0 0; font-size: 0.875rem; }
.said:empty { display: none; }
progress { width: 100%; margin-top: 0.6rem; accent-color: var(--st-primary-color); }
button { padding: 0.25rem 0.75rem; font: inherit; color: var(--st-text-color); cursor: pointer;
  background: var(--st-background-color); border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius); }
button:hover:enabled, button:focus-visible { border-color: var(--st-primary-color); }
button[hidden] { display: none; }
"""
JS = """
const AT_ONCE = 2, PIECE = 4 * 2 ** 20, MOST_FILES = 64, PATIENCE = 300  // requests, bytes, files in a request, seconds
const CHANGED = "A file was changed or removed while it was uploaded."

const encoder = new TextEncoder()
function framed(file, path, number, label, offset, count) {
  const header = encoder.encode(JSON.stringify({ path, number, label, size: file.size, offset, count }))
  const length = new DataView(new ArrayBuffer(4))
  length.setUint32(0, header.length)
  return [length.buffer, header, file.slice(offset, offset + count)]
}

// The same files for the same class are the same upload, also after a reload
function idOf(label, files) {
  let a = 0x811c9dc5, b = 0x9e3779b9
  for (const char of [label, ...files.map(([file, path]) => `${path}/${file.size}/${file.lastModified}`)].join("//")) {
    a = Math.imul(a ^ char.codePointAt(0), 0x01000193)
    b = Math.imul(b ^ char.codePointAt(0), 0x85ebca6b)
    b ^= b >>> 13
  }
  return [a, b].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("")
}

function named(files) {
  const seen = new Set()
  const sorted = files.map(([file, path]) => [file, path.normalize()]).sort((a, b) => (a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0))
  return sorted.map(([file, path]) => {
    while (seen.has(path)) path = path.replace(/([.][^./]*)?$/, "_$&")
    seen.add(path)
    return [file, path]
  })
}

const read = (path, ask) => new Promise(ask).catch(() => {
  throw new Error(`“${path}” cannot be read, so none of these files were uploaded. Leave it out, or allow your browser to read it.`)
})

async function walk(entry, path, found) {
  if (entry.isFile) {
    found.push([await read(path + entry.name, (done, failed) => entry.file(done, failed)), path + entry.name])
  } else {
    const reader = entry.createReader()
    for (;;) {
      const some = await read(path + entry.name, (done, failed) => reader.readEntries(done, failed))
      if (!some.length) return
      for (const inner of some) await walk(inner, `${path}${entry.name}/`, found)
    }
  }
}

async function ask(url, header, options) {
  const answer = await fetch(url, { ...options, headers: { [header]: "1" } })
  const found = await answer.json()  // fails for the page of a web server in between
  if (found.error) throw Object.assign(new Error(found.error), { final: answer.status !== 408 })
  return found
}

async function send(state, files, data) {
  if (!files.length) return
  state.note = state.upload ? "Wait until this upload has ended, then drop these files again." : ""
  if (state.upload) return state.show()
  if (files.length > data.most) {
    state.said = `At most ${data.most.toLocaleString("en")} files at once. Drop a part of them.`
    return state.show()
  }
  const upload = state.upload = new AbortController()
  const { signal } = upload
  files = named(files)
  const id = idOf(data.label, files)
  const url = new URL(`${data.root}/${id}`, document.baseURI.replace(/[^/]*$/, "")).href
  const tell = (said, done) => { Object.assign(state, { said, done: done ?? state.done }); state.show() }
  tell("", 0)
  const leaving = (event) => event.preventDefault()
  const stop = () => fetch(`${url}/stop`, { method: "POST", headers: { [data.header]: "1" }, keepalive: true }).catch(() => {})
  addEventListener("beforeunload", leaving)
  addEventListener("pagehide", stop)
  let lost = 0  // since when the connection is lost
  const patiently = async (url, options) => {
    for (let wait = 1; ; wait = Math.min(wait * 2, 20)) {
      try {
        const found = await ask(url, data.header, { signal, ...options })
        lost = 0
        return found
      } catch (error) {
        await options.body?.arrayBuffer().catch(() => { throw Object.assign(new Error(CHANGED), { final: true }) })
        lost ||= Date.now()
        if (signal.aborted || error.final || Date.now() - lost > PATIENCE * 1000) throw error
        tell("The connection is lost. The upload continues when it is back.")
        await new Promise((done) => setTimeout(done, wait * 1000))
      }
    }
  }
  try {
    const before = await patiently(url, {})
    const there = new Set(before.files)
    const left = files.map((file, number) => [...file, number]).filter(([, path]) => !there.has(path))
    const total = left.reduce((sum, [file]) => sum + file.size, 0) || 1
    let sent = 0, count = files.length - left.length, next = 0
    const post = async (parts, size, whole) => {
      await patiently(url, { method: "POST", body: new Blob(parts) })
      sent += size
      count += whole
      tell(`${count.toLocaleString("en")} of ${files.length.toLocaleString("en")} files saved`, Math.min(sent / total, 1))
    }
    const worker = async () => {
      while (next < left.length) {
        const parts = []
        let size = 0, whole = 0
        while (next < left.length && whole < MOST_FILES && (!whole || size + left[next][0].size <= PIECE)) {
          const [file, path, number] = left[next++]
          if (file.size > PIECE) {
            let offset = Math.min(before.parts[number] ?? 0, file.size), some
            do {
              some = Math.min(PIECE, file.size - offset)
              await post(framed(file, path, number, data.label, offset, some), some, offset + some === file.size ? 1 : 0)
              offset += some
            } while (offset < file.size)
          } else {
            parts.push(...framed(file, path, number, data.label, 0, file.size))
            size += file.size
            whole += 1
          }
        }
        if (whole) await post(parts, size, whole)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    tell("Adding the images…", 1)
    await patiently(`${url}/finish`, { method: "POST" })
    state.said = ""
  } catch (error) {
    upload.abort()
    await stop()
    const why = error.final ? error.message : "The upload was interrupted."
    state.said = `${why} What has been saved is kept. Choose the same files again to send the rest.`
  } finally {
    removeEventListener("beforeunload", leaving)
    removeEventListener("pagehide", stop)
    Object.assign(state, { upload: null, note: "" })
    state.show()
    state.ended(id)
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const find = (name) => parentElement.querySelector(name)
  const zone = find(".zone")
  // An upload continues on the other views and pages
  const uploads = (window.expertnetUploads ??= {})
  const state = (uploads[data.root] ??= { upload: null, said: "", note: "", done: 0 })
  zone.setAttribute("aria-label", data.label_text)
  zone.classList.toggle("locked", data.locked)
  find(".hint").textContent = data.hint
  find(".folder").textContent = `Choose a folder of ${data.buttons.includes("files") ? "one class" : "class folders"}`
  state.ended = (id) => setTriggerValue("ended", id)
  state.show = () => {
    const busy = Boolean(state.upload)
    for (const name of [".files", ".folder", ".archive"]) {
      find(name).hidden = !data.buttons.includes(name.slice(1))
      find(name).disabled = data.locked || busy
    }
    find("progress").hidden = find(".stop").hidden = !busy
    find("progress").value = state.done
    find(".said").textContent = [state.said, state.note].filter(Boolean).join(" ")
  }
  state.show()

  const start = (files) => { if (!data.locked) send(state, files, data) }
  for (const name of ["files", "folder", "archive"]) {
    const chosen = find(`.pick-${name}`)
    find(`.${name}`).onclick = () => chosen.click()
    chosen.onchange = () => {
      const files = [...chosen.files].map((file) => [file, file.webkitRelativePath || file.name])
      chosen.value = ""
      start(files)
    }
  }
  find(".stop").onclick = () => state.upload?.abort()
  zone.ondragover = (event) => { event.preventDefault(); zone.classList.add("over") }
  zone.ondragleave = () => zone.classList.remove("over")
  zone.ondrop = async (event) => {
    event.preventDefault()
    zone.classList.remove("over")
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean)
    const found = []
    try {
      for (const entry of entries) await walk(entry, "", found)
      start(found)
    } catch (error) {
      state.note = error.message
      state.show()
    }
  }
}
"""
_zone = st.components.v2.component("dropzone", html=HTML, css=CSS, js=JS)


def dropzone(
    dataset: str, hint: str, buttons: Sequence[str], ended: Callable[[str], None], label: str = "", locked: bool = False
) -> None:
    """Draw the place to drop files for a class, by its id, or for the classes that their folders name.

    `buttons` are some of "files", "folder" and "archive". `ended` is called with the id of an upload before the script that draws
    what came of it: it may have brought the first class.
    """
    key = f"dropzone {dataset}"
    data = {
        "root": f"{ROUTE.lstrip('/')}{dataset}",
        "header": HEADER,
        "hint": hint,
        "label_text": f"Upload to {dataset}",
        "buttons": buttons,
        "most": MAX_FILES,
        "label": label,
        "locked": locked,
    }
    _zone(key=key, data=data, on_ended_change=lambda: ended(str(st.session_state[key]["ended"])))
