"""Measure the routing lab against its targets: python -m benchmarks.routing_lab [RUN ...] [--runs-dir DIR] [--dataset D]

RUN defaults to each network that ships. Prints, for this machine:
- what it costs to ablate every expert of an untrained network like the report's (8 blocks of 3 experts), in passes over the
  same images; the ablations and the passes alternate batch by batch;
- for each run, the server's time for every view of the Experts page, from the request on a WebSocket to the end of the
  script: the first visit after the server has loaded its modules, and the median of five later ones, each in a new tab.
  The routing is cached in the run's folder; Compare uses a copy of the run. Then the time that a moved slider takes;
- for each run whose images are on this machine, the seconds to route the test images and to ablate every expert.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

import psutil
import torch
from streamlit.proto.BackMsg_pb2 import BackMsg

from expertnet.data.cache import data_root
from expertnet.data.datasets import find_cached
from expertnet.data.info import DatasetInfo
from expertnet.data.splits import Split
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import load_own_test_set, route_test_set
from expertnet.network.evaluation import EVALUATION_BATCH
from expertnet.network.model import ExpertNet
from expertnet.routing import ablations
from expertnet.settings.fields import build_settings
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.utils.devices import available_threads
from tests.support.raw import Raw, connected
from tests.support.served import serving

VIEW_TARGET, SLIDER_TARGET = 0.5, 0.2  # seconds
VIEWS: dict[str, dict[str, str]] = {  # name: query of its URL
    "One image": {"view": "One image"},
    "One image, two images": {"view": "One image", "two": "true"},
    "Classes": {"view": "Classes"},
    "Experts": {"view": "Experts"},
    "What if": {"view": "What if"},
    "Through training": {"view": "Through training"},
    "Compare": {"view": "Compare"},
}


def row(name: str, target: str, measured: str, met: bool) -> None:
    print(f"{name:<62} {target:<16} {measured:<30} {'met' if met else 'MISSED'}", flush=True)


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="*")
    parser.add_argument("--runs-dir")
    parser.add_argument("--dataset", help="path of the images, for runs whose images have moved")
    parser.add_argument("--images", type=int, default=400, help="images to time the report's network on; 0 skips it")
    options = parser.parse_args()
    store = RunStore(options.runs_dir)
    runs = [store.resolve(text) for text in options.run] or [run for run in store.list() if run.shipped]
    print(f"{'':<62} {'target':<16} measured")
    if options.images:
        ablation_in_passes(options.images)
    with tempfile.TemporaryDirectory() as name:
        copies = [copied(run, RunStore(Path(name) / "runs"), options.dataset) for run in runs]
        view_times(Path(name), copies)
        for run in copies:
            network_times(run)


def copied(run: Run, store: RunStore, dataset: str | None) -> Run:
    """Copy a run twice into a store, so that it can be compared, and cache the routing of both if the images are here."""
    config = run.config()
    if dataset and not find_cached(run.settings().data):
        config["data"]["dataset"] = str(Path(dataset).resolve()) if Path(dataset).exists() else dataset
    for name in (run.id, run.id[:-4] + "0000"):
        shutil.copytree(run.path, store.root / name)
        (store.root / name / "config.json").write_text(json.dumps(config))
        split = test_split(Run(store.root / name))
        if split is not None:
            route_test_set(Run(store.root / name), split, threads=available_threads())
    return store.get(run.id)


def test_split(run: Run) -> Split | None:
    """Return the test images, or None if they are not on this machine."""
    data = run.settings().data
    return load_own_test_set(run) if find_cached(data) or Path(data.dataset).exists() else None


# --- ablating every expert ------------------------------------------------------------------------------------------


def one_pass(predictor: Predictor, images_N3SS: torch.Tensor) -> None:
    for batch in images_N3SS.split(EVALUATION_BATCH):
        predictor(batch)


def ablate_all(predictor: Predictor, images_N3SS: torch.Tensor) -> None:
    for batch in images_N3SS.split(EVALUATION_BATCH):
        ablations.ablate_batch(predictor, batch, True)


def ablation_in_passes(images: int) -> None:
    """Measure the cost of ablating each of the 24 experts of the report's network, in passes, on random images."""
    settings = build_settings("report", "cifar10", {})
    blocks, experts, size = settings.model.num_blocks, settings.model.num_experts, settings.data.image_size
    info = DatasetInfo("random", tuple(map(str, range(10))), (0.5,) * 3, (0.25,) * 3, size, "")
    torch.manual_seed(0)
    torch.set_num_threads(available_threads())
    network = ExpertNet(settings.model, 10).to(memory_format=torch.channels_last)
    predictor = Predictor(network, settings, info, 0)
    batches = torch.randint(256, (images, 3, size, size), dtype=torch.uint8).split(100)
    one_pass(predictor, batches[0])  # a warm-up, because the first pass is slower
    taken = [(timed(lambda b=b: one_pass(predictor, b)), timed(lambda b=b: ablate_all(predictor, b))) for b in batches]  # type: ignore[misc]
    plain, ablated = (sum(times) for times in zip(*taken, strict=True))
    all_of, computed = blocks * experts, blocks + experts * blocks * (blocks - 1) / 2
    print(
        f"{blocks} blocks of {experts} experts, {settings.model.channels} channels, {images} images, {available_threads()} threads: "
        f"a pass {plain:.2f} s, all {all_of} ablated {ablated:.2f} s; batch by batch "
        + ", ".join(f"{silent / alone:.1f}" for alone, silent in taken)
        + " passes"
    )
    passes = ablated / plain
    row(f"ablating all {all_of} experts, in passes", f"at most {all_of}", f"{passes:.1f}", passes <= all_of)
    row(
        f"the same, reusing earlier blocks ({computed:.0f} blocks, {blocks} per pass: {computed / blocks:.1f} in theory)",
        f"about {all_of / 2:.0f} (+10%)",
        f"{passes:.1f}",
        passes <= 1.1 * all_of / 2,
    )


