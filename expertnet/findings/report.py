"""The routing lab of a run as files."""

from collections.abc import Iterator
from pathlib import Path

from expertnet.data.splits import Split
from expertnet.errors import DatasetError, RunError
from expertnet.findings import classes, controls, effects, experts, factors, through_training
from expertnet.findings.files import refuse_other_report, write_findings
from expertnet.findings.finding import Finding
from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import cached_routing, load_own_test_set, route_test_set
from expertnet.routing.ablations import ablate_all
from expertnet.routing.effects import KINDS, cached_ablations, cached_routings, load_images, measure, parts
from expertnet.routing.lab import Lab, open_lab
from expertnet.routing.policies import route_all
from expertnet.routing.probe import cached_probes, measure_probes
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.utils.progress import Report, silent


def write_report(
    run: Run, folder: Path, checkpoint: Checkpoint = "best", progress: Report = silent, part: Part | None = None
) -> list[Path]:
    """Write all findings of a run into a folder, which is created if needed, and return the files.

    Changes of the routing are measured on `part`, by default on the validation images, or on the test images if there are none.
    Measures what is not cached yet. Without the test images, only cached findings are written, and the index says so.
    Raises RunError if nothing is cached, or if the folder holds the index of another report.
    """
    predictor = load_predictor(run, checkpoint)
    of = f"Run {run.id}, its {checkpoint} checkpoint"  # later versions find this line in the index
    refuse_other_report(folder, of)
    routed, split, caveat = cached_routing(run, checkpoint), None, ""
    try:
        split = load_own_test_set(run, progress)
    except DatasetError as error:
        if routed is None:
            raise RunError(str(error)) from error
        caveat = f"Findings that need the test images may be missing. {error}"
    else:
        routed = route_test_set(run, split, checkpoint, progress)
    lab = open_lab(routed, predictor.classes)
    findings = _findings(run, checkpoint, lab, split, progress, part or parts(run)[0])
    return write_findings(findings, folder, run.title, of, f", epoch {predictor.epoch}.", progress, caveat)


def _findings(
    run: Run, checkpoint: Checkpoint, lab: Lab, split: Split | None, progress: Report, part: Part
) -> Iterator[Finding]:
    """Yield every finding that can be made; without `split`, only from cached effects."""
    blocks = lab.block_numbers
    yield from (classes.classes(lab, block) for block in blocks)
    yield classes.information(lab)
    probes = cached_probes(run, checkpoint, split)
    yield classes.probe(probes or measure_probes(run, lab.routed, split, checkpoint, progress), lab)
    yield classes.plane(lab)
    dataset = run.settings().data.dataset
    for known in (factors.factors(lab, dataset), *(factors.values(lab, dataset, block) for block in blocks)):
        if known is not None:
            yield known
    yield experts.utilization(lab)
    yield experts.entropies(lab)
    yield experts.specializations(lab)
    if lab.num_experts > 1:
        yield from _effects(run, checkpoint, lab, split is not None, progress, part)
    yield from _controls(run)
    yield from through_training.through_training(run.metrics(), run.watched_images)
    used = (through_training.training_utilization(run.metrics(), block, run.watched_images) for block in blocks)
    yield from (finding for finding in used if finding is not None)


def _effects(
    run: Run, checkpoint: Checkpoint, lab: Lab, measures: bool, progress: Report, part: Part
) -> Iterator[Finding]:
    """Yield the findings on changes of the routing; unless `measures`, only those that are cached."""
    routings, ablations = cached_routings(run, part, checkpoint), cached_ablations(run, part, checkpoint)
    if measures and (routings is None or ablations is None):
        images = load_images(run, part, progress)
        routings = routings or measure(route_all, run, images, checkpoint, progress)
        ablations = ablations or measure(ablate_all, run, images, checkpoint, progress)
    if routings is not None:
        yield effects.policies(routings)
    if ablations is not None:
        for kind in KINDS:
            yield effects.ablation(ablations, kind, lab.block_numbers)
        yield from (effects.ablation_by_class(ablations, "zero", lab.classes, block) for block in lab.block_numbers)


def _controls(run: Run) -> Iterator[Finding]:
    known = controls.known(run, RunStore(run.path.parent))
    if known is not None:
        plan, finding = known
        yield finding
        yield controls.runs_of_controls(plan)
