"""Compare two processes that train one run together with one process, each with one thread, in one run of this command.

    python -m benchmarks.parallel [--preset quick] [--processes 2] [--steps 10] [--repeats 5] [--set training.batch_size=128]

All take the same steps: the images of a step are divided. Repeats alternate between one process alone, while the others wait, and
all of them, with batch norms that are synchronized and that are not. The last row is the ceiling: what the same processes reach if
each trains a network of its own on its part of the images and never communicates. The images are random, because they only have to be
read.

Prints images per second (median, minimum, maximum) and how many times those of one process they are. "Work" is what the ratio would
be if no process waited for another or for a processor: from the processor time of all processes, which a busy machine hardly changes.
"""

import argparse
import os
import sys
import time
from itertools import islice
from statistics import median

import torch

from expertnet.data.datasets import Dataset
from expertnet.data.info import DatasetInfo
from expertnet.data.splits import Split
from expertnet.network.cost import estimate
from expertnet.settings.fields import build_settings, parse_assignments
from expertnet.settings.presets import PRESETS
from expertnet.settings.schema import Settings
from expertnet.training.parallel import ALONE, Group, join
from expertnet.training.trainer import Trainer
from expertnet.utils.devices import device_name

CLASSES = 10
ONE = "one process"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


def launch(processes: int) -> None:
    """Replace this process by torch's launcher, which starts this module in each of the processes."""
    launcher = [
        "torch.distributed.run",
        "--standalone",
        "--local-addr",
        "127.0.0.1",
        "--nproc-per-node",
        str(processes),
    ]
    command = [sys.executable, "-m", *launcher, "-m", "benchmarks.parallel", *sys.argv[1:]]
    os.execve(sys.executable, command, os.environ | {"OMP_NUM_THREADS": "1"})


def random_images(settings: Settings, count: int) -> Dataset:
    size, generator = settings.data.image_size, torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, size, size), generator=generator).to(torch.uint8)
    split = Split(images, torch.randint(CLASSES, (count,), generator=generator))
    classes = tuple(f"class {number}" for number in range(CLASSES))
    info = DatasetInfo("random", classes, (0.5,) * 3, (0.29,) * 3, size, "random")
    return Dataset(info, split, split, split)


def measured(trainer: Trainer, steps: int) -> tuple[float, float]:
    """Train some steps after the first, and return the seconds that passed and those of the processor."""
    records = trainer.run()
    next(records)
    started, worked = time.perf_counter(), time.process_time()
    for _ in islice(records, steps):
        pass
    return time.perf_counter() - started, time.process_time() - worked


def main() -> None:
    options = arguments()
    if "RANK" not in os.environ:
        launch(options.processes)
    everyone = join(torch.device("cpu"))
    fixed = {"hardware.device": "cpu", "hardware.processes": everyone.count, "hardware.compile": "off"}
    settings = build_settings(options.preset, None, parse_assignments(options.assignments) | fixed)
    batch = settings.training.batch_size
    data = random_images(settings, batch * (options.steps + 1))

    def trained(group: Group, synchronizes: bool, images: int) -> tuple[float, float]:
        changes = {"sync_norm": synchronizes, "batch_size": images}
        training = settings.training.model_copy(update=changes)
        trainer = Trainer(settings.model_copy(update={"training": training}), data, threads=1, group=group)
        return measured(trainer, options.steps)

    several = f"{everyone.count} processes"
    ways = {
        ONE: (ALONE, False, batch),
        several: (everyone, False, batch),
        f"{several}, batch norms synchronized": (everyone, True, batch),
        f"{several} that never communicate": (ALONE, False, batch // everyone.count),
    }
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(options.repeats):
        for way, how in ways.items():
            everyone.wait()
            seconds = worked = 0.0
            if way != ONE or everyone.number == 0:
                seconds, worked = trained(*how)
            found[way].append((seconds, everyone.sum(torch.tensor(worked)).item()))
    if everyone.number == 0:
        report(settings, found, batch * options.steps, everyone.count)
    everyone.wait()
    sys.stdout.flush()
    os._exit(0)  # threads of PyTorch's collectives may end in an error otherwise


def report(settings: Settings, found: dict[str, list[tuple[float, float]]], images: int, count: int) -> None:
    parameters = estimate(settings, CLASSES).parameters
    print(
        f"{settings.model.num_blocks} blocks, {settings.model.channels} channels, {parameters:,} parameters, "
        f"{settings.training.batch_size} images of {settings.data.image_size} pixels a step, {device_name(torch.device('cpu'))} each. "
        f"A process sends {8 * parameters * (count - 1) / count / 2**20:.2f} MiB of gradients a step."
    )
    alone, alone_worked = (median(each) for each in zip(*found[ONE], strict=True))
    for way, times in found.items():
        seconds, worked = (sorted(each) for each in zip(*times, strict=True))
        speed = ", ".join(f"{images / each:.0f}" for each in (median(seconds), seconds[-1], seconds[0]))
        several = 1 if way == ONE else count
        ratio, work = alone / median(seconds), several * alone_worked / median(worked)
        print(f"{way:45} {speed:>20} images/s   {ratio:.2f}x   work {work:.2f}x")


if __name__ == "__main__":
    main()
