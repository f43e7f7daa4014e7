"""The rows in order of worth."""

import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gpu import correctness, speed, trainings
from benchmarks.gpu.bench import Bench, Figures, Row
from benchmarks.gpu.speed import COMPILED, WAYS
from benchmarks.gpu.trainings import CONTROLS

PRESETS = ("report", "fast")
NETWORKS = ("report", "fast", "report-tuned", "max")
SEEDS = (0, 1, 2)
ROUNDS, SECONDS = 4, 10  # of watching
COMPILING = 120  # seconds that compiling may take


def plan(bench: Bench) -> list[Row]:
    """Return all rows that this computer can measure."""
    seeds = SEEDS[:1] if bench.miniature else SEEDS
    rows = [_correctness(bench, preset) for preset in PRESETS]
    if bench.device.type == "cuda":
        rows += [_recording(bench, preset) for preset in PRESETS]
    rows.append(Row("ceilings", partial(speed.ceilings, bench), n=bench.repeats))
    rows += [_speed(bench, preset, way) for preset in PRESETS for way in WAYS]
    rows += [_training(bench, network) for network in NETWORKS]
    if not bench.miniature:  # a CPU takes a minute for the smallest one
        rows.append(_training(bench, "report-tuned", "resnet18"))
    rows += [_training(bench, network, seed=seed) for seed in seeds[1:] for network in NETWORKS]
    rows += [
        _training(bench, network, control, seed) for network in PRESETS[::-1] for seed in seeds for control in CONTROLS
    ]
    if not bench.miniature and all(find_spec(name) for name in ("streamlit", "altair", "sklearn", "websockets")):
        rows.append(Row("pages", watch, seconds=480, n=ROUNDS))
    return rows


def training_name(network: str, variant: str, seed: int) -> str:
    return f"train {network} {variant} {seed}"


def speed_name(preset: str, way: str) -> str:
    return f"speed {preset} {way}"


def _correctness(bench: Bench, preset: str) -> Row:
    settings = bench.settings(preset)
    return Row(f"correct {preset}", partial(correctness.check, bench, settings), seconds=COMPILING, checks=True)


def _recording(bench: Bench, preset: str) -> Row:
    settings = correctness.recording_settings(bench, preset)
    return Row(f"record {preset}", partial(correctness.check_recording, bench, settings), settings, checks=True)


def _speed(bench: Bench, preset: str, way: str) -> Row:
    settings = speed.way_settings(bench, preset, way)
    measure = partial(speed.speed, bench, settings, preset, way)
    return Row(speed_name(preset, way), measure, settings, COMPILING if way in COMPILED else 60, bench.repeats)


def _training(bench: Bench, network: str, variant: str = "learned", seed: int = 0) -> Row:
    settings = trainings.training_settings(bench, network, variant, seed)
    name = training_name(network, variant, seed)
    return Row(name, partial(trainings.train, bench, settings, network, variant), settings, on_any_device=True)


def watch() -> Figures:
    """Return what benchmarks.watching prints last: the cost of no, one and five live pages."""
    command = [sys.executable, "-m", "benchmarks.watching", "--rounds", str(ROUNDS), "--seconds", str(SECONDS)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True, check=True)
    return {"printed": done.stdout.splitlines()[-4:]}
