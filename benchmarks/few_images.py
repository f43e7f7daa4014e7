"""What few images gain from another run's weights: python -m benchmarks.few_images --data cifar10-jpeg.tar.xz [--source FILE]

Trains a source network on the classes other than CLASSES, which therefore has never seen one of their images. Then trains, for each
seed, networks on IMAGES images of each of CLASSES: afresh, and from the source's weights with each number of frozen epochs. Batch size
and epochs are those that the form gives so few images. The validation images choose the epoch, and all test images of CLASSES are
measured once, at the end. Prints a table with the paired differences (Student's t). Each training is a line of JSON in --rows and is
not repeated. The weights of the source are kept in --source, also those of an interrupted training.
"""

import argparse
import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.accuracy import processor
from benchmarks.earlier import QUICK
from benchmarks.rows import JPEG_COPY, RESULTS, markdown
from expertnet.data.datasets import Dataset, load_dataset
from expertnet.data.info import DatasetInfo
from expertnet.data.splits import Split, held_out
from expertnet.routing.retrained import difference
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import DataSettings, Settings
from expertnet.training.pace import fitted
from expertnet.training.trainer import Trainer
from expertnet.utils.files import to_json, write_atomically

PRESET = "quick"
CLASSES = ("airplane", "automobile", "bird")  # the first three by name
IMAGES = 40  # of each of them, a tenth of which chooses the epoch
SOURCE_IMAGES, SOURCE_EPOCHS = 600, 12  # of each other class
FRESH = "random weights"


def part_of(whole: Dataset, names: Sequence[str], count: int, seed: int) -> Dataset:
    """Return `count` images of each named class, a tenth of them for validation, and all test images of these classes."""
    generator = torch.Generator().manual_seed(seed)
    numbers = [whole.info.classes.index(name) for name in names]

    def chosen(split: Split, most: int | None = None) -> Split:
        members = [(split.labels == number).nonzero()[:, 0] for number in numbers]
        places = [each[torch.randperm(len(each), generator=generator)[:most]] for each in members]
        found = split.take(torch.cat(places))
        return Split(found.images, torch.tensor([numbers.index(label) for label in found.labels.tolist()]))

    train = chosen(whole.train, count)
    pixels = train.images.transpose(0, 1).flatten(1).double() / 255
    info = DatasetInfo("part", tuple(names), tuple(pixels.mean(1).tolist()), tuple(pixels.std(1).tolist()), 32, "part")
    kept, held = held_out(train.labels, 0.1, seed)
    return Dataset(info, train.take(kept), train.take(held), chosen(whole.test))


def train(
    settings: Settings, data: Dataset, start: Mapping[str, Tensor] | None = None, kept: Path | None = None
) -> tuple[float, dict[str, Tensor]]:
    """Return the test accuracy and the best weights. The training resumes from the file `kept`."""
    trainer, accuracy = Trainer(settings, data, start=start), math.nan
    if kept and kept.exists():
        trainer.load_state_dict(torch.load(kept, weights_only=True))
    for record in trainer.run():
        if record.kind == "epoch" and kept:
            buffer = io.BytesIO()
            torch.save(trainer.state_dict(), buffer)
            write_atomically(kept, buffer.getvalue())
        elif record.test:
            accuracy = record.test["test_accuracy"]
    return accuracy, trainer.best["weights"]


def source_weights(whole: Dataset, dataset: str, file: Path) -> dict[str, Tensor]:
    """Return the weights of the source network except the classifier's, trained unless they are in the file."""
    if not file.exists():
        others = [name for name in whole.info.classes if name not in CLASSES]
        settings = build_settings(PRESET, dataset, QUICK | {"training.epochs": SOURCE_EPOCHS})
        accuracy, weights = train(settings, part_of(whole, others, SOURCE_IMAGES, 0), kept=file.with_suffix(".pt"))
        weights = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
        print(f"The source recognizes {accuracy:.1%} of the test images of its {len(others)} classes.", flush=True)
        save_file(weights, file, {"accuracy": str(accuracy)})
    return load_file(file)


def recipe(dataset: str, seed: int, frozen: int | None) -> Settings:
    """Return the settings for few images, from the source with `frozen` epochs, or afresh for None."""
    size, epochs = fitted(build_settings(PRESET, dataset), round(len(CLASSES) * IMAGES * 0.9))
    own: dict[str, Any] = QUICK | {"seed": seed, "training.batch_size": size, "training.epochs": epochs}
    if frozen is not None:
        own |= {"model.start_from": "source", "training.frozen_epochs": frozen}
    return build_settings(PRESET, dataset, own)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the mean accuracy of each start over the seeds, and its paired difference from random weights, as Markdown."""
    starts: dict[str, dict[int, float]] = {}
    for row in rows:
        starts.setdefault(row["start"], {})[row["seed"]] = row["test_accuracy"]
    lines = []
    for start, found in starts.items():
        fresh = {} if start == FRESH else starts[FRESH]
        compared = difference([found[seed] - fresh[seed] for seed in sorted(found.keys() & fresh.keys())])
        points = ["", ""]
        if compared:
            points = [f"{compared.mean * 100:+.1f}", f"{compared.low * 100:+.1f} to {compared.high * 100:+.1f}"]
        spread = f" ± {stdev(found.values()):.1%}" if len(found) > 1 else ""
        lines.append([start, str(len(found)), f"{mean(found.values()):.1%}{spread}", *points])
    return markdown(["Start", "Seeds", "Test accuracy", "Difference, in points", "95% interval"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="an archive of CIFAR-10 as class folders")
    parser.add_argument("--frozen", type=int, nargs="+", default=[40], help="numbers of frozen epochs")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--source", type=Path, default=Path("few-images-source.safetensors"))
    parser.add_argument("--rows", type=Path, default=RESULTS / "few-images-cifar-10-jpeg-copy.jsonl")
    options = parser.parse_args()
    whole = load_dataset(DataSettings(dataset=options.data, validation_share=0), 0)
    weights = source_weights(whole, options.data, options.source)
    rows = [json.loads(line) for line in options.rows.read_text().splitlines()] if options.rows.exists() else []
    done = {(row["start"], row["seed"]) for row in rows}
    for seed in range(options.seeds):
        for frozen in (None, *options.frozen):
            start = FRESH if frozen is None else f"source, {frozen} frozen epochs"
            if (start, seed) in done:
                continue
            settings, started = recipe(options.data, seed, frozen), time.perf_counter()
            accuracy, _ = train(settings, part_of(whole, CLASSES, IMAGES, seed), None if frozen is None else weights)
            row = {
                "data": JPEG_COPY,
                "start": start,
                "seed": seed,
                "test_accuracy": accuracy,
                "seconds": time.perf_counter() - started,
                "batch_size": settings.training.batch_size,
                "epochs": settings.training.epochs,
                "processor": processor(),
                "torch": torch.__version__,
            }
            rows.append(row)
            with options.rows.open("a") as file:
                file.write(to_json(row) + "\n")
            print(f"{start}, seed {seed}: {accuracy:.2%}", flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
