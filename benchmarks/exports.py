"""Measure what the precisions of an ONNX export keep, and how fast onnxruntime is: python -m benchmarks.exports [RUN ...]

Prints a Markdown table for the networks that ship and whose test images are on this computer, or for other runs. The precisions take
turns, so that "times as fast" also holds on a busy machine.
"""

import argparse
import time
from statistics import median

from torch import Tensor

from expertnet.inference.routing_cache import has_own_test_set
from expertnet.store.run_store import RunStore
from expertnet.transfer.export_onnx import export_onnx
from expertnet.transfer.onnx_check import drawn, open_session, outputs
from expertnet.transfer.onnx_precision import MEASURED_ON, Precision
from expertnet.utils.text import percent

BATCH, PASSES, THREADS = 64, 20, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--images", type=int, default=MEASURED_ON, help="measure on at most so many test images")
    parser.add_argument("--precision", nargs="+", type=Precision, choices=list(Precision), default=list(Precision))
    options = parser.parse_args()
    runs = [RunStore().resolve(name) for name in options.runs] or [run for run in RunStore().list() if run.shipped]
    print(
        "| network | precision | KB | test accuracy | same answers as float32 | images/s | times as fast as float32 |"
    )
    print("|---|---|---|---|---|---|---|")
    for run in runs:
        if not has_own_test_set(run):
            continue
        exports = [export_onnx(run, precision=precision, most=options.images) for precision in options.precision]
        seconds = _seconds([each.content for each in exports], drawn(BATCH, exports[0].predictor.image_size))
        for exported, taken in zip(exports, seconds, strict=True):
            kept = exported.kept
            other = exports[-1].kept  # on the same images; the last precision must not be float32
            assert other is not None
            accuracy, same = (kept.accuracy, percent(kept.same_answers, 2)) if kept else (other.float32_accuracy, "")
            faster = median(theirs / ours for theirs, ours in zip(seconds[0], taken, strict=True))
            size, speed = f"{len(exported.content) / 1e3:,.0f}", f"{BATCH / min(taken):,.0f}"
            cells = (run.title, exported.precision.value, size, percent(accuracy, 2), same, speed, f"{faster:.2f}")
            print(f"| {' | '.join(cells)} |", flush=True)


def _seconds(graphs: list[bytes], images_N3SS: Tensor) -> list[list[float]]:
    """Return what each pass of each graph takes. The graphs take turns."""
    sessions = [open_session(graph, THREADS) for graph in graphs]
    seconds: list[list[float]] = [[] for _ in graphs]
    for _ in range(PASSES):
        for session, taken in zip(sessions, seconds, strict=True):
            start = time.perf_counter()
            outputs(session, images_N3SS)
            taken.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
