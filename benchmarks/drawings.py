"""Measure how the included network for digits answers drawings, as the Predict page shows them: python -m benchmarks.drawings [--choose]

Draws every digit with the pen of the page's canvas, each time turned, slanted, stretched, moved and bent at random. Prints the share of
right answers and of drawings that are called unlike the training images, with 95% intervals (Wilson). With --choose, draws what the
steps were chosen on instead: the same digits with another seed, and other ways to prepare them.
"""

import argparse
import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from benchmarks.rows import markdown
from expertnet.data.builtin import BUILTIN
from expertnet.data.drawing import PEN, load_drawing
from expertnet.data.images import fit, load_image, read_image
from expertnet.evaluation.figures import share
from expertnet.inference.novelty import find_novelty
from expertnet.inference.predictor import load_predictor
from expertnet.store.run_store import RunStore

CANVAS = 280  # pixels, as in expertnet/ui/predict/canvas.py
SIZES = {"as large as the canvas": (0.8, 1.0), "half as large": (0.4, 0.6)}  # height, as a share of the canvas
CHOICE, REPORT = 0, 1  # seeds


def arc(x: float, y: float, width: float, height: float, start: float, end: float) -> list[tuple[float, float]]:
    """Return points of an ellipse around (x, y), from one angle to another in degrees, clockwise from the right."""
    angles = np.radians(np.linspace(start, end, 13))
    return list(zip(x + width * np.cos(angles), y + height * np.sin(angles), strict=True))


