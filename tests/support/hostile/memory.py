"""Uploads made to fill the memory: the peak that reading each takes, within a limit that the system enforces.

Each upload is read in a process of its own, whose data may grow by LIMIT (RLIMIT_DATA) once a training has warmed up. The
training is repeated beside the reading and must end with the same figures. `python -m tests.support.hostile.memory` prints
a line for each kind; tests read the same lines. The module is long because each kind of upload is made by a function of its own.
"""

import gzip
import io
import json
import lzma
import os
import random
import resource
import struct
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from expertnet.data.custom import scan
from expertnet.data.datasets import load_dataset
from expertnet.data.heic import register_heic
from expertnet.data.images import load_image
from expertnet.data.own.datasets import create_dataset
from expertnet.data.own.intake import add_files, files_at
from expertnet.data.own.uploads import uploads_of
from expertnet.data.uploads import save_folder
from expertnet.errors import UserError
from expertnet.settings.schema import DataSettings
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.training.runner import run_training
from expertnet.training.stop import Stop
from expertnet.transfer.import_run import import_all
from tests.support.exports import contents, exported, zipped
from tests.support.small import figures, settings

LIMIT = 400  # MiB over what the process had before
DIED = {"peak_mib": float("inf"), "rejected": "the process died", "trainings": 0, "same": False}
SIDE = 7071  # pixels; 50 megapixels, the most that is allowed


def image(mode: str, kind: str, side: int = SIDE, **options: object) -> Callable[[], bytes]:
    def make() -> bytes:
        buffer = io.BytesIO()
        Image.new(mode, (side, side)).save(buffer, kind, **options)
        return buffer.getvalue()

    return make


def heic_photo() -> bytes:
    register_heic()  # which can write it, too
    return image("RGBA", "HEIF", 5000)()


def header(kind: bytes, size: int) -> bytes:
    member = tarfile.TarInfo("header")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.USTAR_FORMAT)


def records(size: int) -> bytes:
    """PAX records of a few bytes each, filled up to whole blocks."""
    lines = b"".join(b"11 k%05x=1\n" % number for number in range(size // 11))
    return lines + b"\0" * (-len(lines) % 512)


def deep_path(parts: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a/" * parts + "x.png"))
    return buffer.getvalue()


def long_listing() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(400_000):
            archive.writestr(zipfile.ZipInfo(str(number)), b"")
    return buffer.getvalue()


def global_headers() -> bytes:
    content = records(8_600_000)
    return (header(tarfile.XGLTYPE, len(content)) + content) * 3


def sparse_headers() -> bytes:
    member = bytearray(header(tarfile.GNUTYPE_SPARSE, 0))
    member[482] = 1  # more of the map follows
    member[148:156] = b" " * 8
    member[148:156] = b"%06o\0 " % sum(member)
    block = b"%011o\0%011o\0" % (1, 1) * 21 + b"\1" + b"\0" * 7
    return gzip.compress(bytes(member) + block * 200_000)


def large_dictionary() -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 * 2**20, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3}]
    packer = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=filters)
    return b"".join([packer.compress(b"\0" * 2**20) for _ in range(16)] + [packer.flush()])


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return image("RGB", "JPEG", exif=exif)()


def long_paths() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for number in range(20_000):
            archive.addfile(tarfile.TarInfo(f"{'ab'[number % 2]}/{chr(0x1F600) * 1000}{number}.png"))
    return buffer.getvalue()


def many_classes() -> bytes:
    return zipped({f"{number // 2}/{number}.png": b"" for number in range(100_000)})


def large_images() -> bytes:
    one = image("RGBA", "PNG")()
    padding = os.urandom(40 * 2**20)  # after the image, where decoders ignore it
    return zipped({f"{'ab'[number % 2]}/{number}.png": one + padding for number in range(8)})


def large_file() -> bytes:
    return image("RGB", "PNG", 8)() + os.urandom(40 * 2**20)


