"""Measure datasets: python -m benchmarks.data [upload|pages|memory|check] [--images N] [--data PATH]

Without a name, all four on N JPEG files of 160x120 pixels that are drawn for it, a tenth of which are copies that were compressed
again, or on --data, a folder of class folders. One long module, because the four share their images and how memory is watched.

- upload: sends the images to the server's route over the loopback interface, kills the server in the middle, starts it again and
  sends the rest. Says how fast they were received, decoded and saved, and how much memory the server took.
- pages: the server time of the Data page with these images, and with 1,000 classes, after a start of the server. That of Check is
  what showing its results takes, once they are computed in the background.
- memory: decodes N images of 64x64 and trains on them for one epoch. Says how much memory that took beyond the files of the cache,
  which the system may drop.
- check: how fast images are decoded, looked at and compared, how many duplicates were found, and how much memory that took.
"""

import argparse
import json
import multiprocessing
import os
import signal
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from benchmarks.accuracy import processor
from expertnet.curation.check import duplicates_sentence
from expertnet.curation.duplicates import find_duplicates
from expertnet.curation.survey import survey
from expertnet.data.datasets import load_decoded
from expertnet.data.own.datasets import create_dataset, remove_dataset, restore_dataset
from expertnet.data.own.folders import dataset_ids, trashed_ids
from expertnet.data.own.intake import add_files, files_at
from expertnet.data.own.versions import find_version, open_version
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import DataSettings
from expertnet.store.run_store import RunStore
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop
from expertnet.utils.progress import never, silent
from tests.support.photos import encoded, photo
from tests.support.raw import connected
from tests.support.sending import HEADERS, pieces
from tests.support.served import newest_child, serving

COPIED = 10  # every tenth image is a copy
CLASSES, VISITS = 1000, 5
VIEWS = ("images", "add", "check", "split", "versions")
SMALL = {
    "model.num_blocks": 1,
    "model.channels": 8,
    "model.num_experts": 1,
    "model.pool_after": (1,),
    "data.image_size": 64,
    "training.epochs": 1,
    "hardware.device": "cpu",
}


