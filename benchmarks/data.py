"""Measure how fast images are decoded and checked: python -m benchmarks.data [--images N] [--data PATH]

By default on N JPEG files of 160x120 pixels that are drawn for it, a tenth of which are copies that were compressed again. With
--data, on a folder or archive of class folders. Prints images a second of decoding, of the look at every image that a check takes
and of the search for duplicates, how many duplicates were found, and the peak memory.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from expertnet.curation.check import duplicates_sentence
from expertnet.curation.duplicates import find_duplicates
from expertnet.curation.survey import survey
from expertnet.data.datasets import load_decoded
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import never, silent
from tests.support.photos import encoded, photo

COPIED = 10  # every tenth image is a copy


def draw(folder: Path, count: int) -> Path:
    """Write images of ten classes to a folder, and return it."""
    for number in range(count):
        image = photo(number - number % COPIED if number % COPIED == 1 else number, 160, 120)
        path = folder / str(number // 2 % 10) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image, "JPEG", quality=60 if number % COPIED == 1 else 90))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, help="images to draw")
    parser.add_argument("--data", type=Path, help="folder or archive to measure instead")
    parser.add_argument("--distance", type=int, default=4, help="bits in which the hashes of duplicates may differ")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        os.environ["EXPERTNET_DATA"] = f"{work}/data"
        data = DataSettings(dataset=str(options.data or draw(Path(work) / "drawn", options.images)))
        seconds = [time.perf_counter()]
        load_decoded(data, silent, never, None)
        seconds.append(time.perf_counter())
        found = survey(data)
        seconds.append(time.perf_counter())
        groups = find_duplicates(found.images, options.distance)
        seconds.append(time.perf_counter())
    count = len(found.images)
    print(f"{count:,} images, {os.cpu_count()} cores")
    for what, taken in zip(("decoding", "looking", "duplicates"), np.diff(seconds), strict=True):
        print(f"{what:<11} {taken:6.1f} s  {count / taken:9,.0f} images/s")
    print(duplicates_sentence(groups))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