def packed_widely() -> bytes:
    """An xz that takes nearly all memory that unpacking may take."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 96 * 2**20, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3}]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("a", "b"):
            for number in range(4):
                member = tarfile.TarInfo(f"{name}/{number}.png")
                member.size = 40 * 2**20
                archive.addfile(member, io.BytesIO(bytes(member.size)))
    return lzma.compress(buffer.getvalue(), filters=filters)


def run_zip(change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> Callable[[], bytes]:
    def make() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            run = RunStore(folder).create(settings(), "quick")
            run_training(run, Stop())
            return zipped(change(contents(exported(run))))

    return make


def long_history(files: dict[str, bytes]) -> dict[str, bytes]:
    line = json.loads(files["metrics.jsonl"])
    lines = (json.dumps(line | {"epoch": number}).encode() for number in range(1, 2**25 // (len(json.dumps(line)) + 9)))
    return files | {"metrics.jsonl": b"\n".join(lines)}


def long_line(files: dict[str, bytes]) -> dict[str, bytes]:
    return files | {"metrics.jsonl": b"[" + b"[]," * 11_000_000 + b"[]]"}


def many_tensors(files: dict[str, bytes]) -> dict[str, bytes]:
    tensors = {str(n): {"dtype": "F32", "shape": [], "data_offsets": [4 * n, 4 * n + 4]} for n in range(900_000)}
    header = json.dumps(tensors)
    return files | {"best.safetensors": struct.pack("<Q", len(header)) + header.encode() + bytes(3_600_000)}


def shuffled_members(files: dict[str, bytes]) -> dict[str, bytes]:
    """A zip in a zip, whose members are stored in another order than they are listed."""
    weights = {f"epoch-{number:05}.safetensors": files["best.safetensors"] + bytes(20_000) for number in range(1, 2000)}
    names = [*files, *weights]
    random.Random(0).shuffle(names)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, (files | weights)[name])
        archive.filelist.sort(key=lambda info: info.filename)
    return {"run-20260101-000000-abcd.zip": buffer.getvalue()}


IMAGES = {
    "PNG with transparency": image("RGBA", "PNG"),
    "gray PNG with transparency": image("LA", "PNG"),
    "PNG with a transparent color": image("RGB", "PNG", transparency=(0, 0, 0)),
    "PNG of 16 bits": image("I;16", "PNG"),
    "TIFF of floats": image("F", "TIFF", compression="tiff_deflate"),
    "TIFF with transparency": image("RGBA", "TIFF", compression="tiff_deflate"),
    "TIFF in one strip": image("RGBA", "TIFF", compression="tiff_deflate", tiffinfo={278: SIDE}),
    "JPEG of four channels": image("CMYK", "JPEG"),
    "JPEG that is turned": turned,
    "progressive JPEG of 30 megapixels": image("CMYK", "JPEG", 5477, progressive=True, subsampling=0),
    "progressive JPEG": image("CMYK", "JPEG", progressive=True, subsampling=0),
    "GIF with transparency": image("RGBA", "GIF"),
    "WebP of 16 megapixels": image("RGBA", "WEBP", 4000, quality=1, method=0),
    "HEIC with transparency of 25 megapixels": heic_photo,
    "PNG of 64 megapixels": image("RGB", "PNG", 8000),
}
ARCHIVES = {
    "tar.gz with a path of 16,000 parts": lambda: deep_path(16_000),
    "tar.gz with a path of 100,000 parts": lambda: deep_path(100_000),
    "tar.gz of 20,000 paths of 1,000 emoji": long_paths,
    "zip of 400,000 files": long_listing,
    "zip of 50,000 classes": many_classes,
    "zip of eight images of 50 megapixels and 40 MiB": large_images,
    "tar with three large global headers": global_headers,
    "tar.gz with endless sparse headers": sparse_headers,
    "tar.xz with a dictionary of 512 MiB": large_dictionary,
}
RUNS = {
    "run with a history of 32 MiB": run_zip(long_history),
    "run with a line of 32 MiB in its history": run_zip(long_line),
    "run with 900,000 tensors": run_zip(many_tensors),
    "run in a zip of runs, stored in random order": run_zip(shuffled_members),
}
AT_ONCE = {
    "eight PNGs with transparency at once": image("RGBA", "PNG"),
    "four tar.xz with dictionaries of 96 MiB at once": packed_widely,
}
OWN = {
    "dataset: eight PNGs with transparency": image("RGBA", "PNG"),
    "dataset: zip of eight images of 50 megapixels and 40 MiB": large_images,
    "dataset: tar.gz of 20,000 paths of 1,000 emoji": long_paths,
    "dataset: zip of 50,000 classes": many_classes,
    "dataset: zip of 400,000 files": long_listing,
    "dataset: tar.xz with a dictionary of 512 MiB": large_dictionary,
}
FOLDERS = {"folder of twelve files of 40 MiB": large_file}
KINDS = {**IMAGES, **ARCHIVES, **FOLDERS, **RUNS, **AT_ONCE, **OWN}


def read(kind: str, path: Path) -> str:
    """Read an upload as the server does, and return the sentence that rejects it, or ""."""
    try:
        if kind in OWN:
            files = files_at(path)
            if "PNGs" in kind:
                data = path.read_bytes()
                files = ((f"a/{number}.png", data + bytes([number])) for number in range(8))
            dataset = create_dataset("Own").dataset
            try:
                added = add_files(dataset, files)
            finally:
                uploads_of(dataset)  # which the page shows next
            return "" if added.added else added.sentence
        if "PNGs" in kind:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda content: load_image(content, 32), [path.read_bytes()] * 8))
        elif kind in IMAGES:
            load_image(path.read_bytes(), 32)
        elif kind in RUNS:
            with path.open("rb") as file:
                (outcome,) = import_all(RunStore(path.parent / "runs"), file, "runs.zip")
            return outcome if isinstance(outcome, str) else ""
        else:
            if kind in FOLDERS:
                content = path.read_bytes()
                path = save_folder("folder.zip", ((f"{'ab'[n % 2]}/{n}.png", content) for n in range(12)))
            data = DataSettings(dataset=str(path), image_size=32, crop_padding=0)
            copies = [data]
            if kind in AT_ONCE:  # links, because the same archive is listed once
                links = [path.with_name(f"upload {number}") for number in range(4)]
                for link in links:
                    link.symlink_to(path)
                copies = [data.model_copy(update={"dataset": str(link)}) for link in links]
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(scan, copies))
            if kind not in AT_ONCE:
                load_dataset(data, 0)
    except UserError as error:
        return str(error)
    return ""


def forked(work: Callable[[], object]) -> object:
    """Do work in a child process and return what it returned."""
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(sender, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else None


def trained(folder: Path) -> object:
    """Train a small network and return its figures."""
    run: Run = RunStore(folder / "trainings").create(settings(), "quick")
    run_training(run, Stop())
    return figures(run)


def limit_data(mib: int) -> None:
    """Let the data of this process grow by so much and no more."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
    most = int(line.split()[1]) * 1024 + mib * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def measure(kind: str, folder: Path) -> dict[str, object]:
    """Return the peak in MiB over what the process had, the sentence that rejected the upload, and what became of training."""
    path = folder / "upload"
    forked(lambda: path.write_bytes(KINDS[kind]()))

    def work() -> dict[str, object]:
        alone, beside = trained(folder), []
        limit_data(LIMIT)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        done = threading.Event()

        def train() -> None:
            while not beside or not done.is_set():
                beside.append(trained(folder) == alone)

        training = threading.Thread(target=train)
        training.start()
        try:
            sentence = read(kind, path)
        finally:
            done.set()
            training.join()
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        return {"peak_mib": round(peak), "rejected": sentence, "trainings": len(beside), "same": all(beside)}

    return {"upload": kind, **(forked(work) or DIED)}  # type: ignore[dict-item]


def is_harmless(figure: dict[str, Any]) -> bool:
    """Return whether an upload kept to the limit, and the training beside it gave the same figures as one alone."""
    return bool(figure["peak_mib"] <= LIMIT and figure["trainings"] and figure["same"])


def main() -> None:
    """Print a line of JSON for each kind. Exits with an error if one takes too much memory or disturbs the training."""
    failed = []
    for kind in sys.argv[1:] or KINDS:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["EXPERTNET_DATA"] = folder
            figure = measure(kind, Path(folder))
        print(json.dumps(figure), flush=True)
        if not is_harmless(figure):
            failed.append(kind)
    if failed:
        sys.exit(f"Over {LIMIT} MiB, or with an effect on the training: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
