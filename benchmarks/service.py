"""Measure the prediction service on this computer: python -m benchmarks.service [RUN ...] [--minutes M] [--hostile N]

Prints a Markdown table for the networks that ship, or for other runs: images a second and latency of `expertnet serve-model`
over the loopback interface, and what onnxruntime alone reaches at the same batch just before and after, on as many cores. The
requests are made on the same cores, and their images decoded. Latency includes waiting, since so many connections always ask. The
second share, of processor time, hardly depends on what else the computer does.

With --minutes, keeps the first network at full load for so long and prints the memory of the service each tenth of that time. Fails
if it grows by more than 5% after the third.
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
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from PIL import Image
from torch import Tensor

from expertnet.inference.predictor import load_predictor
from expertnet.service.intake import FORM, PIXELS
from expertnet.service.model import load_served
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.transfer.onnx_check import drawn, outputs
from tests.support.served import running_server
from tests.support.services import BOUNDARY, Hostile, failures, form, hostile, status

SHIPPED = ("20261126-095209-771e", "20261124-123318-dac5", "20261126-073814-d4ec")
FILES, RGB = "PNG", "pixels"  # what a request has
LOADS = (  # what a request has, images in it, connections
    (FILES, 1, 1), (FILES, 1, 16), (FILES, 8, 8), (FILES, 32, 8), (RGB, 1, 1), (RGB, 8, 8), (RGB, 64, 4),
)  # fmt: skip
FEWEST = 100  # requests that have a 99th percentile
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


HEADS = (
    "network", "body", "images in a request", "connections", "requests", "images/s", "p50 ms", "p99 ms", "batch",
    "onnxruntime alone, images/s", "share", "CPU ms an image", "onnxruntime alone, CPU ms", "share",
)  # fmt: skip


def print_speed(runs: list[Run], seconds: float) -> None:
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    for run in runs:
        served = load_served(run)
        images = drawn(64, served.predictor.image_size)
        with service(run) as (url, process):
            for kind, size, connections in LOADS:
                request = prepared(url, images[:size], kind)
                threads = min(os.cpu_count() or 1, size * connections)
                batch = round(measured(url, process, request, connections, seconds / 3).batch)  # which warms up
                before = alone(served.predictor, images[:batch], threads, seconds / 2)
                found = measured(url, process, request, connections, seconds)
                after = alone(served.predictor, images[: round(found.batch)], threads, seconds / 2)
                rate, cost = max(before[0], after[0]), min(before[1], after[1])
                p50, p99 = np.percentile(found.times, (50, 99)) * 1000
                cells = [
                    run.title,
                    kind,
                    size,
                    connections,
                    f"{len(found.times):,}",
                    f"{found.rate:,.0f}",
                    f"{p50:.1f}",
                    f"{p99:.1f}" if len(found.times) >= FEWEST else "",
                    f"{found.batch:.1f}",
                ]
                cells += [f"{rate:,.0f}", f"{found.rate / rate:.0%}"]
                cells += [f"{found.cost:.2f}", f"{cost:.2f}", f"{cost / found.cost:.0%}"]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


class Measured(NamedTuple):
    """What the service did under a load."""

    times: list[float]  # seconds of each request
    rate: float  # images a second
    batch: float  # mean size
    cost: float  # milliseconds of processor time for an image


def measured(url: str, process: psutil.Process, request: bytes, connections: int, seconds: float) -> Measured:
    """Measure the service under a load."""
    before, used, start = metrics(url), sum(process.cpu_times()[:2]), time.perf_counter()
    times, statuses = asyncio.run(load(url, request, connections, seconds))
    taken, used, after = time.perf_counter() - start, sum(process.cpu_times()[:2]) - used, metrics(url)
    assert set(statuses) == {200}, statuses
    images, batches = (difference(f"expertnet_batch_images_{name}", before, after) for name in ("sum", "count"))
    return Measured(times, images / taken, images / batches, 1000 * used / images)


def alone(predictor: Any, images: Tensor, threads: int, seconds: float) -> tuple[float, float]:
    """Return images a second of the session that the service runs, called on each thread on its own, and ms of CPU for an image."""
    images = images.contiguous()

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < start + seconds:
            outputs(predictor.session, images)
            done += len(images)
        return done

    used, start = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, range(threads)))
    return done / (time.perf_counter() - start), 1000 * (time.process_time() - used) / done


def prepared(url: str, images: Tensor, kind: str = FILES) -> bytes:
    """Return the bytes of a request with images."""
    pixels, files = [image.permute(1, 2, 0).contiguous().numpy() for image in images], []
    for number, image in enumerate(pixels):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        files.append((f"{number}.png", file.getvalue()))
    content, body = (f"{FORM}; boundary={BOUNDARY}", form(files)) if len(files) > 1 else ("image/png", files[0][1])
    if kind == RGB:
        content, body = PIXELS, b"".join(image.tobytes() for image in pixels)
    head = f"POST /predict HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: {content}\r\nContent-Length: {len(body)}\r\n\r\n"
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
        request, statuses, done, sizes = prepared(url, images), Counter[int](), 0, list[float]()
        for tenth in range(1, 11):
            times, found = asyncio.run(load(url, request, 16, minutes * 6))
            statuses, done = statuses + found, done + len(times) * len(images)
            sizes.append(round(process.memory_info().rss / 1e6, 1))
            row = {"network": run.title, "minutes": round(tenth * minutes / 10, 2), "MB": sizes[-1], "images": done}
            print(json.dumps(row | {"statuses": statuses, "threads": process.num_threads()}), flush=True)
        if sizes[-1] > 1.05 * sizes[2]:
            sys.exit("The memory grows.")


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
        row = {
            "network": run.title,
            "requests": sum(found.values()),
            "failures": failures(metrics(url)),
            "statuses": found,
        }
        print(json.dumps(row | {"MB": round(process.memory_info().rss / 1e6, 1)}), flush=True)


if __name__ == "__main__":
    main()
