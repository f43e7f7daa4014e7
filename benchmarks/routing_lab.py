"""Measure the routing lab against its targets: python -m benchmarks.routing_lab [RUN ...] [--runs-dir DIR] [--dataset D]

RUN defaults to each network that ships. Prints, for this machine:
- what it costs to ablate every expert of an untrained network like the report's (8 blocks of 3 experts), in passes over the
  same images;
- for each run, the server's time for every view of the Experts page, from the request on a WebSocket to the end of the
  script: the first visit after the server has loaded its modules, and the median of five later ones, each in a new tab, and of
  unfolding all that the view folds.
  The routing is cached in the run's folder; Compare uses a copy of the run. Then the time that a moved slider takes;
- for each run whose images are on this machine, the seconds to ablate every expert on the validation images.
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
from expertnet.routing.ablations import ablate_all
from expertnet.routing.effects import Images, load_images, parts
from expertnet.routing.passes import ESTIMATED_ON
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
    "Each expert": {"view": "Each expert"},
    "What if": {"view": "What if"},
    "Controls": {"view": "Controls"},
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


def ablation_in_passes(images: int) -> None:
    """Measure the cost of ablating each of the 24 experts of the report's network, in passes, on random images."""
    settings = build_settings("report", "cifar10", {})
    blocks, experts, size = settings.model.num_blocks, settings.model.num_experts, settings.data.image_size
    info = DatasetInfo("random", tuple(map(str, range(10))), (0.5,) * 3, (0.25,) * 3, size, "")
    torch.manual_seed(0)
    torch.set_num_threads(available_threads())
    network = ExpertNet(settings.model, 10).to(memory_format=torch.channels_last)
    predictor = Predictor(network, settings, info, 0)
    pixels = torch.randint(256, (images, 3, size, size), dtype=torch.uint8)
    random = Images("test", *(Split(pixels, torch.arange(images) % 10) for _ in range(2)))
    one_pass(predictor, pixels[:100])  # a warm-up, because the first pass is slower
    plain = median(timed(lambda: one_pass(predictor, pixels)) for _ in range(3))
    ablated, expected = timed(lambda: ablate_all(predictor, random)), ablation_passes(blocks, experts, images, images)
    print(
        f"{blocks} blocks of {experts} experts, {settings.model.channels} channels, {images} images, {available_threads()} threads: "
        f"a pass {plain:.2f} s (median of 3), all {blocks * experts} ablated in two ways {ablated:.2f} s"
    )
    passes = ablated / plain
    row("ablating all experts, in passes", f"{expected:.0f} (+10%)", f"{passes:.1f}", passes <= 1.1 * expected)


def ablation_passes(blocks: int, experts: int, evaluated: int, training: int) -> float:
    """Return the passes over the evaluated images that ablating every expert takes, if all blocks cost the same."""
    suffixes = experts * (blocks - 1)
    return 2 + 1.5 * suffixes + (2 + suffixes) * min(ESTIMATED_ON, training) / evaluated


def network_times(run: Run) -> None:
    """Measure the computations that use all validation images."""
    if test_split(run) is None:
        print(f"{run.title}: its images are not on this machine. Name their path with --dataset.")
        return
    images = load_images(run, parts(run)[0])
    predictor = load_predictor(run, threads=available_threads())
    model, pixels = predictor.settings.model, images.evaluated.images
    one_pass(predictor, pixels[:EVALUATION_BATCH])
    alone = median(timed(lambda: one_pass(predictor, pixels)) for _ in range(3))
    ablated = timed(lambda: ablate_all(predictor, images))
    expected = ablation_passes(model.num_blocks, model.num_experts, len(pixels), len(images.training))
    print(f"{run.title}, {len(pixels):,} {images.part} images: a pass takes {alone:.2f} s (median of 3)")
    name = f"ablating each of {model.num_blocks * model.num_experts} experts in passes ({expected:.1f} by blocks, {ablated:.1f} s)"
    row(name, "at most 30", f"{ablated / alone:.1f}", ablated / alone <= 30)


# --- the views of the page -------------------------------------------------------------------------------------------


def view_times(folder: Path, runs: list[Run]) -> None:
    """Measure the server's time for each view, and for a slider of What if."""
    with serving(folder, data_root()) as server:
        wait_until_loaded(server)
        for run in runs:
            for name, view in VIEWS.items():
                times, unfolded = zip(*(visit(server, run, view) for _ in range(6)), strict=True)
                figures = {"first": times[0], "then": median(times[1:])}
                if known := [taken for taken in unfolded if taken is not None]:
                    figures["all unfolded"] = median(known[1:])
                for when, taken in figures.items():
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


def visit(server: str, run: Run, view: dict[str, str]) -> tuple[float, float | None]:
    """Return the seconds that a new tab waits for a view, and then for everything that it folds; None if that is nothing."""
    query, message = urlencode(view | {"run": run.id}), BackMsg()
    with connected(server) as tab:
        started = time.perf_counter()
        answers = tab.answers("experts", query)
        taken = time.perf_counter() - started
        assert_complete(answers)
        folded = {answer.delta.add_block.expandable.id for answer in answers} - {""}
        for name in folded:
            state = message.rerun_script.widget_states.widgets.add()
            state.id, state.bool_value = name, True
        if not folded:
            return taken, None
        started = time.perf_counter()
        unfolded = tab.answers("experts", query, message)
        after = time.perf_counter() - started
        assert_complete(unfolded)
        assert len(unfolded) > len(answers), "nothing was unfolded"
        return taken, after


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
