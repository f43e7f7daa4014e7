"""A trained network as an ONNX graph: uint8 images -> probabilities and routing weights, with what a reader must know.

Shapes: N images of S x S pixels, C classes, B blocks, K experts, F features.
"""

import hashlib
import json
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from expertnet import __version__
from expertnet.data.augment import normalize
from expertnet.errors import RunError
from expertnet.inference.predictor import Predictor, look
from expertnet.utils.home import install_command
from expertnet.utils.text import listed, plural

IMAGES, OUTPUTS, FEATURES = "images", ("probabilities", "routing"), "features"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
PREPROCESSING = (
    "RGB, upright, transparency on white, grayscale of more than 8 bits scaled to 8; the largest centered square, resized bilinearly "
    "to image_size x image_size; uint8, (N, 3, image_size, image_size). The graph normalizes."
)


class Graph(nn.Module):
    """uint8 images (N, 3, S, S) -> probabilities (N, C), routing weights (N, B, K), and perhaps features (N, F)."""

    mean: Tensor
    std: Tensor

    def __init__(self, predictor: Predictor, features: bool) -> None:
        super().__init__()
        self.network, self.features = predictor.model, features
        self.register_buffer("mean", predictor.mean)
        self.register_buffer("std", predictor.std)

    def forward(self, images_N3SS: Tensor) -> tuple[Tensor, ...]:
        x_N3SS = normalize(images_N3SS, self.mean, self.std)
        if self.features:
            return look(self.network, x_N3SS)
        logits, routing_NBK = self.network(x_N3SS, True)
        return logits.softmax(1), routing_NBK


def require_packages() -> None:
    """Raise RunError with the command that installs what ONNX needs, unless it is installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise RunError(
            f"ONNX needs {listed(missing)}, which {plural(len(missing), 'is', 'are')} not installed. "
            f"Run '{install_command(*missing)}', then export again."
        )


def onnx_graph(predictor: Predictor, features: bool = False) -> Any:
    """Return the network as an onnx.ModelProto for batches of any size, with the `features` of `look` as a third output.

    Raises RunError if a package is missing. Sets flags of the whole process for some seconds, so no training may run in it.
    """
    require_packages()
    images = torch.zeros(2, 3, predictor.image_size, predictor.image_size, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of libraries, about themselves
        program = torch.onnx.export(
            Graph(predictor, features).eval(),
            (images,),
            dynamo=True,
            verbose=False,
            external_data=False,
            opset_version=OPSET,
            input_names=[IMAGES],
            output_names=[*OUTPUTS, FEATURES] if features else list(OUTPUTS),
            dynamic_shapes={"images_N3SS": {0: torch.export.Dim("N")}},
        )
    assert program is not None
    return program.model_proto


def metadata(predictor: Predictor, run_id: str, precision: str, temperature: float | None = None) -> dict[str, str]:
    """Return the facts that a graph carries, as text; lists are JSON. The temperature is that of a run that has been calibrated."""
    info = predictor.info
    facts = {
        "classes": json.dumps(info.classes),
        "image_size": str(predictor.image_size),
        "preprocessing": PREPROCESSING,
        "run": run_id,
        "epoch": str(predictor.epoch),
        "fingerprint": fingerprint(predictor.model),
        "dataset": info.name,
        "dataset_fingerprint": info.fingerprint,
        "routed_blocks": json.dumps(predictor.settings.model.routed_blocks),
        "precision": precision,
        "expertnet": __version__,
    }
    return facts if temperature is None else facts | {"temperature": str(temperature)}


def fingerprint(model: nn.Module) -> str:
    """Return a digest of the weights, by which networks can be told apart."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} ".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def with_metadata(model: Any, facts: dict[str, str]) -> bytes:
    """Return the bytes of a graph with facts, in place of those that it had."""
    import onnx

    _forget_source(model)
    onnx.helper.set_model_props(model, facts)
    model.producer_name, model.producer_version = "expertnet", __version__
    return bytes(model.SerializeToString())


def _forget_source(model: Any) -> None:
    """Clear what torch writes about the code that each part comes from: stack traces with paths on this computer."""
    graph, functions = model.graph, model.functions
    parts = [graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer, *functions]
    for function in functions:
        parts += [*function.node, *function.value_info]
    for part in parts:
        part.ClearField("metadata_props")
