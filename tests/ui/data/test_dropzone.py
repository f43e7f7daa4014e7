"""The script of the drop zone, run by Node.js with files as a browser hands them over."""

import json
import shutil
import subprocess

import pytest

from expertnet.ui.data.dropzone import JS

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")

# The elements of the page that the script sets, and a server that answers once it is asked to
BROWSER = """
import zone from "./zone.mjs"

const elements = {}
const element = (name) => elements[name] ??= { classList: { add() {}, remove() {}, toggle() {} }, setAttribute() {} }
const asked = []
Object.assign(globalThis, {
  window: globalThis,
  document: { baseURI: "http://localhost/data" },
  addEventListener() {},
  removeEventListener() {},
  fetch: (url) => new Promise((answer) => asked.push([url, (found) => answer({ status: 200, json: async () => found })])),
})
const file = (name) => ({ isFile: true, name, file: (done) => done(new File(["x"], name)) })
const locked = (name) => ({ isFile: true, name, file: (done, failed) => failed(new Error("NotReadableError")) })
const folder = (name, ...inside) => ({ name, createReader: () => ({ readEntries: (done) => done(inside.splice(0)) }) })
const shut = (name) => ({ name, createReader: () => ({ readEntries: (done, failed) => failed(new Error("NotReadableError")) }) })
const ended = new Promise((done) => zone({
  data: { root: "upload/flowers", header: "h", hint: "", label_text: "", buttons: ["files"], most: 10, label: "", locked: false },
  parentElement: { querySelector: element },
  setTriggerValue: done,
}))
const drop = (...entries) => element(".zone").ondrop({
  preventDefault() {},
  dataTransfer: { items: entries.map((entry) => ({ webkitGetAsEntry: () => entry })) },
})
const said = () => element(".said").textContent
const answer = (found) => asked.shift()[1](found)
const shown = []
"""


def shown(tmp_path, steps):
    """Return what the script has shown."""
    (tmp_path / "zone.mjs").write_text(JS)
    (tmp_path / "main.mjs").write_text(f"{BROWSER}{steps}\nconsole.log(JSON.stringify(shown))")
    done = subprocess.run(["node", "main.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_files_that_are_dropped_during_an_upload_have_to_wait_and_it_is_said_until_the_upload_ends(tmp_path):
    steps = """
    await drop(file("1.jpg"))
    await drop(folder("rose", file("2.jpg")))
    shown.push(said(), asked.length)
    answer({ files: ["1.jpg"], parts: {} })  // it is there already
    while (!asked.length) await null
    shown.push(said())
    answer({})
    await ended
    shown.push(said())
    """
    wait = "Wait until this upload has ended, then drop these files again."
    assert shown(tmp_path, steps) == [wait, 1, f"Adding the images… {wait}", ""]


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ('folder("rose", file("1.jpg"), locked("2.jpg"))', "rose/2.jpg"),
        ('folder("flowers", shut("rose"))', "flowers/rose"),
    ],
)
def test_a_file_or_folder_that_cannot_be_read_is_named_and_the_next_drop_is_taken(tmp_path, entry, name):
    steps = f"""
    await drop({entry})
    shown.push(said(), asked.length)
    await drop(file("1.jpg"))
    shown.push(said(), asked.length)
    answer({{ files: ["1.jpg"], parts: {{}} }})
    while (!asked.length) await null
    answer({{}})
    await ended
    """
    sentence = f"“{name}” cannot be read, so none of these files were uploaded. Leave it out, or allow your browser to read it."
    assert shown(tmp_path, steps) == [sentence, 0, "", 1]
