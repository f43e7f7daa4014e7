"""The findings of the routing lab on any torch module, and its report."""

from collections.abc import Iterator
from pathlib import Path

from expertnet.findings import classes, damage, experts, freezing, headroom, reliance
from expertnet.findings.files import write_findings
from expertnet.findings.finding import Finding
from expertnet.routing.any_effects import ablate_any, calibrate_any, freeze_any, headroom_any, route_any
from expertnet.routing.any_network import AnyNetwork
from expertnet.routing.effects import Images
from expertnet.routing.lab import Lab
from expertnet.routing.probe import probe_all
from expertnet.utils.progress import Report, ShouldStop, never, silent
from expertnet.utils.text import escape_for_file


def findings_on(
    network: AnyNetwork, images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Iterator[Finding]:
    """Yield the findings on the evaluated images, those that take many passes last. Raises NetworkError or Cancelled."""
    lab = Lab(network.route(images.evaluated, progress, cancelled), network.classes)
    yield from (classes.classes(lab, block) for block in lab.block_numbers)
    yield classes.information(lab)
    yield classes.probe(probe_all(lab.routed, None, progress, cancelled), lab)
    yield classes.plane(lab)
    yield experts.utilization(lab)
    yield experts.entropies(lab)
    yield experts.specializations(lab)
    if lab.num_experts > 1:
        yield reliance.policies(route_any(network, images, progress, cancelled))
        yield freezing.freezing(freeze_any(network, images, progress, cancelled), lab.block_numbers)
        yield damage.calibration(calibrate_any(network, images, progress, cancelled))
        yield headroom.headroom(headroom_any(network, images, progress, cancelled))
        without = ablate_any(network, images, progress, cancelled)
        yield reliance.ablation(without, "zero", lab.block_numbers)
        yield from (reliance.ablation_by_class(without, "zero", lab.classes, block) for block in lab.block_numbers)


def write_report_on(
    network: AnyNetwork, images: Images, folder: Path, title: str, progress: Report = silent
) -> list[Path]:
    """Write all findings into a folder, which is created if needed, and return the files.

    The title is a name of the network: RunError is raised if the folder has the report of another one. Raises NetworkError, too.
    """
    where = "; ".join(f"block {number}: {', '.join(layer.names)}" for number, layer in enumerate(network.layers, 1))
    more = f". The routing weights are those of {escape_for_file(where)}."
    return write_findings(
        findings_on(network, images, progress), folder, title, f"Network {escape_for_file(title)}", more, progress
    )
