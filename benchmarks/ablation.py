"""Measure what each part of the preset `fast` contributes: python -m benchmarks.ablation [--data D] [--seeds 3] [--on test]

Trains its short schedule (5 epochs, experts in the last block) without one part at a time, and compares the accuracy on the validation
images with that of the whole recipe, seed by seed, on this kind of device (CPU or GPU). The test images choose nothing: the table shows
them only with `--on`. Learning rates are not tuned again without a part, so a part may be worth less than its row says. The maximum before
the classifier is no part: its classifier divides by the width, so that without it the rates of SGD would have to change, too. Rows and
resuming are those of benchmarks.accuracy.
"""

import argparse
import sys
from pathlib import Path
from statistics import mean

from benchmarks import accuracy, rows
from expertnet.errors import UserError
from expertnet.routing.retrained import difference
from expertnet.settings.fields import build_settings, parse_assignments
from expertnet.utils.devices import is_cpu

WHOLE = "the whole recipe"
NARROWER = "experts in every block, and 40 to 144 instead of 64 to 256 channels"  # as many multiply-adds
HARDEST = "the hardest half of each batch, in 10 epochs"  # as many multiply-adds
SHORT = ("training.epochs=5", "model.expert_blocks=6")
ADAMW = ("training.optimizer=adamw", "training.bias_lr_share=1", "training.router_lr_share=0.1")
PARTS: dict[str, tuple[str, ...]] = {
    WHOLE: (),
    "ordinary 3x3 stem instead of a whitened one": ("model.whitened_stem=false",),
    "random start instead of the identity": ("model.dirac=false",),
    "AdamW at 0.003 instead of Muon and SGD": (*ADAMW, "training.lr=0.003"),
    "AdamW at 0.01 instead of Muon and SGD": (*ADAMW, "training.lr=0.01"),
    "a 64th of the norm biases' rate": ("training.bias_lr_share=0.00125",),
    "norms with a learned scale": ("model.norm_scale=true",),
    "norms with momentum 0.1 instead of 0.4": ("model.norm_momentum=0.1",),
    "ReLU instead of GELU": ("model.activation=relu",),
    "random instead of alternating flips": ("data.alternating_flip=false",),
    "crops filled with zeros instead of the mirror image": ("data.crop_fill=zeros",),
    "SiLU instead of GELU": ("model.activation=silu",),
    "crops moved by up to 4 instead of 2 pixels": ("data.crop_padding=4",),
    "cosine instead of linear decay": ("training.schedule=cosine",),
    "a warm-up in the first fifth": ("training.warmup_share=0.2",),
    "no label smoothing": ("training.label_smoothing=0",),
    "images of full size from the start": ("data.resolutions=",),
    HARDEST: ("training.hardest_share=0.5", "training.epochs=10"),
    NARROWER: ("model.expert_blocks=", "model.widths=40,144,144"),
}
MEASURED = {"validation": "validation_accuracy", "test": "test_accuracy", "test-six-views": "test_accuracy_views"}
VARIANTS = {"equal weights instead of routing": "uniform", "one expert instead of three": "width"}


def measure(dataset: str, seeds: int, file: Path) -> None:
    """Train what the file of rows lacks, seed by seed. A training that fails is named, and the others go on."""
    for seed in range(seeds):
        for part, changes in PARTS.items():
            variants = ["learned", *VARIANTS.values()] if part == WHOLE else ["learned"]
            try:
                settings = build_settings("fast", dataset, parse_assignments([*SHORT, *changes]))
                accuracy.measure(settings, "fast", variants, [seed], file, [*SHORT, *changes])
            except accuracy.FailedError as error:
                print(f"{part}, seed {seed}: {error}", file=sys.stderr, flush=True)


def table(found: list[rows.Row], on: str = "validation") -> str:
    """Return the accuracies, and the paired differences from the whole recipe, as Markdown. `on` is a key of MEASURED."""
    by_part: dict[str, dict[int, float]] = {}
    for row in found:
        if part := part_of(row):
            by_part.setdefault(part, {})[row["seed"]] = row[MEASURED[on]] or 0.0  # type: ignore[literal-required]
    whole = by_part.get(WHOLE, {})
    lines: list[list[str]] = []
    for part in (*PARTS, *VARIANTS):
        own = by_part.get(part, {})
        both = sorted(own.keys() & whole.keys()) if part != WHOLE else []
        gaps = [own[seed] - whole[seed] for seed in both]
        compared = difference(gaps)
        interval = f"{compared.low * 100:+.2f} to {compared.high * 100:+.2f}" if compared else ""
        lines.append(
            [
                part,
                str(len(own)),
                f"{mean(own.values()):.2%}" if own else "not measured",
                f"{mean(gaps) * 100:+.2f}" if gaps else "",
                interval,
            ]
        )
    return rows.markdown(
        ["Recipe", "Seeds", on.replace("-", " ").capitalize(), "Difference, in points", "95% interval"], lines
    )


def part_of(row: rows.Row) -> str | None:
    """Return what a row was trained without; None if it is none of these parts."""
    if row["variant"] != "learned":
        known = row["changes"] == [*SHORT]
        return next((part for part, variant in VARIANTS.items() if known and variant == row["variant"]), None)
    return next((part for part, changes in PARTS.items() if [*SHORT, *changes] == row["changes"]), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="name of a dataset, or path of a folder or archive")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from seed 0")
    parser.add_argument(
        "--on", choices=MEASURED, default="validation", help="images of the table (default: %(default)s)"
    )
    parser.add_argument("--rows", type=Path, help="file of the rows (default: one per data in benchmarks/results)")
    options = parser.parse_args()
    title = accuracy.data_title(options.data)
    file = options.rows or rows.file_of("ablation-fast", title)
    try:
        measure(options.data, options.seeds, file)
    except UserError as error:
        sys.exit(str(error))
    on_cpu = accuracy.on_cpu(build_settings("fast", options.data, {}))
    found = [row for row in rows.read(file) if row["data"] == title and is_cpu(row["device"]) == on_cpu]
    machines = sorted({f"{row['processor']}, {row['device']}, torch {row['torch']}" for row in found})
    print(f"{title}, {'; '.join(machines)}\n\n{table(found, options.on)}")


if __name__ == "__main__":
    main()
