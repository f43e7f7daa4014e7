"""Any torch module with changed routing: its answers under other policies and without each expert, by whole passes.

As for the lab's own networks, every change is measured as shipped and with batch norms that are estimated again. An expert's part
of the output is not known, so experts are switched off, but not replaced by their mean.
"""

import torch
from torch import Tensor

from expertnet.data.splits import Split
from expertnet.network.model import UNCHANGED, Changes
from expertnet.network.routing_metrics import usage
from expertnet.routing.any_network import AnyNetwork, ChangesOf, always, unchanged
from expertnet.routing.effects import AVERAGED, POLICIES, SHUFFLED, SHUFFLES, Ablations, Images, Routings
from expertnet.routing.freezing import Frozen
from expertnet.routing.headroom import Headroom, search
from expertnet.routing.interventions import ablated, given, uniform
from expertnet.routing.policies import OtherRouting
from expertnet.routing.robustness import TRIED, Robustness, outcome, sampled
from expertnet.utils.progress import Report, ShouldStop, never, silent


def route_any(
    network: AnyNetwork, images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Routings:
    """Return the answers under each policy, as `route_all` does. Takes 2 * len(POLICIES) + 2 * (1 + SHUFFLES) passes.

    Raises NetworkError or Cancelled.
    """
    training = _sample(images)
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
    training = _sample(images)
    logits, routing = network.outputs(images.evaluated, unchanged, cancelled=cancelled)
    again = _answers(network.estimated(training), images, unchanged, cancelled)
    learned = torch.stack([logits.argmax(1), again])
    _, blocks, experts = routing.shape
    shipped, changed = [], []
    for place in range(blocks * experts):
        progress("Switching off each expert in turn", place / blocks / experts)
        without = always({place // experts + 1: ablated(place % experts)})
        shipped.append(_answers(network, images, without, cancelled))
        changed.append(_answers(network.estimated(training, without), images, without, cancelled))
    shipped_BKN, changed_BKN = (torch.stack(found).unflatten(0, (blocks, experts)) for found in (shipped, changed))
    labels = images.evaluated.labels.clone()
    return Ablations(images.part, labels, learned, shipped_BKN, changed_BKN[None], usage(routing))


def freeze_any(network: AnyNetwork, images: Images, progress: Report = silent, cancelled: ShouldStop = never) -> Frozen:
    """Return the answers with each block frozen in turn, as `freeze_each` does. Takes 2 * (B + 1) passes.

    Raises NetworkError or Cancelled.
    """
    training, blocks, learned, answers = _sample(images), len(network.layers), [], []
    for again in (False, True):
        control = network.estimated(training) if again else network
        mean_BK = usage(control.outputs(training, unchanged, cancelled=cancelled)[1])
        learned.append(_answers(control, images, unchanged, cancelled))
        rows = []
        for block in range(1, blocks + 1):
            progress("Freezing the routing of each block", (again * blocks + block - 1) / 2 / blocks)
            frozen = always({block: given(mean_BK[block - 1])})
            rows.append(_answers(network.estimated(training, frozen) if again else network, images, frozen, cancelled))
        answers.append(torch.stack(rows))
    return Frozen(images.part, images.evaluated.labels.clone(), torch.stack(learned), torch.stack(answers))


def calibrate_any(
    network: AnyNetwork, images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Robustness:
    """Return how certain the answers are under each policy of TRIED, as `measure_robustness` does, but without damage.

    How to damage images is not known, since they can be anything. Raises NetworkError or Cancelled.
    """
    training, split = _sample(images), sampled(images.evaluated)
    blocks, rows = range(1, len(network.layers) + 1), []
    mean_BK = usage(network.estimated(training).outputs(training, unchanged, cancelled=cancelled)[1])
    policies: dict[str, Changes] = {
        "learned": UNCHANGED,
        "mean": {block: given(mean_BK[block - 1]) for block in blocks},
        "uniform": dict.fromkeys(blocks, uniform),
    }
    for done, policy in enumerate(TRIED):
        progress("Measuring how certain the network is", done / len(TRIED))
        changes = always(policies[policy])
        logits, _ = network.estimated(training, changes).outputs(split, changes, cancelled=cancelled)
        rows.append(outcome(logits, split.labels))
    answers, confidence, loss = torch.stack(rows)[:, None].unbind(2)
    return Robustness(images.part, split.labels, answers.long(), confidence, loss)


def headroom_any(
    network: AnyNetwork, images: Images, progress: Report = silent, cancelled: ShouldStop = never
) -> Headroom:
    """Return which mistakes other weights would repair, as `search_headroom` does. Raises NetworkError or Cancelled."""
    blocks = range(1, len(network.layers) + 1)
    return search(network.differentiable, blocks, images, progress, cancelled)


def _sample(images: Images) -> Split:
    """Return at most AVERAGED training images in random order, always the same one, for mean weights and batch norms.

    Training images are often sorted by class. The first of them, or a batch of neighbors, would not stand for all.
    """
    order = torch.randperm(len(images.training), generator=torch.Generator().manual_seed(0))
    return images.training.take(order[:AVERAGED])


def _answers(network: AnyNetwork, images: Images, changes_of: ChangesOf, cancelled: ShouldStop) -> Tensor:
    return network.outputs(images.evaluated, changes_of, cancelled=cancelled)[0].argmax(1)
