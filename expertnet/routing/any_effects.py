"""Any torch module with changed routing: its answers under other policies and without each expert, by whole passes.

As for the lab's own networks, every change is measured as shipped and with batch norms that are estimated again. An expert's part
of the output is not known, so experts are switched off, but not replaced by their mean.
"""

import torch
from torch import Tensor

from expertnet.network.routing_metrics import usage
from expertnet.routing.any_network import AnyNetwork, ChangesOf, always, unchanged
from expertnet.routing.effects import AVERAGED, POLICIES, SHUFFLED, SHUFFLES, Ablations, Images, Routings
from expertnet.routing.interventions import ablated
from expertnet.routing.policies import OtherRouting
from expertnet.utils.progress import Report, ShouldStop, never, silent


def route_any(
    network: AnyNetwork, images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Routings:
    """Return the answers under each policy, as `route_all` does. Takes 2 * len(POLICIES) + 2 * (1 + SHUFFLES) passes.

    Raises NetworkError or Cancelled.
    """
    training = images.training.take(torch.arange(min(len(images.training), AVERAGED)))
    total, done = 2 * len(POLICIES) + len(SHUFFLED) * (1 + SHUFFLES), 0
    found: list[tuple[Tensor, Tensor]] = []
    for again, draws in ((False, 1), (True, SHUFFLES)):
        control = network.estimated(training) if again else network
        _, sample = control.outputs(training, unchanged, cancelled=cancelled)
        blocks, classes = range(1, len(network.layers) + 1), len(network.classes)
        other = OtherRouting.after(blocks, sample, training.labels, classes)
        logits, routing = control.outputs(images.evaluated, unchanged, cancelled=cancelled)
        # of SHUFFLED, the batch norms are estimated for one draw
        norms = {
            name: control.estimated(training, changes_of) if again else control
            for name, changes_of in other.policies(sample, training.labels, 1)
        }
        rows = [logits.argmax(1)]
        for name, changes_of in other.policies(routing, images.evaluated.labels, draws):
            progress("Routing the images in other ways", done / total)
            rows.append(norms[name].outputs(images.evaluated, changes_of, cancelled=cancelled)[0].argmax(1))
            done += 1
        right = (torch.stack(rows[len(POLICIES) :]) == images.evaluated.labels).float().mean(1)
        found.append((torch.stack(rows[: len(POLICIES)]), right.view(len(SHUFFLED), draws)))
    (shipped, one_draw), (estimated, shuffled) = found
    labels = images.evaluated.labels.clone()
    return Routings(images.part, labels, torch.stack([shipped, estimated]), shuffled, one_draw[:, 0])


def ablate_any(
    network: AnyNetwork, images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Ablations:
    """Return the answers without each expert, as `ablate_all` does, but switched off alone. Takes 2 + 2BK passes.

    Raises NetworkError or Cancelled.
    """

    def answers(network: AnyNetwork, changes_of: ChangesOf) -> Tensor:
        return network.outputs(images.evaluated, changes_of, cancelled=cancelled)[0].argmax(1)

    logits, routing = network.outputs(images.evaluated, unchanged, cancelled=cancelled)
    learned = torch.stack([logits.argmax(1), answers(network.estimated(images.training), unchanged)])
    _, blocks, experts = routing.shape
    shipped, changed = [], []
    for place in range(blocks * experts):
        progress("Switching off each expert in turn", place / blocks / experts)
        without = always({place // experts + 1: ablated(place % experts)})
        shipped.append(answers(network, without))
        changed.append(answers(network.estimated(images.training, without), without))
    shipped_BKN, changed_BKN = (torch.stack(found).unflatten(0, (blocks, experts)) for found in (shipped, changed))
    labels = images.evaluated.labels.clone()
    return Ablations(images.part, labels, learned, shipped_BKN, changed_BKN[None], usage(routing))
