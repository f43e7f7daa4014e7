"""Export a network as ONNX, in a zip with images and expected outputs, code that uses it, and the model card."""

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from expertnet.data.builtin import BUILTIN
from expertnet.data.images import load_image
from expertnet.data.parts import load_training_sample, load_validation_split
from expertnet.errors import DatasetError
from expertnet.evaluation.outputs import cached_temperature
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import has_own_test_set, load_own_test_set
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.transfer import snippets
from expertnet.transfer.export_network import CARD
from expertnet.transfer.onnx_check import SIZES, check, drawn, open_session, outputs
from expertnet.transfer.onnx_graph import metadata, onnx_graph, with_metadata
from expertnet.transfer.onnx_precision import (
    ALLOWED,
    CALIBRATED_ON,
    MEASURED_ON,
    Kept,
    Precision,
    measure,
    to_float16,
    to_int8,
)
from expertnet.utils.progress import Report, silent
from expertnet.utils.text import counted, listed, percent, plural

GOLDEN = 8  # test images that travel with a network
TOLERANCES = {Precision.FLOAT32: 1e-3, Precision.FLOAT16: 1e-2, Precision.INT8: 0.1}  # of another computer's outputs


@dataclass(frozen=True, eq=False)
class Exported:
    """A checked ONNX network."""

    content: bytes
    predictor: Predictor
    precision: Precision
    difference: float  # the largest of any of its outputs from PyTorch's
    kept: Kept | None  # None if the test images are not on this computer

    @property
    def sentence(self) -> str:
        """What was checked, and what the precision keeps, for users."""
        sizes = ", ".join(map(str, SIZES))
        text = (
            f"In batches of {sizes}, onnxruntime's {self.precision.value} outputs differ from PyTorch's by at most "
            f"{self.difference:.1g}."
        )
        kept = self.kept
        if kept is not None:
            text += (
                f" In {self.precision.value}, the network recognizes {percent(kept.accuracy, 2)} of "
                f"{counted(kept.images, 'test image')}, and {percent(kept.float32_accuracy, 2)} in float32; "
                f"{percent(kept.same_answers, 2)} of the answers are the same."
            )
        return text


def export_onnx(
    run: Run,
    checkpoint: Checkpoint = "best",
    precision: Precision = Precision.FLOAT32,
    progress: Report = silent,
    most: int = MEASURED_ON,
) -> Exported:
    """Return a network as a checked ONNX graph. What a smaller precision keeps is measured on at most `most` test images.

    Raises RunError if a package is missing, there is no usable checkpoint, or a graph does not answer as PyTorch does, and
    DatasetError if int8 lacks the images to calibrate it.
    """
    predictor, temperature = load_predictor(run, checkpoint), cached_temperature(run, checkpoint)
    test = load_own_test_set(run, progress) if has_own_test_set(run) else None
    calibration = _calibration_images(run, progress) if precision is Precision.INT8 else None
    progress("Converting the network", None)
    model = onnx_graph(predictor)
    float32 = with_metadata(model, metadata(predictor, run.id, Precision.FLOAT32, temperature))
    progress("Checking the network in onnxruntime", None)
    images = drawn(max(SIZES), predictor.image_size)
    images = images if test is None else torch.cat((test.images[: max(SIZES)], images))
    difference = check(float32, predictor, images)
    if precision is Precision.FLOAT32:
        return Exported(float32, predictor, precision, difference, None)
    progress(f"Converting to {precision.value}", None)
    smaller = to_float16(model) if calibration is None else to_int8(model, calibration)
    content = with_metadata(smaller, metadata(predictor, run.id, precision, temperature))
    progress(f"Checking the {precision.value} network in onnxruntime", None)
    difference = check(content, predictor, images, ALLOWED[precision])
    kept = None if test is None else measure(content, float32, test, progress, most)
    return Exported(content, predictor, precision, difference, kept)