# The strokes of each digit, in a square of side 1, in one or two ways to write it.
DIGITS = {
    "0": [[arc(0.5, 0.5, 0.32, 0.5, 0, 360)], [arc(0.5, 0.5, 0.24, 0.5, -60, 310)]],
    "1": [[[(0.5, 0), (0.5, 0.5), (0.5, 1)]], [[(0.28, 0.25), (0.52, 0), (0.52, 0.5), (0.52, 1)]]],
    "2": [
        [[*arc(0.5, 0.28, 0.3, 0.28, -170, 30), (0.5, 0.72), (0.2, 1), (0.5, 1), (0.82, 1)]],
        [[(0.2, 0.1), (0.5, 0), (0.76, 0.2), (0.7, 0.5), (0.22, 0.97), (0.5, 0.95), (0.8, 1)]],
    ],
    "3": [
        [[*arc(0.48, 0.25, 0.28, 0.25, -160, 90), *arc(0.48, 0.74, 0.32, 0.26, -90, 160)]],
        [[(0.2, 0), (0.76, 0), (0.45, 0.4), *arc(0.46, 0.7, 0.32, 0.3, -80, 150)]],
    ],
    "4": [
        [[(0.66, 1), (0.66, 0.5), (0.66, 0), (0.4, 0.35), (0.15, 0.68), (0.5, 0.68), (0.9, 0.68)]],
        [[(0.25, 0), (0.22, 0.5), (0.5, 0.52), (0.8, 0.5)], [(0.76, 0.05), (0.72, 0.5), (0.7, 1)]],
    ],
    "5": [
        [[(0.78, 0), (0.5, 0), (0.27, 0), (0.25, 0.42), *arc(0.48, 0.69, 0.31, 0.31, -120, 150)]],
        [[(0.3, 0), (0.27, 0.45), *arc(0.47, 0.7, 0.31, 0.3, -110, 140)], [(0.3, 0), (0.55, 0.02), (0.8, 0)]],
    ],
    "6": [
        [[(0.66, 0), (0.38, 0.25), (0.22, 0.65), *arc(0.5, 0.7, 0.28, 0.3, 180, -180)]],
        [[(0.5, 0), (0.3, 0.4), *arc(0.5, 0.72, 0.26, 0.28, 180, -190)]],
    ],
    "7": [
        [[(0.18, 0), (0.5, 0), (0.82, 0), (0.6, 0.5), (0.42, 1)]],
        [[(0.2, 0.02), (0.5, 0), (0.8, 0), (0.6, 0.45), (0.44, 1)], [(0.3, 0.5), (0.55, 0.5), (0.8, 0.48)]],
    ],
    "8": [
        [[*arc(0.5, 0.25, 0.25, 0.25, 90, 450), *arc(0.5, 0.75, 0.3, 0.25, -90, 270)]],
        [[*arc(0.5, 0.24, 0.24, 0.24, -60, -260), (0.5, 0.48), *arc(0.5, 0.75, 0.28, 0.25, -40, 210), (0.5, 0.48), (0.7, 0.15)]],
    ],
    "9": [
        [[*arc(0.5, 0.28, 0.27, 0.28, 0, -360), (0.77, 0.5), (0.72, 1)]],
        [[*arc(0.48, 0.3, 0.28, 0.3, -20, -340), (0.74, 0.2), (0.68, 0.65), (0.45, 1)]],
    ],
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choose", action="store_true", help="compare ways to prepare drawings, on others")
    parser.add_argument("--each", type=int, default=20, help="drawings of each way to write a digit (default: 20)")
    parser.add_argument(
        "--pen", type=float, default=PEN, help="its width, as a share of the canvas (default: that of the page)"
    )
    options = parser.parse_args()
    run = next(run for run in RunStore().list() if run.shipped and run.settings().data.dataset == "digits")
    predictor, novelty = load_predictor(run), find_novelty(run)
    assert novelty is not None
    size, rows = predictor.image_size, []
    for title, heights in SIZES.items():
        drawings, labels = drawn(CHOICE if options.choose else REPORT, options.each, heights, options.pen * CANVAS)
        for name, prepare in (WAYS if options.choose else dict(list(WAYS.items())[:2])).items():
            answers = predictor.classify([prepare(drawing, size) for drawing in drawings])
            right = torch.tensor([a.predictions[0].label == b for a, b in zip(answers, labels, strict=True)])
            unlike = torch.tensor([verdict.unlike for verdict in novelty.verdicts(answers)])
            cells = (f"{each.value:.1%} ({each.low:.1%} to {each.high:.1%})" for each in map(share, (right, unlike)))
            rows.append([title, name, str(len(labels)), *cells])
    print(markdown(["Digits", "Prepared", "Number", "Right", "Called unlike"], rows))


def drawn(seed: int, each: int, heights: tuple[float, float], pen: float) -> tuple[list[bytes], list[str]]:
    """Return drawings as PNG files, white on black, with their digits."""
    chance, files, labels = np.random.default_rng(seed), list[bytes](), list[str]()
    for label, ways in DIGITS.items():
        for way in ways:
            for _ in range(each):
                files.append(_drawing(way, chance, heights, pen))
                labels.append(label)
    return files, labels


def _drawing(
    strokes: list[list[tuple[float, float]]], chance: np.random.Generator, heights: tuple[float, float], pen: float
) -> bytes:
    turn, slant = np.radians(chance.normal(0, 6)), chance.normal(0, 0.12)
    width, height = chance.uniform(0.8, 1.15), chance.uniform(*heights)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shape = turned @ np.array([[width, -slant], [0, 1]]) * height * (CANVAS - pen)
    room = (1 - height) * (CANVAS - pen) / 2
    middle = CANVAS / 2 + chance.uniform(-room, room, 2)
    image = Image.new("L", (CANVAS, CANVAS))
    draw = ImageDraw.Draw(image)
    for stroke in strokes:
        bent = np.array(stroke) - 0.5 + chance.normal(0, 0.02, (len(stroke), 2))
        points = [(float(x), float(y)) for x, y in bent @ shape.T + middle]
        draw.line(points, 255, round(pen))
        for x, y in points:  # round caps and joins
            draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), 255)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _cropped(data: bytes, share: float) -> Image.Image:
    """Return a drawing cropped to its ink, with a margin that is a share of its side."""
    gray = read_image(data).convert("L")
    left, top, right, bottom = gray.getbbox() or (0, 0, *gray.size)
    side = round(max(right - left, bottom - top) * (1 + 2 * share))
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    return gray.crop((x, y, x + side, y + side))


def _reduced(image: Image.Image, size: int, how: Image.Resampling = Image.Resampling.BOX) -> Tensor:
    return fit(image.resize((8, 8), how), size)


WAYS: dict[str, Callable[[bytes, int], Tensor]] = {
    "cropped and reduced": lambda data, size: load_drawing(data, size, BUILTIN["digits"].native_size, True),
    "as drawn": load_image,
    "cropped": lambda data, size: fit(_cropped(data, 0), size),
    "reduced": lambda data, size: _reduced(read_image(data).convert("L"), size),
    "cropped with a margin of 1/16 and reduced": lambda data, size: _reduced(_cropped(data, 1 / 16), size),
    "cropped and reduced with a triangle": lambda data, size: _reduced(
        _cropped(data, 0), size, Image.Resampling.BILINEAR
    ),
}

if __name__ == "__main__":
    main()
