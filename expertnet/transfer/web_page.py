"""Export a network as one HTML file that classifies images in a browser, offline, with onnxruntime-web."""

import gzip
import hashlib
import html
import json
import re
import shutil
import subprocess
import tarfile
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from expertnet.data.cache import data_root
from expertnet.errors import RunError
from expertnet.store.run import Run
from expertnet.transfer.export_onnx import Exported
from expertnet.transfer.snippets import RUNTIME, javascript
from expertnet.utils.files import write_atomically
from expertnet.utils.progress import Report, silent
from expertnet.utils.text import counted

VERSION = "1.30.0"  # of onnxruntime-web
SIZE = "33 MB"
# Of the two files that a page needs
SHA256 = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True, eq=False)
class Runtime:
    """The parts of onnxruntime-web: its JavaScript module, and the WebAssembly that it runs."""

    module: bytes
    wasm: bytes


def load_runtime(progress: Report = silent) -> Runtime:
    """Return onnxruntime-web, which npm downloads unless it is cached. Raises RunError."""
    folder = data_root() / "downloads" / f"{RUNTIME}-{VERSION}"
    paths = {folder / name: digest for name, digest in SHA256.items()}
    if not all(_is_whole(path, digest) for path, digest in paths.items()):
        progress(f"Downloading {RUNTIME} ({SIZE})", None)
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".runtime-", dir=folder.parent) as place, tarfile.open(_pack(place)) as archive:
            for path, digest in paths.items():
                member = archive.extractfile(f"package/dist/{path.name}")
                content = member.read() if member else b""
                if _digest(content) != digest:
                    raise RunError(
                        f"npm delivered another {path.name} than that of {RUNTIME} {VERSION}, so it is not used. Check which registry "
                        "npm uses, then try again, or export as ONNX."
                    )
                write_atomically(path, content)
    module, wasm = (path.read_bytes() for path in paths)
    return Runtime(module, wasm)


def _pack(folder: str) -> Path:
    """Let npm, which checks what it downloads, put the package into a folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise RunError(
            f"The web page needs {RUNTIME} ({SIZE}), which npm downloads. Install Node.js, which contains npm, or export as ONNX."
        )
    command = [npm, "pack", f"{RUNTIME}@{VERSION}", "--pack-destination", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = re.search(r"code (\w+)", done.stderr)
        raise RunError(
            f"The web page needs {RUNTIME} ({SIZE}), which npm could not download ({reason[1] if reason else 'no reason given'}). "
            "Check the network, then try again, or export as ONNX."
        )
    return Path(folder, f"{RUNTIME}-{VERSION}.tgz")


def _is_whole(path: Path, digest: str) -> bool:
    return path.is_file() and _digest(path.read_bytes()) == digest


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def web_page(run: Run, exported: Exported, runtime: Runtime) -> bytes:
    """Return the HTML file of a network."""
    predictor = exported.predictor
    classes = counted(len(predictor.classes), "class", "classes")
    modules = {RUNTIME: runtime.module, "classify": javascript(predictor.info).encode()}
    imports = {name: f"data:text/javascript;base64,{b64encode(code).decode()}" for name, code in modules.items()}
    texts = {
        "title": html.escape(run.title),
        "about": html.escape(f"Says which of {classes} an image shows: {', '.join(predictor.classes)}."),
        "origin": html.escape(f"Run {run.id}, epoch {predictor.epoch}, {exported.precision.value}."),
        "version": VERSION,
        "imports": json.dumps({"imports": imports}),
        "blocks": json.dumps(predictor.settings.model.routed_blocks),
        "runtime": b64encode(gzip.compress(runtime.wasm, mtime=0)).decode(),
        "model": b64encode(gzip.compress(exported.content, mtime=0)).decode(),
    }
    parts = TEMPLATE.read_text(encoding="utf-8").split("{{")
    page = parts[0]
    for part in parts[1:]:  # in one pass, since a title can hold the name of another text
        name, _, rest = part.partition("}}")
        page += texts[name] + rest
    return page.encode()
