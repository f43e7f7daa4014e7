"""Measure the accuracy of a preset: python -m benchmarks.accuracy --preset P [--data D] [--variant V ...] [--seeds 3]

Trains the preset with each seed and prints tables with the mean and standard deviation (benchmarks.rows). The validation set
chooses the epoch, and the test set is measured once, at the end; --all-images instead trains on all training images and
measures the last epoch. Variants show what routing contributes, with the same trainer, data, epochs and recipe. Those between
learned and width are the controls that `expertnet controls` trains (expertnet.network.controls):

    learned        the preset as it is
    uniform        every routing weight fixed at 1/K
    random         a router that keeps its random initial weights
    multiply_adds  one expert per block (K = 1), wider, with as many multiply-adds
    parameters     one expert per block, wider, with as many parameters
    gates          one expert per block with squeeze-and-excitation, wider, with as many multiply-adds
    kernels, top_1, odconv, deviation, sigmoid  other kinds of networks of experts (`expertnet controls --kind`)
    width          one expert per block of the same width
    resnet18       torchvision's ResNet-18 with a 3x3 stem and no pooling after it, and the preset's norms and classifier

Each training is a run in a store of its own, in benchmarks/results. After an interruption, the same command resumes from the
last completed epoch. A finished training is a line of JSON in --rows, and is not repeated on the same kind of device (CPU or
GPU). To repeat it, for example to measure its time again, name another file with --rows.
"""

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import torch
import torchvision
from torch import Tensor, nn

from benchmarks import rows
from expertnet.cli.output import say
from expertnet.cli.train import EpochPrinter
from expertnet.data.datasets import dataset_title, load_dataset
from expertnet.errors import UserError
from expertnet.network.controls import NAMES, arm_settings, with_model
from expertnet.network.model import Classifier, ExpertNet, MaxClassifier
from expertnet.network.stem import make_norm
from expertnet.settings.fields import build_settings, parse_assignments
from expertnet.settings.presets import PRESETS
from expertnet.settings.schema import ModelSettings, Settings
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.lock import training_lock
from expertnet.training.runner import run_training
from expertnet.training.start import prepare_resume
from expertnet.training.stop import Stop
from expertnet.utils.devices import is_cpu, resolve_device

VARIANTS = (*NAMES, "width", "resnet18")
TITLES = {"cifar10-jpeg": rows.JPEG_COPY}  # by the name of an archive


class FailedError(UserError):
    """A training failed, as from a loss that is not a finite number."""


