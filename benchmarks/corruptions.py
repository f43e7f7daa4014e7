"""Compare errors on corrupted images with published ones: python -m benchmarks.corruptions --data PATH [RUN] [--images N]

PATH is CIFAR-10 as class folders or an archive, and RUN a network for it, by default the included one. Prints its errors at the
largest strength beside those of a WideResNet-28-10 on CIFAR-10-C at severity 5 (Wang 2022, arXiv:2203.13591, table 2, row "Source").
The table has no row for Gaussian blur.
"""

import argparse

from torch import Tensor

from benchmarks.rows import markdown
from expertnet.data.datasets import load_test_split
from expertnet.data.splits import Split, held_out
from expertnet.evaluation.corruptions import STRENGTHS, corrupted
from expertnet.inference.predictor import BATCH, load_predictor
from expertnet.settings.schema import DataSettings
from expertnet.store.run_store import RunStore
from expertnet.utils.text import percent

INCLUDED = "20261126-095209-771e"
CLEAN = 0.052  # error of the published network without corruption
PUBLISHED = {"noise": 0.723, "contrast": 0.467, "JPEG": 0.303, "brightness": 0.093}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", default=INCLUDED)
    parser.add_argument("--data", required=True, metavar="PATH")
    parser.add_argument("--images", type=int, default=2000)
    options = parser.parse_args()
    predictor = load_predictor(RunStore().resolve(options.run))
    test, _ = load_test_split(DataSettings(dataset=options.data, image_size=predictor.image_size))
    if options.images < len(test):
        test = test.take(held_out(test.labels, options.images / len(test), 0)[1])

    def error(split: Split, images: Tensor) -> float:
        answers = [predictor(batch)[0].argmax(1) for batch in images.split(BATCH)]
        right = sum(
            int((found == labels).sum()) for found, labels in zip(answers, split.labels.split(BATCH), strict=True)
        )
        return 1 - right / len(split)

    clean = error(test, test.images)
    errors = {name: error(test, corrupted(test.images, name, STRENGTHS[-1])) for name in PUBLISHED}
    rows = [[name, percent(errors[name]), percent(known)] for name, known in PUBLISHED.items()]
    print(f"{len(test):,} test images\n")
    print(markdown(["Corruption", "Error", "Published"], [["none", percent(clean), percent(CLEAN)], *rows]))


if __name__ == "__main__":
    main()
