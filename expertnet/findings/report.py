"""The routing lab of a run as files."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from expertnet.data.splits import Split
from expertnet.errors import DatasetError, RunError
from expertnet.findings import (
    classes,
    controls,
    damage,
    experts,
    factors,
    freezing,
    headroom,
    likeness,
    reliance,
    seeds,
    stability,
    through_training,
)
from expertnet.findings.expert_card import cards, network_in_words, write_cards
from expertnet.findings.files import refuse_other_epoch, refuse_other_report, write_findings
from expertnet.findings.finding import Finding
from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import cached_routing, load_own_test_set, route_test_set
from expertnet.routing.ablations import ABLATIONS
from expertnet.routing.effects import KINDS, load_images, parts
from expertnet.routing.freezing import FREEZING
from expertnet.routing.headroom import HEADROOM
from expertnet.routing.lab import Lab, open_lab
from expertnet.routing.likeness import LIKENESS
from expertnet.routing.measure import Measure
from expertnet.routing.policies import ROUTINGS
from expertnet.routing.probe import cached_probes, measure_probes
from expertnet.routing.robustness import ROBUSTNESS
from expertnet.routing.stability import STABILITY
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.utils.progress import Report, silent

T = TypeVar("T")


def write_report(
    run: Run, folder: Path, checkpoint: Checkpoint = "best", progress: Report = silent, part: Part | None = None
) -> list[Path]:
    """Write all findings of a run into a folder, which is created if needed, and return the files.

    Changes of the routing are measured on `part`, by default on the validation images, or on the test images if there are none.
    Measures what is not cached yet. Without the test images, only cached findings are written, and the index says so.
    Raises RunError if nothing is cached, if the folder holds the index of another report, or if the training saves another epoch
    meanwhile: the index then has no findings.
    """
    predictor, part = load_predictor(run, checkpoint), part or parts(run)[0]
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

    def findings() -> Iterator[Finding]:
        yield from _findings(run, checkpoint, lab, split, progress, part)
        refuse_other_epoch(run, checkpoint, predictor)  # before the index is complete

    written = write_findings(findings(), folder, run.title, of, f", epoch {predictor.epoch}.", progress, caveat)
    if lab.num_experts == 1:
        return written
    measured, images = ABLATIONS.cached(run, part, checkpoint), None if split is None else split.images
    return [*write_cards(lab, measured, network_in_words(run, predictor), images, folder), *written]


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
    yield from _controls(run, split is not None, progress)
    yield from through_training.through_training(run.metrics(), run.watched_images)
    used = (through_training.training_utilization(run.metrics(), block, run.watched_images) for block in blocks)
    yield from (finding for finding in used if finding is not None)


def _effects(
    run: Run, checkpoint: Checkpoint, lab: Lab, measures: bool, progress: Report, part: Part
) -> Iterator[Finding]:
    """Yield the findings on changes of the routing; unless `measures`, only those that are cached."""
    images, blocks = cache(lambda: load_images(run, part, progress)), lab.block_numbers

    def known(measure: Measure[T]) -> T | None:
        found = measure.cached(run, part, checkpoint)
        return measure.measure(run, images(), checkpoint, progress) if found is None and measures else found

    routings, ablations, frozen, better = known(ROUTINGS), known(ABLATIONS), known(FREEZING), known(HEADROOM)
    damaged, alike, moved = known(ROBUSTNESS), known(LIKENESS), known(STABILITY)
    if routings is not None:
        yield reliance.policies(routings)
    if frozen is not None:
        yield freezing.freezing(frozen, blocks)
    if ablations is not None:
        for kind in KINDS:
            yield reliance.ablation(ablations, kind, blocks)
        yield from (reliance.ablation_by_class(ablations, "zero", lab.classes, block) for block in blocks)
    if better is not None:
        yield headroom.headroom(better)
    if damaged is not None:
        yield damage.calibration(damaged)
        yield damage.corruptions(damaged)
    if alike is not None:
        yield from (likeness.likeness(alike, blocks, block) for block in blocks)
    if moved is not None:
        yield stability.stability(moved, blocks)
    yield cards(lab, ablations)


def _controls(run: Run, measures: bool, progress: Report) -> Iterator[Finding]:
    known = controls.known(run, RunStore(run.path.parent))
    if known is not None:
        plan, finding = known
        yield finding
        yield controls.runs_of_controls(plan)
        learned = seeds.learned_runs(plan)
        measures = measures and len(learned) > 1
        yield from (seeds.measure_each(learned, progress) if measures else seeds.findings_over_seeds(learned)) or ()
