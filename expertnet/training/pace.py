"""How many steps a training takes, whether these are enough, and how long they take on this computer."""

import math
from collections.abc import Iterable

import torch

from expertnet.data.builtin import BUILTIN
from expertnet.data.custom import known_class_count, known_training_images
from expertnet.errors import SettingsError
from expertnet.network.cost import estimate, work
from expertnet.settings.fields import build_settings, field_of
from expertnet.settings.presets import PRESETS
from expertnet.settings.schema import Settings
from expertnet.store.rows import RunRow
from expertnet.training.progress import Progress
from expertnet.training.start import CLASSES_IF_UNKNOWN
from expertnet.utils.devices import is_cpu, resolve_device

ENOUGH_STEPS = 300  # that few images are given
FEW_STEPS = 50  # fewer teach a network little: of the digits, it recognizes 30% after 30 steps, and 96% after 50
ROUND = 5  # epochs that a suggestion is a multiple of
SMALLEST_BATCH = 16  # images; the batch norms of smaller batches are noisy
NEWEST = 200  # runs that need be asked for their speed
ALIKE = 4.0  # how many times as many multiply-adds, or images a step, may be needed for one speed to predict another


def training_images(settings: Settings) -> int | None:
    """Return the number of images in an epoch, without those for validation; None if unknown."""
    return known_training_images(settings.data)


def step_count(settings: Settings, images: int) -> int:
    """Return the number of steps of a whole training on `images`."""
    size = settings.training.batch_size
    return settings.training.epochs * max(images // size, 1)


def suits(settings: Settings, preset: str) -> bool:
    """Return whether a built-in dataset is learned in as many epochs, of batches as large, as the preset has.

    Presets suit the built-in datasets, however few steps they take: `fast` recognizes 99% of the digits after 10.
    """
    if preset not in PRESETS or settings.data.dataset not in BUILTIN:
        return False
    training, usual = settings.training, build_settings(preset, settings.data.dataset).training
    return (training.batch_size, training.epochs) == (usual.batch_size, usual.epochs)


def fitted(settings: Settings, images: int) -> tuple[int, int]:
    """Return a batch size and a number of epochs that give few images ENOUGH_STEPS.

    Smaller batches come first, because they take hardly any longer. Then come more epochs, a round number of them. Settings with
    enough steps keep theirs.
    """
    size, epochs = settings.training.batch_size, settings.training.epochs
    while epochs * max(images // size, 1) < ENOUGH_STEPS and size >= 2 * SMALLEST_BATCH:
        size //= 2
    needed = math.ceil(ENOUGH_STEPS / max(images // size, 1))
    return size, epochs if needed <= epochs else enough_epochs(images // size)


def enough_epochs(steps: int) -> int:
    """Return a round number of epochs of so many steps that give ENOUGH_STEPS."""
    return ROUND * math.ceil(ENOUGH_STEPS / max(steps, 1) / ROUND)


def more_epochs(planned: int, enough: int = 0) -> int:
    """Return half as many epochs again as were planned, at least `enough`, and at most as many as a run may have."""
    return min(max(planned + max(planned // 2, 1), enough), int(field_of("training.epochs").maximum or 0))


def expected_seconds(settings: Settings, images: int, rows: Iterable[RunRow]) -> float | None:
    """Estimate how long a training takes from earlier ones on this computer, or return None if none is alike.

    The newest run on the same kind of device whose network needs up to ALIKE times as many or few multiply-adds, with batches up to
    ALIKE times as large or small, gives the images per second, including evaluations. They are scaled by the multiply-adds; a
    frozen epoch counts as what it computes.
    """
    cost, kind = _multiply_adds(settings), _device_type(settings)
    for row in rows:
        seconds, own, status = row.curves["seconds"], row.settings, row.status
        device = status.device
        if not (own and row.images and len(seconds) and device and status.is_here):
            continue
        if own.hardware.processes != settings.hardware.processes:
            continue
        ratio, batches = cost / _multiply_adds(own), settings.training.batch_size / own.training.batch_size
        if (kind == "cpu") == is_cpu(device) and all(1 / ALIKE <= each <= ALIKE for each in (ratio, batches)):
            middle = (len(seconds) - 1) // 2  # the median epoch, as frozen ones come first and take the least time
            per_image = (
                float(torch.tensor(seconds).nanmedian()) / row.images / (work(own, middle + 1) - work(own, middle))
            )
            if math.isfinite(per_image):
                return work(settings, settings.training.epochs) * images * per_image * ratio
    return None


def time_left(settings: Settings, progress: Progress, seconds: float, first_epoch: int) -> float:
    """Return how many seconds the rest of the epochs takes, if those since `first_epoch` took `seconds`."""
    now = work(settings, progress.epoch - 1 + progress.step / progress.steps)
    return seconds / (now - work(settings, first_epoch)) * (work(settings, settings.training.epochs) - now)


def _multiply_adds(settings: Settings) -> float:
    """Return those of a forward pass, per image of an epoch."""
    cost = estimate(settings, known_class_count(settings.data) or CLASSES_IF_UNKNOWN)
    return cost.multiply_adds * settings.training.hardest_share


def _device_type(settings: Settings) -> str:
    try:
        return resolve_device(settings.hardware.device).type
    except SettingsError:
        return "cpu"
