"""Measure the prediction service on this computer: python -m benchmarks.service [RUN ...] [--minutes M] [--hostile N]

Prints a Markdown table for the networks that ship, or for other runs: images a second and latency of `expertnet serve-model`
over the loopback interface, and what onnxruntime alone reaches at the same batch just before and after, on as many cores. The
requests are made on the same cores. Latency includes waiting, since so many connections always ask.

With --minutes, keeps the first network at full load for so long and prints the memory of the service each tenth of that time.
With --hostile, sends it so many hostile requests and prints their statuses.
"""

import argparse
import asyncio
import io
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from PIL import Image
from torch import Tensor

from expertnet.inference.predictor import load_predictor
from expertnet.service.intake import FORM
from expertnet.service.model import load_served
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.transfer.onnx_check import drawn, outputs
from tests.support.served import running_server
from tests.support.services import BOUNDARY, Hostile, failures, form, hostile, status

SHIPPED = ("20261126-095209-771e", "20261124-123318-dac5", "20261126-073814-d4ec")
LOADS = ((1, 1), (1, 16), (8, 8), (32, 8))  # images in a request, connections
SEED = 20261126


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", default=SHIPPED, metavar="RUN")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=0, help="of full load, for the memory")
    parser.add_argument("--hostile", type=int, default=0, help="number of hostile requests")
    options = parser.parse_args()
    runs = [RunStore().resolve(name) for name in options.runs]
    if options.hostile:
        print_hostile(runs[0], options.hostile)
    elif options.minutes:
        print_memory(runs[0], options.minutes)
    else:
        print_speed(runs, options.seconds)


@contextmanager
def service(run: Run) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the URL and the process of the service of a run."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["serve-model", run.id, "--runs-dir", str(run.path.parent), "--requests", "64"]
        log = Path(folder) / "log"
        with running_server(
            lambda port: [sys.executable, "-m", "expertnet", *words, "--port", str(port)], log, health="/ready"
        ) as url:
            yield url, next(each for each in psutil.Process().children() if "serve-model" in each.cmdline())


# --- speed -----------------------------------------------------------------------------------------------------------


def print_speed(runs: list[Run], seconds: float) -> None:
    print(
        "| network | images in a request | connections | images/s | p50 ms | p99 ms | batch | onnxruntime alone | share |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for run in runs:
        served = load_served(run)
        images = drawn(64, served.predictor.image_size)
        with service(run) as (url, _):
            for size, connections in LOADS:
                request = prepared(url, images[:size])
                threads = min(os.cpu_count() or 1, size * connections)
                *_, batch = measured(url, request, connections, seconds / 3)  # which warms up
                alone = [onnxruntime_alone(served.predictor, images[:batch], threads, seconds / 2)]
                times, in_batch, batch = measured(url, request, connections, seconds)
                alone.append(onnxruntime_alone(served.predictor, images[:batch], threads, seconds / 2))
                rate, best = size * len(times) / seconds, max(alone)
                p50, p99 = np.percentile(times, (50, 99)) * 1000
                cells = (run.title, size, connections, f"{rate:,.0f}", f"{p50:.1f}", f"{p99:.1f}", f"{in_batch:.1f}")
                print(f"| {' | '.join(map(str, cells))} | {best:,.0f} | {rate / best:.0%} |", flush=True)


def measured(url: str, request: bytes, connections: int, seconds: float) -> tuple[list[float], float, int]:
    """Return the seconds of each request, and the mean size of a batch of the network, also as a whole number."""
    before = metrics(url)
    times, statuses = asyncio.run(load(url, request, connections, seconds))
    after = metrics(url)
    assert set(statuses) == {200}, statuses
    images, batches = (difference(f"expertnet_batch_images_{name}", before, after) for name in ("sum", "count"))
    return times, images / batches, max(round(images / batches), 1)


def onnxruntime_alone(predictor: Any, images: Tensor, threads: int, seconds: float) -> float:
    """Return images a second of the session that the service runs, which each thread calls on its own."""
    end, images = time.perf_counter() + seconds, images.contiguous()

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < end:
            outputs(predictor.session, images)
            done += len(images)
        return done

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, range(threads)))
    return done / (time.perf_counter() - start)


def prepared(url: str, images: Tensor) -> bytes:
    """Return the bytes of a request with images."""
    files = []
    for number, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(file, "PNG")
        files.append((f"{number}.png", file.getvalue()))
    kind, body = (f"{FORM}; boundary={BOUNDARY}", form(files)) if len(files) > 1 else ("image/png", files[0][1])
    head = f"POST /predict HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def load(url: str, request: bytes, connections: int, seconds: float) -> tuple[list[float], Counter[int]]:
    """Send a request over and over, and return the seconds that each took and their statuses."""
    end, times, statuses = time.perf_counter() + seconds, list[float](), Counter[int]()

    async def client() -> None:
        reader, writer = await asyncio.open_connection(*urlsplit(url).netloc.split(":"))
        while (start := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0]))
            times.append(time.perf_counter() - start)
            statuses[int(head.split(b" ", 2)[1])] += 1
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return times, statuses


def metrics(url: str) -> str:
    with urllib.request.urlopen(f"{url}/metrics") as response:
        return str(response.read().decode())


def difference(name: str, before: str, after: str) -> float:
    old, new = (
        next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} "))
        for text in (before, after)
    )
    return new - old


# --- memory and hostile requests -------------------------------------------------------------------------------------


def print_memory(run: Run, minutes: float) -> None:
    images = drawn(8, load_predictor(run).image_size)
    with service(run) as (url, process):
        request, statuses, done = prepared(url, images), Counter[int](), 0
        for tenth in range(1, 11):
            times, found = asyncio.run(load(url, request, 16, minutes * 6))
            statuses, done = statuses + found, done + len(times) * len(images)
            row = {
                "minutes": round(tenth * minutes / 10, 2),
                "MB": round(process.memory_info().rss / 1e6, 1),
                "images": done,
            }
            print(json.dumps(row | {"statuses": statuses, "threads": process.num_threads()}), flush=True)


def print_hostile(run: Run, count: int) -> None:
    found = Counter[str]()
    with service(run) as (url, process):

        @seed(SEED)
        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(hostile())
        def send(case: Hostile) -> None:
            answer = status(url, case)
            found[str(answer or "broke off")] += 1
            assert answer is None or answer < 500, case

        send()
        row = {"requests": sum(found.values()), "failures": failures(metrics(url)), "statuses": found}
        print(json.dumps(row | {"MB": round(process.memory_info().rss / 1e6, 1)}), flush=True)


if __name__ == "__main__":
    main()
