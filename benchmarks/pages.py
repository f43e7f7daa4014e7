"""Measure how fast the pages open, with 200 runs of 100 epochs in the store: python -m benchmarks.pages [--runs N ...] [--epochs N]

First measures the scripts of the pages without a browser: how long the index of the runs takes, the server time of each page, at first
and as the median of five later ones, the same with 200 runs compared and of sweeps of 1,000 and 10,000 trials, and the memory. The first
content of a page is its heading: the time until the script sends it is printed beside that of the whole script. The times begin with the
script, because each new session of AppTest first looks through all installed packages, which a server does once. The CPU times are those
of the script alone, which does not wait for what it starts in the background. Then measures every page in Chromium, from the click on its
link in an open tab to the end of its script: the first visit after the server's start, and the median of five later ones. With several
numbers of runs, each is measured in a process of its own, without a browser.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from unittest.mock import patch

import psutil
from optuna.trial import create_trial
from playwright.sync_api import Page, sync_playwright
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.testing.v1 import AppTest

from expertnet.settings.fields import build_settings
from expertnet.store.index import RunIndex, open_index, run_rows
from expertnet.store.run_store import RunStore
from expertnet.sweeps.plan import Budget, Plan
from expertnet.sweeps.space import parse_space
from expertnet.sweeps.study import open_study
from expertnet.sweeps.sweep import Sweep, all_sweeps, create_sweep
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop
from expertnet.ui.runs.state import SELECTED
from tests.support.opening import new_session
from tests.support.served import CHROMIUM, open_page, serving, settle

PAGES = {
    "Train": "Run 1",
    "Data": "Data",
    "Sweep": "Sweep",
    "Runs": "Runs",
    "Evaluate": "Evaluate",
    "Experts": "Experts",
    "Predict": "Predict",
}  # with their headings
TRIALS, EPOCHS = (1_000, 10_000), 6  # of the sweeps, and epochs of each trial


def fill(store: RunStore, runs: int, epochs: int) -> None:
    """Train one small network on the digits, then copy it with a history of 8 blocks x 3 experts."""
    tiny = {
        "training.epochs": 1,
        "data.image_size": 8,
        "data.crop_padding": 1,
        "model.pool_after": (),
        "training.lr": 1e-3,
    }
    first = store.create(build_settings("quick", "digits", tiny), "quick", "Run 1")
    run_training(first, Stop())
    line = first.metrics()[0] | {"routing_entropy": [1.0] * 8, "routing_information": [0.5] * 8}
    line |= {"expert_usage": [[0.3, 0.3, 0.4]] * 8}
    history = "".join(
        json.dumps(line | {"epoch": epoch, "val_accuracy": epoch / epochs}) + "\n" for epoch in range(1, epochs + 1)
    )
    status = json.loads((first.path / "status.json").read_text())
    shared = store.root.parent / "history.jsonl"
    shared.write_text(history)
    own = ("config.json", "status.json", "metrics.jsonl")
    same = [file for file in first.path.iterdir() if file.is_file() and file.name not in own]
    config = json.loads((first.path / "config.json").read_text())
    for number in range(2, runs + 1):
        path = store.root / f"20260101-{number // 60:06d}-{number:04x}"
        path.mkdir()
        for file in same:
            os.link(file, path / file.name)
        os.link(shared, path / "metrics.jsonl")
        (path / "config.json").write_text(json.dumps(config | {"name": f"Run {number}", "seed": number}))
        (path / "status.json").write_text(json.dumps(status | {"epoch": epochs, "epochs": epochs}))


def add_sweep(store: RunStore, trials: int) -> Sweep:
    """Add a sweep that has ended, whose trials are the runs of the store, each many times."""
    space = parse_space(["training.lr=1e-4..1e-1:log", "model.num_experts=1..5", "model.channels=8..64:step=8"])
    plan = Plan(settings=build_settings("quick", "digits"), space=space, budget=Budget(trials=trials), sampler="random")
    sweep, runs, chance = create_sweep(store, plan), store.list(), random.Random(0)
    distributions = {dimension.key: dimension.distribution() for dimension in space}
    with open_study(sweep) as study:  # ask() would take minutes for thousands
        for number in range(trials):
            lr = 10 ** chance.uniform(-4, -1)
            numbers = {"model.num_experts": chance.randint(1, 5), "model.channels": 8 * chance.randint(1, 8)}
            study.study.add_trial(
                create_trial(
                    value=lr,
                    params={"training.lr": lr} | numbers,
                    distributions=distributions,
                    user_attrs={"run": runs[number % len(runs)].id, "epochs": EPOCHS, "seconds": 10.0},
                    intermediate_values={epoch: epoch / EPOCHS * lr for epoch in range(1, EPOCHS + 1)},
                )
            )
    sweep.write_status(state="finished", reason=f"{trials} trials")
    return sweep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[200])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--scripts-only", action="store_true", help="measure without a browser")
    parser.add_argument(
        "--folder", type=Path, help="where the runs are kept, to measure them again without making them"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        if len(options.runs) > 1:
            for count in options.runs:
                own = ["--runs", str(count), "--epochs", str(options.epochs), "--folder", str(folder / str(count))]
                subprocess.run([sys.executable, "-m", "benchmarks.pages", "--scripts-only", *own], check=True)
            return
        os.environ["EXPERTNET_DATA"] = str(folder / "data")
        if not (folder / "runs").exists():
            fill(RunStore(folder / "runs"), options.runs[0], options.epochs)
        print(f"{options.runs[0]:,} runs of {options.epochs} epochs", flush=True)
        script_times(RunStore(folder / "runs"), folder)
        if options.scripts_only:
            return
        if CHROMIUM is None:
            sys.exit("Measuring the pages in a browser needs Chromium. On Debian: apt-get install chromium")
        page_times(folder)


def script_times(store: RunStore, folder: Path) -> None:
    """Measure the scripts of the pages in this process, without the time to load their modules."""
    process = psutil.Process()

    def opened(page: str, root: Path) -> AppTest:
        os.environ["EXPERTNET_RUNS"] = str(root)
        return new_session(page)

    run, enqueue = threading.Thread.run, ForwardMsgQueue.enqueue
    moments: list[tuple[float, float]] = []  # when the script starts, sends headings, and ends

    def now() -> tuple[float, float]:
        return time.perf_counter(), time.thread_time()

    def run_timed(thread: threading.Thread) -> None:
        is_script = "Script" in thread.name
        if is_script:
            moments.append(now())
        run(thread)
        if is_script:
            moments.append(now())

    def enqueue_timed(queue: ForwardMsgQueue, message: ForwardMsg) -> None:
        enqueue(queue, message)
        if message.delta.new_element.WhichOneof("type") == "heading":
            moments.append(now())

    def timed(page: AppTest) -> tuple[float, ...]:
        moments.clear()
        with patch.object(threading.Thread, "run", run_timed), patch.object(ForwardMsgQueue, "enqueue", enqueue_timed):
            page.run()
        assert not page.exception, page.exception
        start, headed, end = moments[0], moments[1], moments[-1]
        return tuple(moment[clock] - start[clock] for moment in (end, headed) for clock in range(2))

    def words(times: list[tuple[float, ...]]) -> str:
        whole = "{:.2f} s ({:.2f} s of CPU time)"
        heading = ", its heading after {:.3f} s ({:.3f} s)" if len(times[0]) > 2 else ""
        return (whole + heading).format(*map(median, zip(*times, strict=True)))

    for page in PAGES:  # loads the modules, with one run
        timed(opened(page.lower(), one_run(store, folder)))
    before = process.memory_info().rss
    started, worked = time.perf_counter(), time.process_time()
    run_rows(store)
    print(f"index made: {words([(time.perf_counter() - started, time.process_time() - worked)])}")
    started, worked = time.perf_counter(), time.process_time()
    another = RunIndex(store)
    another.look()
    another.rows(limit=1)
    print(f"index read, as at a start: {words([(time.perf_counter() - started, time.process_time() - worked)])}")
    started, worked = time.perf_counter(), time.process_time()
    open_index(store)
    print(f"index brought up to date: {words([(time.perf_counter() - started, time.process_time() - worked)])}")
    for page in PAGES:
        session = opened(page.lower(), store.root)
        print(
            f"{page:<8} first {words([timed(session)])}; then {words([timed(session) for _ in range(5)])}", flush=True
        )
    added = (process.memory_info().rss - before) / 2**20
    print(
        f"memory: {added:.0f} MB more than with one run, {process.memory_info().rss / 2**20:.0f} MB in total",
        flush=True,
    )
    session = opened("runs", store.root)
    session.session_state[SELECTED] = tuple(run.id for run in store.list()[:200])
    print(f"Runs, 200 selected: {words([timed(session) for _ in range(5)])}")
    made = {sweep.plan().budget.trials: sweep for sweep in all_sweeps(store)}
    for trials in TRIALS:
        session = opened("sweep", store.root)
        session.query_params["sweep"] = (made.get(trials) or add_sweep(store, trials)).id
        first = words([timed(session)])
        print(f"Sweep, {trials:,} trials: first {first}, then {words([timed(session) for _ in range(5)])}", flush=True)
        session.segmented_control(key="sweep view").set_value("What matters")
        first = words([timed(session)])
        print(f"Sweep, what matters: first {first}, then {words([timed(session) for _ in range(5)])}", flush=True)


def one_run(store: RunStore, folder: Path) -> Path:
    """Return a store with the run that was trained."""
    path = folder / "one" / store.list()[0].id
    if not path.exists():
        shutil.copytree(store.list()[0].path, path)
    return path.parent


def page_times(folder: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        print("seconds until the page is complete")
        with serving(folder, folder / "data") as address:
            tab = browser.new_page()
            open_page(tab, f"{address}/predict")
            visits = [{page: visit(tab, page) for page in PAGES} for _ in range(6)]
        for page in PAGES:
            print(f"{page:<8} first {visits[0][page]:.2f}  then {median(seen[page] for seen in visits[1:]):.2f}")
        browser.close()


def visit(tab: Page, page: str) -> float:
    """Return the seconds from a click on the page's link to the end of its script."""
    started = time.perf_counter()
    tab.get_by_test_id("stTopNav").get_by_role("link", name=page, exact=True).click()
    settle(tab.get_by_role("heading", level=2, name=PAGES[page], exact=True))
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
