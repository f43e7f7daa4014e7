"""Smaller ONNX graphs, in float16 or int8, and how much of the accuracy they keep."""

import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from torch import Tensor

from expertnet.data.splits import Split
from expertnet.transfer.onnx_check import EXACT, Tolerance, open_session, outputs
from expertnet.transfer.onnx_graph import IMAGES
from expertnet.utils.progress import Report, silent

BATCH = 64
CALIBRATED_ON = 256  # images
MEASURED_ON = 10_000  # images


class Precision(StrEnum):
    """The number format of an exported network."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"


# About ten times the differences of the networks that ship
ALLOWED = {
    Precision.FLOAT32: EXACT,
    Precision.FLOAT16: Tolerance(
        0.02, share=0.9, advice="Numbers above 65,504 do not fit into float16. Export it as float32 or int8."
    ),
    Precision.INT8: Tolerance(
        0.2, share=0.9, advice="int8 is too coarse for this network. Export it as float32 or float16."
    ),
}


@dataclass(frozen=True)
class Kept:
    """What a precision keeps of a network, on the same images."""

    images: int
    accuracy: float  # fractions
    float32_accuracy: float
    same_answers: float


def to_float16(model: Any) -> Any:
    """Return a graph with float16 weights and activations, and float32 outputs."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(model, keep_io_types=True)


def to_int8(model: Any, images_N3SS: Tensor) -> Any:
    """Return a graph whose convolutions compute in int8. Their ranges are those that images (N, 3, S, S) lead to.

    Weights have a scale for each channel, activations one for each tensor. Routers and the classifier stay in float32.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(images_N3SS.split(BATCH))

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.batches, None)
            return None if batch is None else {IMAGES: batch.numpy()}

    with tempfile.TemporaryDirectory() as folder:
        source, folded, target = (Path(folder, f"{name}.onnx") for name in ("source", "folded", "target"))
        onnx.save(model, source)
        quant_pre_process(source, folded, skip_symbolic_shape=True)  # folds batch norms
        quantize_static(
            folded,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            reduce_range=True,  # or else sums overflow on processors without VNNI
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(target)


def measure(content: bytes, float32: bytes, split: Split, progress: Report = silent, most: int = MEASURED_ON) -> Kept:
    """Compare the answers of a graph with those of the float32 graph, on at most `most` images at equal distances."""
    every = -(-len(split) // most)
    images, labels = split.images[::every], split.labels[::every].numpy()
    sessions, right, same = [open_session(graph) for graph in (content, float32)], [0, 0], 0
    for start in range(0, len(labels), BATCH):
        progress("Measuring the accuracy", start / len(labels))
        here = slice(start, start + BATCH)
        ours, theirs = (outputs(session, images[here].contiguous())[0].argmax(1) for session in sessions)
        right = [right[0] + int((ours == labels[here]).sum()), right[1] + int((theirs == labels[here]).sum())]
        same += int((ours == theirs).sum())
    count = len(labels)
    return Kept(count, right[0] / count, right[1] / count, same / count)
