"""Code that asks the prediction service of a run, to copy. It sends the API key in EXPERTNET_API_KEY, if there is one."""

from expertnet.store.run import Run
from expertnet.utils.home import launcher

PORT = 8600
URL = f"http://127.0.0.1:{PORT}"

_PYTHON = """\
import json
import os
import sys
import urllib.error
import urllib.request

headers = {"Content-Type": "application/octet-stream"}
if key := os.environ.get("EXPERTNET_API_KEY"):
    headers["Authorization"] = f"Bearer {key}"
with open(sys.argv[1], "rb") as image:
    request = urllib.request.Request("{url}/predict?top=3", image.read(), headers)
try:
    with urllib.request.urlopen(request) as response:
        answer = json.load(response)
except urllib.error.HTTPError as refusal:
    sys.exit(f"{refusal}: {refusal.read().decode()}")
assert answer["network"]["run"] == "{run}"
for prediction in answer["images"][0]["predictions"]:
    print(f"{prediction['label']}: {prediction['probability']:.1%}")
"""

_JAVASCRIPT = """\
// In Node: node classify.mjs image.png. In a web page, send a File as the body.
import { readFile } from "node:fs/promises"

const headers = { "Content-Type": "application/octet-stream" }
const key = process.env.EXPERTNET_API_KEY
if (key) headers.Authorization = `Bearer ${key}`
const response = await fetch("{url}/predict?top=3", {
  method: "POST",
  headers,
  body: await readFile(process.argv[2]),
})
const answer = await response.json()
if (!response.ok) throw new Error(answer.error)
if (answer.network.run !== "{run}") throw new Error("The service has another network.")
for (const { label, probability } of answer.images[0].predictions) console.log(`${label}: ${(100 * probability).toFixed(1)}%`)
"""


def command(run: Run) -> str:
    """Return the command that starts the service of a run, as it is called on this computer."""
    return f"{launcher()} serve-model {run.id}"


def curl(url: str = URL) -> str:
    """Return the command that classifies image.png. A service without a key ignores the header that the command sends it."""
    headers = '-H "Content-Type: application/octet-stream" -H "Authorization: Bearer $EXPERTNET_API_KEY"'
    return f'curl --data-binary @image.png {headers} "{url}/predict?top=3"'


def python(run: Run, url: str = URL) -> str:
    """Return a script that classifies the image that its argument names."""
    return _filled(_PYTHON, run, url)


def javascript(run: Run, url: str = URL) -> str:
    """Return a script for Node that classifies the image that its argument names."""
    return _filled(_JAVASCRIPT, run, url)


def _filled(text: str, run: Run, url: str) -> str:
    return text.replace("{url}", url).replace("{run}", run.id)
