"""Export runs: one in the format you choose, or several as a zip of zips."""

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from expertnet.errors import RunError
from expertnet.findings.card import measure_for_card, model_card
from expertnet.service import snippets
from expertnet.store.checks import check_network
from expertnet.store.index import rows_of
from expertnet.store.run import Run
from expertnet.transfer.export_network import network_file
from expertnet.transfer.export_run import export_run, export_runs, export_size
from expertnet.transfer.format import MAX_RUNS, MAX_UNPACKED
from expertnet.transfer.onnx_graph import require_packages
from expertnet.transfer.onnx_precision import Precision
from expertnet.transfer.snippets import for_network, for_onnx
from expertnet.ui.background import in_background, threads
from expertnet.ui.tasks import Work
from expertnet.utils.files import version_of
from expertnet.utils.progress import Cancelled, Report, ShouldStop
from expertnet.utils.text import escape

RUN, ONNX, PAGE, NETWORK, CARD = "Whole run", "Network as ONNX", "Web page", "Network for Python", "Model card"
SERVICE = "Prediction service"
FORMATS = {
    RUN: "Weights, settings, metrics and notes, to import elsewhere",
    ONNX: "For any program, with code that classifies images",
    PAGE: "Classifies images in a browser, offline",
    NETWORK: "A safetensors file, for `ExpertNet.from_pretrained`",
    CARD: "Figures, data, limits and settings, in Markdown",
    SERVICE: "Classifies images over HTTP, with client code",
}
CONVERTED = {ONNX: ("onnx", "zip"), PAGE: ("html", "html")}  # format on the command line, ending
CODE = 400  # pixels of the code beside a download
LIMIT = 10  # seconds that a measurement for the card may take without being asked for
TICK = 0.2  # seconds between two looks at whether to stop


def export_button(*runs: Run, key: str = "") -> None:
    """Draw the export of one run in several formats, or of several as a zip of zips, which is made when the user clicks."""
    if len(runs) == 1:
        with st.popover("Export", icon=":material/download:", key=f"export {key} {runs[0].id}"):
            _formats(runs[0], key)
        return
    ids = [run.id for run in runs]
    _download(
        f"Export {len(runs):,}",
        lambda: _packed(runs),
        "runs.zip",
        f"{key} {' '.join(ids[: MAX_RUNS + 1])}",
        _why_not(runs),
        "Downloads weights, settings, metrics and notes as zip files to import elsewhere.",
    )


def _formats(run: Run, key: str) -> None:
    """Draw the choice of a format, and the download."""
    key = f"{key} {run.id}"
    format = st.radio("Export", list(FORMATS), captions=list(FORMATS.values()), key=f"format {key}")
    if format == RUN:
        _download("Download", lambda: _packed((run,)), f"run-{run.id}.zip", key, _why_not((run,)))
        return
    try:
        check_network(run)
        version = version_of(run.checkpoints.path("best"))
        if format in CONVERTED:
            require_packages()
    except (RunError, OSError) as error:
        _download("Download", bytes, "", key, str(error))
        return
    if format == NETWORK:
        name = f"{run.id}.safetensors"
        _download("Download", lambda: network_file(run, "best")[0], name, key)
        st.code(for_network(name), wrap_lines=True, width=CODE)
    elif format == SERVICE:
        _service(run)
    elif format == CARD:
        measured = in_background(
            (key, format, version),
            "Measure the images",
            partial(measure_for_card, run, "best", threads=threads()),
            LIMIT,
        )
        if measured is not None:
            _download("Download", lambda: model_card(run).encode(), f"{run.id}.md", key)
    else:
        kind, ending = CONVERTED[format]
        precision = st.segmented_control(
            "Number format",
            list(Precision),
            default=Precision.FLOAT32,
            key=f"precision {key}",
            required=True,
            help="float16 and int8 make the network smaller. int8 is calibrated on the validation images.",
        )
        work = in_own_process(run, kind, "--precision", precision)
        converted: Converted | None = in_background(
            (key, kind, version, precision), "Convert the network", work, unasked=0
        )
        if converted is not None:
            content, sentence = converted
            st.caption(escape(sentence), width=CODE)
            name = f"{run.id}-{precision}.{ending}"
            _download("Download", lambda: content, name, key)
            if format == ONNX:
                st.code(for_onnx(name), language="bash", wrap_lines=True, width=CODE)


def _service(run: Run) -> None:
    """Draw the command that serves a network, and code that asks the service."""
    st.code(snippets.command(run), "bash", wrap_lines=True)
    for tab, code, language in zip(
        st.tabs(["curl", "Python", "JavaScript"]),
        (snippets.curl(), snippets.python(run), snippets.javascript(run)),
        ("bash", "python", "javascript"),
        strict=True,
    ):
        tab.code(code, language, wrap_lines=True)


class Converted(NamedTuple):
    """A network for others."""

    content: bytes
    sentence: str  # what was checked, and what accuracy the precision keeps


def in_own_process(run: Run, format: str, *options: str) -> Work:
    """Return the work of exporting a run by the command line, because the conversion sets flags of its whole process."""

    def work(progress: Report, cancelled: ShouldStop) -> Converted:
        progress("Converting and checking the network", None)
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "export")
            words = [
                "export",
                run.id,
                "--runs-dir",
                str(run.path.parent.resolve()),
                "--format",
                format,
                "--output",
                str(output),
            ]
            process = subprocess.Popen(
                [sys.executable, "-m", "expertnet", *words, *options],
                cwd=Path(__file__).parents[2],
                env=os.environ | {"OMP_NUM_THREADS": str(threads())},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            printed, said = _until_ended(process, cancelled)
            if process.returncode:
                raise RunError(said.strip().rpartition("\n")[2] or "The conversion ended unexpectedly. Try it again.")
            return Converted(output.read_bytes(), printed.strip().partition("\n")[2])

    return work


def _until_ended(process: subprocess.Popen[str], cancelled: ShouldStop) -> tuple[str, str]:
    """Wait for a process and return what it said on standard output and standard error. Raises Cancelled."""
    while True:
        try:
            return process.communicate(timeout=TICK)
        except subprocess.TimeoutExpired:
            if cancelled():
                process.kill()
                process.communicate()
                raise Cancelled from None


def _download(label: str, content: Callable[[], bytes], name: str, key: str, why_not: str = "", help: str = "") -> None:
    """Draw a download that is made when the user clicks, or say why there is none."""
    st.download_button(
        label,
        content,
        name,
        "application/zip" if name.endswith(".zip") else None,
        key=f"download {key} {name}",
        help=escape(why_not) or help or None,
        on_click="ignore",  # nothing on the page changes
        icon=":material/download:",
        disabled=bool(why_not),
    )


def _why_not(runs: tuple[Run, ...]) -> str:
    """Return why the runs cannot be exported together, or "" if they can."""
    if len(runs) > MAX_RUNS:
        return f"At most {MAX_RUNS} runs can be exported at once. Select fewer."
    try:
        if sum(export_size(run) for run in runs) > MAX_UNPACKED:
            return f"These runs have more than {MAX_UNPACKED >> 30} GiB together. Export them one at a time."
    except (RunError, OSError) as error:
        return str(error)
    return next((row.damage for row in rows_of(runs) if row.damage), "")


def _packed(runs: tuple[Run, ...]) -> bytes:
    file = io.BytesIO()
    if len(runs) == 1:
        export_run(runs[0], file)
    else:
        export_runs(runs, file)
    return file.getvalue()
