"""Code that travels with an ONNX network: how to classify with it, and a check that it answers as it did here."""

import json

from expertnet.data.info import DatasetInfo

MODEL, EXPECTED, PYTHON, CHECK, SCRIPT = "model.onnx", "expected.json", "classify.py", "check.py", "classify.mjs"
RUNTIME = "onnxruntime-web"  # npm package

_PYTHON = '''\
"""Classify image files: pip install onnxruntime pillow, then python classify.py FILE..."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"), providers=["CPUExecutionProvider"])
facts = session.get_modelmeta().custom_metadata_map
classes, size = json.loads(facts["classes"]), int(facts["image_size"])


def eight_bits(image):
    """Return grayscale of 16 or 32 bits in 8 bits, on white. Pillow's conversions would clip its values at 255."""
    values = np.nan_to_num(np.asarray(image, np.float32))
    low, high = float(values.min()), float(values.max())
    if low >= 0:
        limits = (1.0, 255.0) if image.mode == "F" else (65535.0,)
        low, high = 0.0, next((limit for limit in limits if high <= limit), high)
    scaled = ((values - low) * (255 / max(high - low, 1e-12))).round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.where(values == image.info.get("transparency", np.nan), np.uint8(255), scaled))


def pixels(path):
    """Return the largest centered square of an image, upright and on white: (3, size, size) uint8."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode[0] in "IF":
        image = eight_bits(image)
    image = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    return np.asarray(image).transpose(2, 0, 1)


def classify(paths):
    """Return probabilities (images, classes) and routing weights (images, blocks, experts)."""
    return session.run(["probabilities", "routing"], {"images": np.stack([pixels(path) for path in paths])})


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    failed = False
    for path in sys.argv[1:]:
        try:
            shares = classify([path])[0][0]
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            failed = True
            print(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
        else:
            print(f"{path}: {classes[shares.argmax()]} {shares.max():.1%}")
    sys.exit(failed)
'''

_CHECK = '''\
"""Check that model.onnx answers as it did where it was exported: pip install onnxruntime pillow, then python check.py"""
import json, pathlib, sys
import numpy as np
from classify import classify
folder = pathlib.Path(__file__).parent
expected = json.loads((folder / "expected.json").read_text())
found = classify([folder / name for name in expected["images"]])
for output, values in zip(("probabilities", "routing"), found):
    worst = np.abs(values - np.array(expected[output])).max()
    print(f"{output}: at most {worst:.2g} from what is expected, {expected['tolerance']} allowed")
    if not worst <= expected["tolerance"]: sys.exit("The check failed.")
'''

_SCRIPT = """\
// Classify images in a browser: npm install onnxruntime-web
//   const session = await ort.InferenceSession.create("model.onnx")
//   const answer = await classifyFile(session, file)
// Node cannot decode images by itself. There, decode the file to RGBA pixels and use
//   const answer = await classify(session, rgba, width, height)
import * as ort from "onnxruntime-web"

export const classes = CLASSES
export const size = SIZE

// Where each of `size` pixels takes its values from, and with which weights: Pillow's bilinear filter
function filter(start, side, limit) {
  const scale = side / size, reach = Math.max(scale, 1)
  return Array.from({ length: size }, (_, place) => {
    const center = start + (place + 0.5) * scale
    const first = Math.max(Math.trunc(center - reach + 0.5), 0)
    const last = Math.min(Math.trunc(center + reach + 0.5), limit)
    const raw = Array.from({ length: last - first }, (_, i) => Math.max(1 - Math.abs(first + i + 0.5 - center) / reach, 0))
    const sum = raw.reduce((total, weight) => total + weight, 0)
    return { first, weights: raw.map((weight) => weight / sum) }
  })
}

// The largest centered square of RGBA pixels, on white: 3 x size x size bytes
export function fit(rgba, width, height) {
  const side = Math.min(width, height)
  const columns = filter((width - side) >> 1, side, width), rows = filter((height - side) >> 1, side, height)
  const square = new Uint8ClampedArray(3 * size * size), narrow = new Uint8ClampedArray(height * size)
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < height; y++) columns.forEach(({ first, weights }, x) => {
      narrow[y * size + x] = weights.reduce((sum, weight, i) => {
        const place = 4 * (y * width + first + i)
        return sum + weight * (255 + Math.round((rgba[place + channel] - 255) * rgba[place + 3] / 255))
      }, 0)
    })
    rows.forEach(({ first, weights }, y) => {
      for (let x = 0; x < size; x++) square[(channel * size + y) * size + x] =
        weights.reduce((sum, weight, i) => sum + weight * narrow[(first + i) * size + x], 0)
    })
  }
  return new Uint8Array(square.buffer)
}

// The probability of each class, the weight of each expert in each block, and the pixels that the network sees
export async function classify(session, rgba, width, height) {
  const pixels = fit(rgba, width, height)
  const { probabilities, routing } = await session.run({ images: new ort.Tensor("uint8", pixels, [1, 3, size, size]) })
  const [, blocks, experts] = routing.dims
  const weights = Array.from({ length: blocks }, (_, block) => [...routing.data.slice(block * experts, (block + 1) * experts)])
  return { probabilities: [...probabilities.data], routing: weights, pixels }
}

// In a browser: a File or Blob with an image
export async function classifyFile(session, file) {
  const image = await createImageBitmap(file)
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d")
  context.drawImage(image, 0, 0)
  return classify(session, context.getImageData(0, 0, image.width, image.height).data, image.width, image.height)
}
"""


_NETWORK = """\
from pathlib import Path

import torch

from expertnet.data.augment import normalize
from expertnet.data.images import load_image
from expertnet.network.model import ExpertNet

net = ExpertNet.from_pretrained(FILE)
image = load_image(Path("image.png").read_bytes(), net.info.image_size)
with torch.inference_mode():
    logits, routing = net(
        normalize(image[None], torch.tensor(net.info.mean), torch.tensor(net.info.std)), return_routing=True
    )
print(net.info.classes[logits.argmax()], routing)
"""

_UNPACKED = f"""\
unzip FILE -d net && cd net
python -m pip install onnxruntime pillow
python {CHECK}                # answers as it did here?
python {PYTHON} image.png   # which class?
npm install {RUNTIME}      # for {SCRIPT}, in a browser, or in Node with decoded images
"""


def for_network(file: str) -> str:
    """Return code that classifies image.png with an exported safetensors file or folder."""
    return _NETWORK.replace("FILE", json.dumps(file))


def for_onnx(file: str) -> str:
    """Return the commands that check and use the zip of an ONNX network."""
    return _UNPACKED.replace("FILE", file)


def python() -> str:
    """Return classify.py, which needs onnxruntime and Pillow alone."""
    return _PYTHON


def check() -> str:
    """Return check.py, which compares the answers for the images in expected.json."""
    return _CHECK


def javascript(info: DatasetInfo) -> str:
    """Return classify.mjs, which needs onnxruntime-web alone."""
    # The classes last, since the name of one can contain "SIZE"
    return _SCRIPT.replace("SIZE", str(info.image_size), 1).replace("CLASSES", json.dumps(info.classes), 1)
