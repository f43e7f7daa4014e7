"""Findings as files: tables as CSV, charts as SVG and PNG, and an index with every sentence and method."""

from collections.abc import Iterable
from pathlib import Path

from expertnet.charts.base import to_file
from expertnet.errors import RunError
from expertnet.findings.finding import Finding
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.utils.files import write_atomically
from expertnet.utils.progress import Report
from expertnet.utils.text import escape_for_file, to_csv

INDEX = "index.md"


def write_findings(
    findings: Iterable[Finding], folder: Path, title: str, of: str, more: str, progress: Report, caveat: str = ""
) -> list[Path]:
    """Write findings into a folder, which is created if needed, and return the files.

    The index begins with `of`, which later reports look for, and `more` about the network, and ends with the caveat. Raises as
    `refuse_other_report` does.
    """
    refuse_other_report(folder, of)
    written, lines = [], [f"# Routing of {escape_for_file(title)}", "", f"{of}{more}", ""]
    folder.mkdir(parents=True, exist_ok=True)
    # written first, so that a report that is cut off can be written again
    write_atomically(folder / INDEX, "\n".join(lines).encode())
    for finding in findings:
        progress(f"Writing {finding.name}", None)
        files = {"csv": to_csv(finding.table).encode()}
        if finding.chart is not None:
            files |= {"svg": to_file(finding.chart, "svg"), "png": to_file(finding.chart, "png")}
        for ending, content in files.items():
            written.append(folder / f"{finding.name}.{ending}")
            write_atomically(written[-1], content)
        image = f"![{finding.name}]({finding.name}.svg)\n\n" if "svg" in files else ""
        lines.append(f"## {escape_for_file(finding.sentence)}\n\n{image}{finding.method} [Table]({finding.name}.csv)\n")
    if caveat:
        lines.append(f"{escape_for_file(caveat)}\n")
    written.append(folder / INDEX)
    write_atomically(written[-1], "\n".join(lines).encode())
    return written


def refuse_other_report(folder: Path, of: str) -> None:
    """Raise RunError if the folder has the index of a report that is not `of` the same, since both reports' files would mix."""
    try:
        index = (folder / INDEX).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    if of not in index:
        raise RunError(f"{folder} already has an {INDEX} of another report. Choose an empty or a new folder.")


def refuse_other_epoch(run: Run, checkpoint: Checkpoint, predictor: Predictor) -> None:
    """Raise RunError if the training has replaced the weights of a report's network, since later results are of the new ones."""
    epoch = load_predictor(run, checkpoint).epoch
    if epoch != predictor.epoch:
        raise RunError(
            f"The report was not finished, because the training of run {run.name} saved epoch {epoch} during the report on epoch "
            f"{predictor.epoch}. It would mix the results of both. Make the report again, or wait until the training ends."
        )
