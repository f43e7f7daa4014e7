"""A network as the service runs it: its checked ONNX graph in onnxruntime, and what its training images are like."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expertnet.evaluation.outputs import cached_temperature
from expertnet.inference.novelty import Novelty, find_novelty
from expertnet.inference.predictor import Predictor, calibrated, load_predictor
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.transfer.onnx_check import SIZES, check, drawn, open_session, outputs
from expertnet.transfer.onnx_graph import FEATURES, OUTPUTS, metadata, onnx_graph, with_metadata
from expertnet.utils.files import write_atomically
from expertnet.utils.memory import trim_memory
from expertnet.utils.progress import Report, silent

Found = dict[str, Any]  # an `ImageAnswer` without the name of the file; models would take longer than small networks


class OnnxPredictor(Predictor):
    """A predictor whose network runs in onnxruntime, on the calling thread alone."""

    def __init__(self, source: Predictor, content: bytes) -> None:
        super().__init__(source.model, source.settings, source.info, source.epoch)
        self.session: Any = open_session(content, threads=1)

    def look(self, images_N3SS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return probabilities (N, C), routing weights (N, B, K) and features (N, F) of uint8 images."""
        probabilities_NC, routing_NBK, features_NF = map(torch.from_numpy, outputs(self.session, images_N3SS))
        return probabilities_NC, routing_NBK, features_NF


@dataclass(frozen=True, eq=False)
class Served:
    """The network of a service. Several threads may use it at once."""

    run: Run
    checkpoint: Checkpoint
    predictor: Predictor
    novelty: Novelty | None
    fingerprint: str  # of the weights
    temperature: float | None = None  # if the run has been calibrated

    def classify(self, asked: Sequence[tuple[np.ndarray, int]]) -> list[Found]:
        """Classify uint8 images (3, S, S), each with the number of classes to name, as one batch."""
        images, tops = zip(*asked, strict=True)
        looked = self.predictor.look(torch.from_numpy(np.stack(images)))
        probabilities_NC, routing_NBK, features_NF = (each.numpy() for each in looked)
        classes = self.predictor.classes
        verdicts: list[dict[str, Any] | None] = [None] * len(asked)
        indices = (-probabilities_NC).argsort(1)[
            :, : max(tops)
        ]  # in numpy, as PyTorch takes longer than a small network
        shares = np.take_along_axis(probabilities_NC, indices, 1)
        if self.novelty:
            verdicts = [vars(verdict) for verdict in self.novelty.judge(features_NF, probabilities_NC)]
        names = {"probability": shares.tolist()}
        if self.temperature:
            names["calibrated"] = np.take_along_axis(
                calibrated(looked[0], self.temperature).numpy(), indices, 1
            ).tolist()
        rows = zip(tops, indices.tolist(), routing_NBK.tolist(), verdicts, strict=True)
        return [
            {
                "predictions": [
                    {"label": classes[index]} | {name: values[row][place] for name, values in names.items()}
                    for place, index in enumerate(best[:top])
                ],
                "routing": routing,
                "unlike": verdict,
            }
            for row, (top, best, routing, verdict) in enumerate(rows)
        ]


def load_served(run: Run, checkpoint: Checkpoint = "best", progress: Report = silent) -> Served:
    """Convert a run's network, unless an earlier start has, and check it against PyTorch.

    Raises RunError if a package is missing, there is no usable checkpoint, or the graph does not answer as PyTorch does.
    """
    predictor = load_predictor(run, checkpoint)
    novelty = find_novelty(run, checkpoint, progress)
    facts = metadata(predictor, run.id, "float32")
    content = _kept_graph(run, checkpoint, predictor, facts)
    if content is None:
        progress("Converting the network", None)
        content = with_metadata(onnx_graph(predictor, features=True), facts)
        progress("Checking the network in onnxruntime", None)
        check(content, predictor, drawn(max(SIZES), predictor.image_size))
        with suppress(OSError):  # the folder may be read-only
            write_atomically(_graph_path(run, checkpoint), content)
        trim_memory()  # of the conversion
    temperature = cached_temperature(run, checkpoint)
    return Served(run, checkpoint, OnnxPredictor(predictor, content), novelty, facts["fingerprint"], temperature)


def _graph_path(run: Run, checkpoint: Checkpoint) -> Path:
    return run.path / f"service-{checkpoint}.onnx"


def _kept_graph(run: Run, checkpoint: Checkpoint, predictor: Predictor, facts: Mapping[str, str]) -> bytes | None:
    """Return the graph of an earlier start if it is of these weights and answers as PyTorch does, else None."""
    try:
        content = _graph_path(run, checkpoint).read_bytes()
        session = open_session(content)
        if session.get_modelmeta().custom_metadata_map != facts or len(session.get_outputs()) != len(
            (*OUTPUTS, FEATURES)
        ):
            return None
        check(content, predictor, drawn(max(SIZES), predictor.image_size))
    except Exception:  # onnxruntime raises errors of its own for a damaged file
        return None
    return content