class Peer(nn.Module):
    """A network without experts with the interface of ExpertNet; its routing is that of a single expert."""

    def __init__(self, body: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.stem, self.body, self.classifier = nn.Identity(), body, classifier

    def forward(
        self, images_N3HW: Tensor, return_routing: bool = False, changes: object = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        logits = self.classifier(self.body(images_N3HW))
        return (logits, logits.new_ones(len(logits), 1, 1)) if return_routing else logits


def resnet18(num_classes: int, model: ModelSettings | None = None) -> ExpertNet:
    """Return a ResNet-18 for small images, with the norms and the classifier that a recipe needs."""
    model = model or ModelSettings()
    net = torchvision.models.resnet18(norm_layer=partial(make_norm, model=model))
    net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    net.maxpool = nn.Identity()
    classifier = (MaxClassifier if model.head == "max" else Classifier)(512, num_classes)
    return cast(ExpertNet, Peer(nn.Sequential(*list(net.children())[:-2]), classifier))  # without its own classifier


def changed(settings: Settings, variant: str, num_classes: int) -> Settings:
    """Return the settings of a variant."""
    if variant in NAMES:
        return arm_settings(settings, variant, num_classes)
    return with_model(settings, num_experts=1) if variant == "width" else settings


def data_title(dataset: str) -> str:
    """Return the name of a dataset for tables."""
    title = dataset_title(dataset)
    return TITLES.get(title, title)


def peer(variant: str, settings: Settings) -> Callable[[int], ExpertNet] | None:
    """Return what makes the network of a variant for a number of classes; None if it is an ExpertNet."""
    return partial(resnet18, model=settings.model) if variant == "resnet18" else None


def train(settings: Settings, preset: str, variant: str, store: RunStore, stop: Stop) -> Run:
    """Train a run to its end, resuming one that was interrupted on the same kind of device, and return it.

    Raises FailedError if that fails, and UserError if `stop` is set.
    """
    known = (run for run in store.list() if run.has_settings and run.given_name == variant)
    run = next((run for run in known if run.settings() == settings and _suits_device(run)), None)
    if run is None:
        run = store.create(settings, preset, variant)
    elif run.state == "finished":
        return run
    else:
        prepare_resume(run)
    say(f"{variant}, seed {settings.seed}, run {run.id}")
    on_progress = EpochPrinter("test" if settings.watches_test else "validation")
    status = run_training(run, stop, on_progress=on_progress, network=peer(variant, settings))
    if status.state == "finished":
        return run
    if stop.is_set():
        raise UserError("Interrupted. To resume, run the same command again.")
    raise FailedError(status.error or "The training did not finish.")


def on_cpu(settings: Settings) -> bool:
    return resolve_device(settings.hardware.device).type == "cpu"


def _suits_device(run: Run) -> bool:
    """Return whether the kind of device that a run trains on here is the one that it started on, if it has started."""
    environment = run.config().get("environment")
    return not environment or is_cpu(environment["device"]) == on_cpu(run.settings())


def measure(
    settings: Settings, preset: str, variants: Sequence[str], seeds: Iterable[int], file: Path, changes: list[str]
) -> RunStore:
    """Train the variants with each seed, add the rows that the file lacks, and return the store of the runs, beside the file.

    Raises UserError if another benchmark trains in this store, or if a training fails.
    """
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.interrupt())
    classes = len(load_dataset(settings.data, settings.seed).info.classes)
    store = RunStore(file.with_suffix(".runs"))
    store.root.mkdir(parents=True, exist_ok=True)
    with training_lock(store.root) as free:
        if not free:
            raise UserError(f"Another benchmark is training in {store.root}. Wait until it has ended.")
        for seed in seeds:
            for variant in variants:
                own = changed(settings.model_copy(update={"seed": seed}), variant, classes)
                found = rows.find(rows.read(file), variant, titled(own), on_cpu(own))
                if found:
                    took = f"{found['seconds'] / 60:.1f} minutes on {found['device']}"
                    say(f"{variant}, seed {seed}: already in {file}, {took}. To train again, use another --rows file.")
                    continue
                run = train(own, preset, variant, store, stop)
                rows.add(file, measured(run, preset, variant, changes))
                say(f"{variant}, seed {seed}: added to {file}.")
    return store


def measured(run: Run, preset: str, variant: str, changes: list[str]) -> rows.Row:
    """Return the row of a finished run."""
    settings, status, history, environment = (
        run.settings(),
        run.written_status(),
        run.metrics(),
        run.config()["environment"],
    )
    assert status.test_accuracy is not None
    data = load_dataset(settings.data, settings.seed, own=run.dataset_info())
    make = peer(variant, settings) or partial(ExpertNet, settings.model)
    batch = min(settings.training.batch_size, len(data.train))
    images = status.steps * settings.training.learned_images(batch)  # that an epoch learned from
    training = sum(images / (epoch["images_per_second"] or float("inf")) for epoch in history)
    seconds = sum(epoch["seconds"] or 0 for epoch in history)
    return {
        "preset": preset,
        "data": data_title(settings.data.dataset),
        "variant": variant,
        "seed": settings.seed,
        "changes": changes,
        "settings": titled(settings).model_dump(mode="json"),
        "parameters": sum(value.numel() for value in make(len(data.info.classes)).parameters()),
        "validation_accuracy": None if settings.watches_test else status.best_val_accuracy,
        "test_accuracy": status.test_accuracy,
        "test_accuracy_mirrored": status.test_accuracy_mirrored,
        "test_accuracy_views": status.test_accuracy_views,
        "seconds": status.seconds or seconds,
        "evaluation_share": 1 - training / seconds,
        "minutes_to": rows.minutes_to(history),
        "processor": processor(),
        "device": environment["device"],
        "precision": environment["precision"],
        "torch": environment["torch"],
        "revision": environment["git_revision"],
    }


def titled(settings: Settings) -> Settings:
    """Replace the path of the dataset, which another machine does not have, by its title."""
    data = settings.data.model_copy(update={"dataset": data_title(settings.data.dataset)})
    return settings.model_copy(update={"data": data})


def processor() -> str:
    """Return the name of the processor and the widest instructions for training that it has."""
    named = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if sys.platform == "linux" else None
    known = torch.cpu.get_capabilities()
    kinds = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16", "avx512_f": "AVX512", "avx2": "AVX2"}
    kind = next((kind for name, kind in kinds.items() if known.get(name)), known["architecture"])
    return f"{named[1]} ({kind})" if named else str(kind)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), required=True)
    parser.add_argument("--variant", choices=VARIANTS, nargs="+", default=["learned"])
    parser.add_argument("--seeds", type=int, default=3, help="how many, from seed 0")
    parser.add_argument("--data", default="cifar10", help="name of a dataset, or path of a folder or archive")
    parser.add_argument("--all-images", action="store_true", help="no validation images; the last epoch counts")
    parser.add_argument("--threads", type=int, help="processor threads of a new training (default: all)")
    parser.add_argument(
        "--rows", type=Path, help="file of the rows (default: one per preset and data in benchmarks/results)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting")
    options = parser.parse_args()
    changes = options.set + ["data.validation_share=0"] * options.all_images
    file = options.rows or rows.file_of(f"accuracy-{options.preset}", data_title(options.data))
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    try:
        # six views are measured at the end, and change nothing else
        settings = build_settings(options.preset, options.data, {"data.six_views": True} | parse_assignments(changes))
        measure(settings, options.preset, options.variant, range(options.seeds), file, changes)
    except UserError as error:
        sys.exit(str(error))
    print(rows.tables(rows.read(file)))


if __name__ == "__main__":
    main()
