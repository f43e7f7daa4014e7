"""Time a few training steps of a network, for an estimate on a computer that has not trained one like it.

Only the forward and the backward pass of a small batch are timed: the first optimizer would load the compiler of torch, which
takes longer than all the rest. docs/benchmarks.md compares the result with trainings.
"""

import math
import threading
import time

import torch
import torch.nn.functional as F

from expertnet.network.cost import estimate, work
from expertnet.network.model import ExpertNet
from expertnet.settings.schema import Settings
from expertnet.training.compiling import is_worth_compiling
from expertnet.training.start import CLASSES_IF_UNKNOWN
from expertnet.utils.devices import resolve_device, resolve_precision
from expertnet.utils.progress import ShouldStop, never, raise_if_cancelled

MULTIPLY_ADDS = 4e9  # of a forward pass; fewer images take longer each than those of a whole batch
FEWEST, MOST = 2, 64  # images in a batch
MOST_MULTIPLY_ADDS, MOST_PARAMETERS = 4e10, 1e8  # a step of a larger network would take seconds, or much memory
STEPS, LIMIT = 4, 1.0  # at most so many steps; none begins after so many seconds
DISTURBED = 1.5  # times as long as its thread had a processor; such a step says nothing
FASTER, SLOWER = 0.5, 1.5  # the range of a training's time, as multiples of the time by these steps
COMPILED = 0.6  # the least time of a compiled step as a share of that of others

_alone = threading.Lock()  # steps at the same time would slow one another


def can_time(settings: Settings) -> bool:
    """Return whether steps can be timed: on the CPU only, because a GPU's memory is for trainings."""
    cost, images = estimate(settings, CLASSES_IF_UNKNOWN), timed_images(settings)
    small = cost.multiply_adds * images <= MOST_MULTIPLY_ADDS and cost.parameters <= MOST_PARAMETERS
    return small and settings.hardware.processes == 1 and resolve_device(settings.hardware.device).type == "cpu"


def seconds_per_image(settings: Settings, threads: int, cancelled: ShouldStop = never) -> float:
    """Return how long the fastest of a few training steps took, by its images; infinity if other programs disturbed them all."""
    with _alone:
        raise_if_cancelled(cancelled)
        torch.set_num_threads(threads)
        generator, images = torch.Generator().manual_seed(0), timed_images(settings)
        model = _network(settings, generator)
        sizes = settings.data.resolutions or (settings.data.image_size,)
        size = sizes[len(sizes) // 2]
        layout = torch.channels_last if settings.hardware.channels_last else torch.contiguous_format
        model.to(memory_format=layout)
        x_N3SS = torch.randn(images, 3, size, size, generator=generator).contiguous(memory_format=layout)
        labels = torch.zeros(images, dtype=torch.long)
        is_bf16 = resolve_precision(settings.hardware.precision, torch.device("cpu")) == torch.bfloat16
        begun, busy, whole = time.perf_counter(), list[float](), list[float]()
        while len(whole) < STEPS and time.perf_counter() - begun < LIMIT:
            raise_if_cancelled(cancelled)
            started, ran = time.perf_counter(), time.thread_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
                logits = model(x_N3SS)
            F.cross_entropy(logits.float(), labels).backward()
            busy.append(time.thread_time() - ran)
            whole.append(time.perf_counter() - started)
        return min(whole) / images if min(whole) <= DISTURBED * min(busy) else math.inf


def likely_seconds(settings: Settings, images: int, per_image: float) -> tuple[float, float]:
    """Return the least and the most time that a training on so many images is likely to take, from `seconds_per_image`."""
    training = settings.training
    seconds, size = work(settings, training.epochs) * images * training.hardest_share * per_image, training.batch_size
    steps, device = max(images // size, 1), torch.device("cpu")
    compiled = is_worth_compiling(settings, device, steps, min(size, images), CLASSES_IF_UNKNOWN)
    return seconds * FASTER * (COMPILED if compiled else 1.0), seconds * SLOWER


def timed_images(settings: Settings) -> int:
    """Return the number of images in a timed step."""
    enough = int(MULTIPLY_ADDS / estimate(settings, CLASSES_IF_UNKNOWN).multiply_adds)
    return max(min(enough, MOST, settings.training.batch_size), FEWEST)


def _network(settings: Settings, generator: torch.Generator) -> ExpertNet:
    """Return a network with weights of its own generator: a training that starts meanwhile draws from that of torch."""
    # which cost nothing, but whose initial weights would load the compiler here
    plain = settings.model.model_copy(update={"dirac": False, "head": "mean"})
    with torch.device("meta"):
        model = ExpertNet(plain, CLASSES_IF_UNKNOWN)
    weights = {
        name: torch.empty(value.shape, dtype=value.dtype).random_(1, 3, generator=generator)
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(weights, assign=True)
    return model.train()