def network_times(run: Run) -> None:
    """Measure the computations that use the whole test set."""
    split = test_split(run)
    if split is None:
        print(f"{run.title}: its images are not on this machine. Name their path with --dataset.")
        return
    predictor = load_predictor(run, threads=available_threads())
    model = predictor.settings.model
    one_pass(predictor, split.images[:EVALUATION_BATCH])
    alone = median(timed(lambda: one_pass(predictor, split.images)) for _ in range(3))
    ablated, all_of = timed(lambda: ablate_all(predictor, split.images)), model.num_blocks * model.num_experts
    print(
        f"{run.title}, {len(split):,} test images: routing takes {alone:.2f} s (median of 3), ablating each of the {all_of} experts "
        f"{ablated:.1f} s or {ablated / alone:.1f} passes (once)"
    )


# --- the views of the page -------------------------------------------------------------------------------------------


def view_times(folder: Path, runs: list[Run]) -> None:
    """Measure the server's time for each view, and for a slider of What if."""
    with serving(folder, data_root()) as server:
        wait_until_loaded(server)
        for run in runs:
            for name, view in VIEWS.items():
                times = [visit(server, run, view) for _ in range(6)]
                for when, taken in (("first", times[0]), ("then", median(times[1:]))):
                    row(f"{run.title}: {name}, {when}", f"under {VIEW_TARGET} s", f"{taken:.3f} s", taken < VIEW_TARGET)
            moves = slider_times(server, run)
            if moves:
                taken, most = median(moves), max(moves)
                measured = f"{taken:.3f} s (at most {most:.3f})"
                row(f"{run.title}: a slider of What if", f"under {SLIDER_TARGET} s", measured, taken < SLIDER_TARGET)
            else:
                print(f"{run.title}: What if has no sliders without the images")


def wait_until_loaded(server: str) -> None:
    """Wait until the server has finished loading in the background."""
    with connected(server) as tab:
        tab.answers("experts", "run=none")
    (process,) = psutil.Process().children()
    while process.cpu_percent(1.0) > 20:
        pass


def visit(server: str, run: Run, view: dict[str, str]) -> float:
    """Return the seconds that a new tab waits for a view."""
    with connected(server) as tab:
        started = time.perf_counter()
        answers = tab.answers("experts", urlencode(view | {"run": run.id}))
        taken = time.perf_counter() - started
    assert_complete(answers)
    return taken


def slider_times(server: str, run: Run) -> list[float]:
    """Return the seconds from each of five moves of a slider to the new probabilities and routing weights."""
    query = urlencode(VIEWS["What if"] | {"run": run.id})
    with connected(server) as tab:
        answers = tab.answers("experts", query)
        assert_complete(answers)
        sliders = [each for each in answers if each.delta.new_element.slider.label == "Expert 1"]
        return [moved(tab, query, sliders[-1], weight) for weight in (0.9, 0.1, 0.7, 0.3, 0.8)] if sliders else []


def moved(tab: Raw, query: str, slider: Any, weight: float) -> float:
    message = BackMsg()
    message.rerun_script.fragment_id = slider.delta.fragment_id
    state = message.rerun_script.widget_states.widgets.add()
    state.id = slider.delta.new_element.slider.id
    state.double_array_value.data.append(weight)
    started = time.perf_counter()
    answers = tab.answers("experts", query, message)
    taken = time.perf_counter() - started
    assert_complete(answers)
    changed = any("Changed blocks:" in each.delta.new_element.markdown.body for each in answers)
    assert changed, "the slider changed nothing"
    return taken


def assert_complete(answers: list[Any]) -> None:
    """Assert that a view has no error and computes nothing in the background, because its time would mean nothing."""
    for answer in answers:
        element = answer.delta.new_element
        assert not element.HasField("exception"), element.exception.message
        assert not element.HasField("progress"), "the view still computes something"


if __name__ == "__main__":
    main()
