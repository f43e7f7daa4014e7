"""The routing lab of a run as files: every table as CSV, every chart as SVG and PNG, and an index that says what is seen.

In this module: write_report.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from expertnet.charts.base import to_file
from expertnet.data.splits import Split
from expertnet.errors import DatasetError, RunError
from expertnet.findings import ablations, classes, experts, through_training
from expertnet.findings import policies as policy_findings
from expertnet.findings.finding import Finding
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import kept_routing, load_own_test_set, route_test_set
from expertnet.routing.ablations import ablation_name, measure_ablations
from expertnet.routing.effects import cached_effects
from expertnet.routing.lab import Lab, open_lab
from expertnet.routing.policies import measure_policies
from expertnet.store.run import Run
from expertnet.store.weights_files import Checkpoint
from expertnet.utils.files import write_atomically
from expertnet.utils.progress import Report, silent
from expertnet.utils.text import escape_for_file, to_csv

INDEX = "index.md"


def write_report(run: Run, folder: Path, checkpoint: Checkpoint = "best", progress: Report = silent) -> list[Path]:
    """Writes all findings of a run into a folder, which is made where it is missing, and returns the files.

    What takes the network over the test set again is measured first, unless it was kept. Without the images of the test set,
    what lies in the run's folder is written, and the index says what is missing. Raises RunError where there is nothing at all,
    and where the folder has an index of something else, whose files would stay among these.
    """
    predictor = load_predictor(run, checkpoint)
    of = f"Run {run.id}, its {checkpoint} checkpoint"
    _refuse_other_report(folder, of)
    routed, split, missing = kept_routing(run, checkpoint), None, ""
    try:
        split, same = load_own_test_set(run, progress)
        missing = "" if same else "the images are not those that the run was trained on."
    except DatasetError as error:
        missing = str(error)
    if split is not None:
        routed = route_test_set(run, split, checkpoint, progress)  # what was kept, if it is of these images
    if routed is None:
        raise RunError(missing)
    lab = open_lab(routed, predictor.classes)
    written, lines = [], [f"# Routing of {escape_for_file(run.title)}", "", f"{of}, epoch {predictor.epoch}.", ""]
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / INDEX, "\n".join(lines).encode())  # first, so that one cut off belongs to its run too
    for finding in _findings(run, checkpoint, lab, split, progress):
        progress(f"Writing {finding.name}", None)
        files = {"csv": to_csv(finding.table).encode()}
        if finding.chart is not None:
            files |= {"svg": to_file(finding.chart, "svg"), "png": to_file(finding.chart, "png")}
        for ending, content in files.items():
            written.append(folder / f"{finding.name}.{ending}")
            write_atomically(written[-1], content)
        image = f"![{finding.name}]({finding.name}.svg)\n\n" if "svg" in files else ""
        lines.append(f"## {escape_for_file(finding.sentence)}\n\n{image}{finding.method} [Table]({finding.name}.csv)\n")
    if missing:
        lines.append(
            f"What needs the images of the test set is missing, or of other images: {escape_for_file(missing)}\n"
        )
    written.append(folder / INDEX)
    write_atomically(written[-1], "\n".join(lines).encode())
    return written


def _refuse_other_report(folder: Path, of: str) -> None:
    try:
        if of in (folder / INDEX).read_text(encoding="utf-8", errors="replace"):
            return
    except FileNotFoundError:
        return
    raise RunError(
        f"{folder} has an {INDEX} that does not say it is of this run and checkpoint; name an empty folder, or one that is not "
        "there yet."
    )


def _findings(run: Run, checkpoint: Checkpoint, lab: Lab, split: Split | None, progress: Report) -> Iterator[Finding]:
    blocks = range(1, lab.num_blocks + 1)
    yield from (classes.classes(lab, block) for block in blocks)
    made = [
        classes.information(lab),
        classes.plane(lab),
        classes.mistakes(lab),
        experts.utilization(lab),
        experts.entropies(lab),
    ]
    yield from (finding for finding in (*made, experts.specializations(lab)) if finding is not None)
    policies = cached_effects(run, "policies", checkpoint)
    if policies is None and split is not None:
        policies = measure_policies(run, split, lab.routed, checkpoint, progress)
    if policies is not None:
        yield policy_findings.policies(policies)
    for renormalise in (True, False):
        effects = cached_effects(run, ablation_name(renormalise), checkpoint)
        if effects is None and split is not None:
            effects = measure_ablations(run, split, lab.routed, renormalise, checkpoint, progress)
        if effects is not None:
            yield ablations.ablation(effects, lab, renormalise)
            if renormalise:
                yield from (ablations.ablation_by_class(effects, lab, block) for block in blocks)
    yield from through_training.through_training(run.metrics(), run.watched_images)
    used = (through_training.training_utilization(run.metrics(), block, run.watched_images) for block in blocks)
    yield from (finding for finding in used if finding is not None)