def draw(folder: Path, images: int, width: int = 160, height: int = 120) -> Path:
    """Write images of ten classes to a folder, and return it."""
    for number in range(images):
        image = photo(number - number % COPIED if number % COPIED == 1 else number, width, height)
        path = folder / str(number // 2 % 10) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image, "JPEG", quality=60 if number % COPIED == 1 else 90))
    return folder


def say(what: str, taken: float, images: int, more: str = "") -> None:
    print(f"{what:<22} {taken:7.1f} s  {images / taken:9,.0f} images/s{more}", flush=True)


def clocks() -> tuple[float, float]:
    """Return the time and the CPU time of this process, which does not depend on what else the computer does."""
    return time.perf_counter(), time.process_time()


# --- upload and pages ------------------------------------------------------------------------------------------------


def ask(url: str, method: str, path: str, body: bytes = b"") -> Any:
    request = urllib.request.Request(f"{url}/upload/{path}", body or None, HEADERS, method=method)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def measure_upload(drawn: Path, work: Path) -> None:
    """Upload a folder, kill the server after half of it, and send the rest to the next one."""
    create_dataset("Uploaded")
    files = sorted(files_at(drawn))
    seconds = 0.0
    with serving(work, work / "data") as url:
        ask(url, "GET", "uploaded/a1")
        begun, bodies = time.perf_counter(), list(pieces(files, set()))
        for body in bodies[: len(bodies) // 2]:
            ask(url, "POST", "uploaded/a1", body)
        seconds += time.perf_counter() - begun
        newest_child().send_signal(signal.SIGKILL)
    with serving(work, work / "data") as url:
        known = set(ask(url, "GET", "uploaded/a1")["files"])
        print(f"killed when {len(known):,} of {len(files):,} images had arrived; the rest is sent to the next server")
        server = newest_child()
        with watched(lambda: [server.memory_info().rss]) as more:
            begun = time.perf_counter()
            for body in pieces(files, known):
                ask(url, "POST", "uploaded/a1", body)
            seconds += time.perf_counter() - begun
            begun = time.perf_counter()
            said = ask(url, "POST", "uploaded/a1/finish")["sentence"]
        print(f"{said} That took {time.perf_counter() - begun:.1f} s.")
    say("upload", seconds, len(files))
    print(f"memory of the server beyond that of an idle one: {more[0] / 2**20:.0f} MiB at most")
    assert len(open_version("uploaded").contents.images) == len(files)


def measure_pages(drawn: Path, work: Path) -> None:
    """Open the views of the Data page without a browser."""
    if find_version("uploaded") is None:
        add_files(create_dataset("Uploaded").dataset, files_at(drawn))
    many = ((f"{place % CLASSES:04}/{place}.jpg", data) for place, (_, data) in enumerate(files_at(drawn)))
    add_files(create_dataset("Many").dataset, many)
    for dataset in dataset_ids():
        remove_dataset(dataset)
    for dataset in trashed_ids():
        with serving(work, work / "data") as url:
            visits(url, newest_child(), "")  # which loads the modules of the page
            found, server = restore_dataset(dataset).contents, newest_child()
            print(f"Data page, {len(found.images):,} images in {len(found.classes):,} classes (CPU time in brackets):")
            for view in VIEWS:
                times = visits(url, server, f"dataset={dataset}&view={view}")
                first, later = times[0], [median(each) for each in zip(*times[1:], strict=True)]
                print(f"  {view:<10} first {first[0]:.2f} s ({first[1]:.2f}), then {later[0]:.2f} s ({later[1]:.2f})")
        remove_dataset(dataset)


def visits(url: str, server: psutil.Process, query: str) -> list[tuple[float, float]]:
    """Return the seconds until a view of the Data page has been sent, and those of CPU time of the server, of each visit.

    Every visit is a session, in which the URL chooses the view only once.
    """
    times: list[tuple[float, float]] = []
    while len(times) < VISITS:
        with connected(url) as session:
            begun, busy = time.perf_counter(), sum(server.cpu_times()[:2])
            answers = session.answers("data", query)
            taken = time.perf_counter() - begun, sum(server.cpu_times()[:2]) - busy
        if any(answer.delta.new_element.HasField("progress") for answer in answers):  # something is still computed
            time.sleep(1)
        else:
            times.append(taken)
    return times


# --- memory ----------------------------------------------------------------------------------------------------------


def measure_memory(large: Path, work: Path) -> None:
    """Train for an epoch on images of 64x64, in a process of its own, which starts with an empty memory."""
    process = multiprocessing.get_context("spawn").Process(target=train_on, args=(large, work))
    process.start()
    process.join()


def train_on(large: Path, work: Path) -> None:
    """Train a small network, and print the most memory that this took."""
    settings = build_settings("quick", str(large), SMALL)
    run = RunStore(work / "runs").create(settings, "quick", "Large")
    begun = time.perf_counter()
    with watched(resident) as more:
        run_training(run, Stop())
    images = sum(1 for _ in large.glob("*/*"))
    print(
        f"{run.state}: decoded {images:,} images of 64x64 and trained for one epoch in {time.perf_counter() - begun:.0f} s"
    )
    print(f"the images take {images * 3 * 64 * 64 / 2**30:.2f} GiB; memory beyond that of the start:")
    print(f"  {more[0] / 2**30:.2f} GiB of its own, {more[1] / 2**30:.2f} GiB of files")


@contextmanager
def watched(measure: Callable[[], list[int]]) -> Iterator[list[int]]:
    """Yield a list of how far the measured values rise at most above those at the start; complete once the body has ended."""
    before, ended = measure(), threading.Event()
    more = [0] * len(before)

    def watch() -> None:
        while not ended.wait(0.05):
            more[:] = [max(most, now - then) for most, now, then in zip(more, measure(), before, strict=True)]

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield more
    ended.set()
    watcher.join()


def resident() -> list[int]:
    """Return the bytes in memory that belong to the process alone, and those of files, which the system may drop."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
    return [found["RssAnon"], found["RssFile"] + found["RssShmem"]]


# --- check -----------------------------------------------------------------------------------------------------------


def measure_check(path: Path, distance: int) -> None:
    """Decode the images of a folder or archive, look at each, and compare them."""
    data, times = DataSettings(dataset=str(path)), [clocks()]
    with watched(resident) as more:
        load_decoded(data, silent, never, None)
        times.append(clocks())
        found = survey(data)
        times.append(clocks())
        groups = find_duplicates(found.images, distance)
        times.append(clocks())
    for what, (taken, busy) in zip(("decoding", "looking", "duplicates"), np.diff(times, axis=0), strict=True):
        say(what, taken, len(found.images), f", {busy:.1f} s of CPU time")
    print(duplicates_sentence(groups))
    own, files = (most / 2**20 for most in more)
    print(
        f"memory beyond that of the start: {own:.0f} MiB of its own, {files:.0f} MiB of files, which the system may drop"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["upload", "pages", "memory", "check", []])
    parser.add_argument("--images", type=int, default=20_000, help="images to draw")
    parser.add_argument("--data", type=Path, help="a folder of class folders to use instead")
    parser.add_argument("--distance", type=int, default=4, help="bits in which the hashes of duplicates may differ")
    options = parser.parse_args()
    wanted = options.what or ["upload", "pages", "memory", "check"]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["EXPERTNET_DATA"] = str(work / "data")
        print(f"{processor()}, {os.cpu_count()} cores")
        drawn = options.data or work / "drawn"
        if not drawn.exists() and wanted != ["memory"]:
            draw(drawn, options.images)
        for name, measure in (("upload", measure_upload), ("pages", measure_pages)):
            if name in wanted:
                measure(drawn, work)
        if "memory" in wanted:
            measure_memory(options.data or draw(work / "large", options.images, 64, 64), work)
        if "check" in wanted:
            measure_check(drawn, options.distance)


if __name__ == "__main__":
    main()
