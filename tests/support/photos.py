"""Images that look a little like photographs: large shapes of random colors, with texture."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def photo(seed: int, width: int = 96, height: int = 72) -> Image.Image:
    """Return the same image for the same seed, and unlike images for others."""
    random = np.random.default_rng(seed)
    shapes = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((width, height))
    texture = random.integers(-25, 26, (height, width, 1))
    return Image.fromarray((np.asarray(shapes).astype(int) + texture).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files by their paths in a folder, and return it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