def _calibration_images(run: Run, progress: Report) -> Tensor:
    """Return validation images, or training images if none were held out. Raises DatasetError."""
    settings, own = run.settings(), run.dataset_info()
    if not has_own_test_set(run):
        raise DatasetError(
            f"int8 is calibrated on validation images, and those of {run.dataset} are not on this computer. Export as float32 or "
            "float16, or download the images on the Experts page first."
        )
    if settings.data.validation_share:
        split = load_validation_split(settings.data, settings.seed, progress, own)
    else:
        split = load_training_sample(settings.data, settings.seed, CALIBRATED_ON, progress, own)
    return split.images[:: -(-len(split) // CALIBRATED_ON)].contiguous()


def package(run: Run, exported: Exported, card: str) -> bytes:
    """Return the zip of an ONNX network."""
    predictor, files = exported.predictor, golden_images(run, exported.predictor.image_size)
    images = torch.stack([load_image(each, predictor.image_size) for each in files.values()])
    if exported.precision is Precision.FLOAT32:
        probabilities_NC, routing_NBK = (each.numpy() for each in predictor(images))
    else:
        probabilities_NC, routing_NBK = outputs(open_session(exported.content), images)
    expected = {
        "tolerance": TOLERANCES[exported.precision],
        "images": list(files),
        "probabilities": probabilities_NC.tolist(),
        "routing": routing_NBK.tolist(),
    }
    texts = {
        CARD: f"{card}\n{_use(exported)}",
        snippets.EXPECTED: json.dumps(expected),
        snippets.PYTHON: snippets.python(),
        snippets.CHECK: snippets.check(),
        snippets.SCRIPT: snippets.javascript(predictor.info),
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(snippets.MODEL, exported.content)
        for name, content in (texts | files).items():
            archive.writestr(name, content)
    return file.getvalue()


def golden_images(run: Run, size: int) -> dict[str, bytes]:
    """Return image files by name: drawn ones of several kinds, and test images of a built-in dataset if they are here.

    Images of your own datasets stay here.
    """
    large, small = _image(drawn(1, 3 * size)[0]), _image(drawn(1, size)[0])
    wide, tall, clear = large.crop((0, 0, 3 * size, 2 * size)), large.crop((0, 0, size + 1, 3 * size)), large.copy()
    clear.putalpha(clear.getchannel(0))
    deep, turn = Image.fromarray(np.asarray(large.getchannel(1), np.uint16) * 257), Image.Exif()  # 255 becomes 65,535
    turn[ExifTags.Base.Orientation] = 6
    found = {
        "wide.png": _file(wide),
        "tall.png": _file(tall),
        "transparent.png": _file(clear),
        "16-bit.png": _file(deep),
        "turned.jpg": _file(wide, "JPEG", exif=turn, quality=95),
        "small.png": _file(small),
    }
    if run.settings().data.dataset in BUILTIN and has_own_test_set(run):
        split = load_own_test_set(run)
        for place in torch.linspace(0, len(split) - 1, min(GOLDEN, len(split))).long().tolist():
            found[f"test-{place}.png"] = _file(_image(split.images[place]))
    return {f"images/{name}": content for name, content in found.items()}


def _image(pixels_3SS: Tensor) -> Image.Image:
    return Image.fromarray(pixels_3SS.permute(1, 2, 0).contiguous().numpy())


def _file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _without_experts(predictor: Predictor) -> str:
    """Say which rows of the routing weights mean nothing, if there are any."""
    model = predictor.settings.model
    if len(model.routed_blocks) == model.num_blocks:
        return ""
    count, routed = len(model.routed_blocks), listed(map(str, model.routed_blocks))
    which = f"{plural(count, 'block')} {routed} {plural(count, 'has', 'have')}"
    return f", where only {which} experts and the row of any other is 1 for the first and 0 for the others"


def _use(exported: Exported) -> str:
    """Return what the files of the zip are, in Markdown."""
    return f"""\
## ONNX

{exported.sentence}

- `{snippets.MODEL}` takes `images`: uint8, (N, 3, {exported.predictor.image_size}, {exported.predictor.image_size}), RGB. It \
returns `probabilities` (N, classes) and `routing` (N, blocks, experts){_without_experts(exported.predictor)}. Classes, preprocessing, \
run and fingerprint are in its metadata.
- `{snippets.PYTHON}` classifies image files: `pip install onnxruntime pillow`, then `python {snippets.PYTHON} FILE...`
- `{snippets.CHECK}` classifies the files in `images` and compares the outputs with those in `{snippets.EXPECTED}`.
- `{snippets.SCRIPT}` does the same as `{snippets.PYTHON}` in a browser: `npm install {snippets.RUNTIME}`. In Node, decode the image \
yourself and call `classify` with its RGBA pixels.
"""
