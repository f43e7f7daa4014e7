"""What to expect of a run before it starts: how many steps it takes, whether they are enough, and how long they take."""

import math
from collections.abc import Callable

from streamlit.delta_generator import DeltaGenerator

from expertnet.settings.fields import build_settings
from expertnet.settings.schema import Settings
from expertnet.store.index import READABLE, open_index
from expertnet.training.manager import manager
from expertnet.training.pace import FEW_STEPS, NEWEST, expected_seconds, fitted, step_count, suits, training_images
from expertnet.training.place import Place
from expertnet.training.ray_executor import uses_ray
from expertnet.training.timing import can_time, likely_seconds, seconds_per_image, timed_images
from expertnet.ui import tasks
from expertnet.ui.auth import login
from expertnet.ui.train.values import Form, put
from expertnet.utils.devices import available_threads
from expertnet.utils.progress import Report, ShouldStop
from expertnet.utils.text import counted, estimate

STEP = "A step changes the weights once, to fit one batch of images better"
ROUGH = "No run like this has been timed on this computer yet, so the time is a rough estimate from a few steps"
AGAIN = 60.0  # seconds after which a computer that was too busy may no longer be
UNITS = ((1, "s"), (60, "min"), (3600, "h"))


def expectation(row: DeltaGenerator, settings: Settings, form: Form, may_time: bool) -> Callable[[], bool]:
    """Say how many steps a run takes and, if known, how long. Offers more steps if they are too few.

    Without a run to go by, a few steps are timed in the background if they may be. Returns a test for whether that has ended.
    """
    images = training_images(settings)
    if images is None:
        return lambda: False
    steps = step_count(settings, images)
    if steps >= FEW_STEPS or suits(settings, form.preset):
        return _time_needed(row, settings, images, steps, may_time)
    preset = build_settings(form.preset, settings.data.dataset).training
    size, epochs = fitted(settings.model_copy(update={"training": preset}), images)
    row.markdown(
        f":small[:material/warning: Only {counted(steps, 'step')} in all, too few to learn much. {STEP}.]",
        width="content",
    )
    row.button(
        f"Use batch size {size} and {counted(epochs, 'epoch')}",
        on_click=put,
        kwargs={"batch_size": size, "epochs": epochs},
        key="more steps",
    )
    return lambda: False


def _time_needed(
    row: DeltaGenerator, settings: Settings, images: int, steps: int, may_time: bool
) -> Callable[[], bool]:
    needed, help, timing = "", f"{STEP}.", None
    seconds = expected_seconds(settings, images, open_index(manager().store).rows(READABLE, limit=NEWEST))
    if seconds:
        needed = f" · about {estimate(seconds)} on this computer"
    elif timing := _timing(settings, may_time):
        if timing.running:  # this and what follows take the same room, so that nothing jumps
            needed = " · estimating the time on this computer…"
        elif timing.result == math.inf:
            needed = " · this computer was too busy for an estimate"
        elif timing.result:
            needed = f" · {_between(*likely_seconds(settings, images, timing.result))} on this computer"
            help = f"{STEP}. {ROUGH}."
    row.markdown(f":small[{counted(steps, 'step')}{needed}]", width="content", help=help)
    drawn = bool(timing and timing.running)
    return lambda: drawn and not (timing and timing.running)


def _timing(settings: Settings, may_time: bool) -> tasks.Task | None:
    """Return the task that times steps of this network. Starts it if there is none and it may run, but never beside a training."""
    studio = manager()
    threads = Place(count=studio.queue.limit).threads or available_threads()
    sizes = settings.data.image_size, settings.data.resolutions, timed_images(settings)
    key = ("steps timed", settings.model, settings.hardware, *sizes, threads)
    found = tasks.find(key)
    was_busy = found is not None and found.result == math.inf and found.age > AGAIN
    if found and not was_busy and (found.running or found.result or found.error):
        return found

    def busy() -> bool:
        return bool(studio.training() or studio.queue.ids())

    if not (may_time and login.may_change()) or busy() or uses_ray() or not can_time(settings):
        return None

    def work(progress: Report, stopped: ShouldStop) -> float:
        return seconds_per_image(settings, threads, lambda: stopped() or busy())

    return tasks.start(key, work)


def _between(least: float, most: float) -> str:
    """Return a rough range in one unit, rounded outwards."""
    size, unit = next(each for each in UNITS if most < 90 * each[0] or each is UNITS[-1])
    step = 10 if unit == "s" else 1
    low, high = math.floor(least / size / step) * step, math.ceil(most / size / step) * step
    return f"roughly {low} to {high} {unit}" if low else f"up to {high} {unit}"
