"""Measure what the precisions of an ONNX export keep, and how fast onnxruntime is: python -m benchmarks.exports [RUN ...]

Prints a Markdown table for the networks that ship and whose test images need no download, or for other runs.
"""

import argparse
import time

from expertnet.store.run_store import RunStore
from expertnet.transfer.export_onnx import export_onnx
from expertnet.transfer.onnx_check import drawn, open_session, outputs
from expertnet.transfer.onnx_precision import Precision
from expertnet.utils.text import percent

SHIPPED = ("20261124-123318-dac5", "20261126-073814-d4ec")
BATCH, PASSES, THREADS = 64, 10, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", default=SHIPPED)
    print("| network | precision | KB | test accuracy | same answers as float32 | images/s |")
    print("|---|---|---|---|---|---|")
    for name in parser.parse_args().runs:
        run = RunStore().resolve(name)
        for precision in Precision:
            exported = export_onnx(run, precision=precision)
            kept, images = exported.kept, drawn(BATCH, exported.predictor.image_size)
            accuracy = kept.accuracy if kept else run.status().test_accuracy
            same = percent(kept.same_answers, 2) if kept else ""
            session, seconds = open_session(exported.content, THREADS), []
            for _ in range(PASSES):
                start = time.perf_counter()
                outputs(session, images)
                seconds.append(time.perf_counter() - start)
            cells = (run.title, precision.value, f"{len(exported.content) / 1e3:.0f}", percent(accuracy, 2), same)
            print(f"| {' | '.join(cells)} | {BATCH / min(seconds):,.0f} |", flush=True)


if __name__ == "__main__":
    main()
