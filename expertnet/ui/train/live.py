"""The run in view, read from the store alone: numbers every two seconds, charts when they have changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from expertnet.charts.base import specification
from expertnet.charts.training import entropy_curves, learning_curves, step_curve
from expertnet.data.datasets import dataset_title
from expertnet.errors import RunError
from expertnet.findings.outcome import outcome
from expertnet.settings.fields import with_labels
from expertnet.settings.schema import Settings
from expertnet.store.checks import find_damage
from expertnet.store.history import read_history
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES, TRAINING, Status
from expertnet.store.steps import STEPS_FILE, StepPoint, read_steps
from expertnet.store.trash import trashed
from expertnet.training.manager import manager
from expertnet.ui.auth import login
from expertnet.ui.shell import NO_RUN, PAGES, TITLE, duration, shown_error, state_label, time_text, toast
from expertnet.ui.train.actions import ended_actions, run_log, training_actions
from expertnet.utils.files import cached_on_file
from expertnet.utils.text import counted, escape, percent

CIFAR10 = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}
TICK, CURVES_TICK, IDLE_TICK = 2.0, 5.0, 5.0  # seconds; each tick takes a little time from a training on the CPU
FEW_EPOCHS = 3  # too few for curves by epoch alone
MIRRORED = "With the probabilities averaged over each image and its mirror image."
SIX_VIEWS = "Hard images are also seen moved by one pixel along the diagonal, as they are and mirrored."


def run_in_view() -> Run | None:
    """Return the run in the URL, or else the one in training. Reloads and other tabs then show the same."""
    asked = st.query_params.get("run")
    if asked == "none":
        return None
    if asked:
        store = RunStore()
        try:
            return store.get(asked)
        except RunError:
            in_trash = any(run.id == asked for run in trashed(store))
            message = "This run is in the trash. You can restore it on the Runs page." if in_trash else NO_RUN
            toast(message)  # visible wherever the page is scrolled to
            st.query_params["run"] = "none"
            return None
    run = manager().training()
    if run is not None:
        st.query_params["run"] = run.id  # keeps it in view when it ends
    return run


def live_view(run: Run, tools: DeltaGenerator, queue_changed: Callable[[], bool]) -> None:
    """Draw a run, with a button in `tools` that brings the form back, and watch the run and the queue.

    A tick sends numbers alone, and nothing once the run has ended. Another tab may still resume it.
    """
    drawn, title = run.status(), escape(run.title)

    def look() -> Status:
        if not run.path.is_dir():  # discarded
            st.query_params["run"] = "none"
            st.toast(f"{title} is in the trash. You can restore it on the Runs page.", icon=":material/delete:")
            st.rerun()
        status = run.status()
        if status.state != drawn.state or queue_changed():
            st.rerun()  # once, for the buttons and the queue
        return status

    def numbers() -> None:
        with shown_error():
            _numbers(run, look())

    def curves() -> None:
        with shown_error():
            _curves(run)

    if tools.button("New run", icon=":material/add:", key="new"):  # a training continues
        st.query_params["run"] = "none"
        st.rerun()
    with shown_error():
        _head(run)
        if drawn.active:
            training_actions(run, drawn)
            login.fragment(numbers, run_every=TICK)()
            login.fragment(curves, run_every=CURVES_TICK)()
        else:
            _outcome(run, drawn)
            ended_actions(run, drawn)
            _numbers(run, drawn)
            _curves(run)
            login.fragment(look, run_every=IDLE_TICK)()
            run_log(run, drawn)


def _outcome(run: Run, status: Status) -> None:
    info = run.dataset_info()
    sentence = outcome(run.settings(), status, len(info.classes) if info else 0)
    if sentence:
        st.markdown(f"**{escape(sentence)}**")


def _head(run: Run) -> None:
    settings = run.settings()
    damage = find_damage(run) if run.state not in ACTIVE_STATES else None  # a running one may be between two writes
    if damage and damage != run.status().error:
        st.warning(escape(damage), icon=":material/healing:")
    model = settings.model
    widths = " / ".join(map(str, dict.fromkeys(model.block_widths)))
    where = f" in {', '.join(map(str, model.routed_blocks))} only" if model.expert_blocks else ""
    st.caption(
        f"{escape(dataset_title(settings.data.dataset))} · {counted(model.num_blocks, 'block')} x "
        f"{counted(model.num_experts, 'expert')}{where}, {widths} channels · {escape(time_text(run.created))}"
    )
    if settings.watches_test:
        st.info(
            "This run has no validation images. Its curves and its accuracy are measured on the test set.",
            icon=":material/info:",
        )


def _numbers(run: Run, status: Status) -> None:
    if status.active:
        st.set_page_config(page_title=f"{status.progress:.0%} · {PAGES['train'][0]} · {TITLE}")
    st.progress(status.progress, text=f"{state_label(status.state)} · {_how_far(status)}")
    if status.state == "running" and status.activity:
        _activity(status)
    monitors_test = run.settings().watches_test
    figures = st.container(horizontal=True, gap="medium")
    figures.metric(
        "Time left" if status.active else "Time taken",
        duration(status.seconds_left if status.active else status.seconds),
        width="content",
    )
    speed = status.images_per_second if status.state != "queued" else None  # a queued run's is from before
    figures.metric("Images per second", f"{speed:,.0f}" if speed else "–", width="content")
    best = "Test accuracy, last epoch" if monitors_test else "Best validation accuracy"
    figures.metric(best, percent(status.best_val_accuracy), width="content")
    if not monitors_test:
        figures.metric(
            "Test accuracy",
            percent(status.test_accuracy),
            width="content",
            help="Measured once, at the end, with the weights of the best epoch.",
        )
    for views, accuracy, explanation in (
        ("mirrored views", status.test_accuracy_mirrored, MIRRORED),
        ("six views", status.test_accuracy_views, SIX_VIEWS),
    ):
        if accuracy is not None:
            figures.metric(f"Test accuracy, {views}", percent(accuracy), width="content", help=explanation)
    st.caption(escape(_hardware(status)))
    if status.error:
        st.error(escape(with_labels(status.error)), icon=":material/error:")


def _hardware(status: Status) -> str:
    facts = [status.device or "Device not chosen yet"]
    if status.training and status.utilization is not None:
        facts.append(f"{status.utilization:.0%} busy")
    memory = status.device_memory or (status.process_memory if status.training else None)
    if memory:
        facts.append(f"{memory / 2**30:.1f} GiB in use")
    return " · ".join(facts)


def _activity(status: Status) -> None:
    text, share = escape(status.activity), status.activity_share
    if status.activity == TRAINING:
        text += f" · step {status.step} of {status.steps}"
        share = status.step / status.steps if status.steps else 0.0
    st.progress(min(max(share or 0.0, 0.0), 1.0), text=text)


def _how_far(status: Status) -> str:
    """Return the epoch in progress, or the last one of a run that is not training."""
    epoch, epochs = status.epoch, max(status.epochs, 1)
    if status.state == "queued":
        return f"resumes from epoch {epoch} of {epochs}" if epoch else counted(epochs, "epoch")
    return f"epoch {min(epoch + status.training, epochs)} of {epochs}"


def _curves(run: Run) -> None:
    epochs = len(run.metrics())
    if epochs:
        _epoch_curves(run)
    if epochs < FEW_EPOCHS:
        _step_curves(run)


def _epoch_curves(run: Run) -> None:
    info = run.dataset_info()
    is_cifar10 = info is not None and (info.name == "cifar10" or set(info.classes) == CIFAR10)
    loss, accuracy, entropy = _specs(run.path / "metrics.jsonl", run.settings(), is_cifar10)
    with st.grid(2, min_column_width=300):
        st.vega_lite_chart(spec=loss, width="stretch", key=f"loss {run.id}")
        st.vega_lite_chart(spec=accuracy, width="stretch", key=f"accuracy {run.id}")
    if is_cifar10:
        st.caption(
            "Gray: epochs 61 to 100 of the reference report's run on the original CIFAR-10 test set, and its 90.53%. "
            "On images that were compressed as JPEG of quality 75, accuracies are about 3.5 points lower."
        )
    if entropy is not None:
        st.vega_lite_chart(spec=entropy, width="stretch", key=f"entropy {run.id}")
        st.caption("Routing entropy is 0 if each image uses a single expert. The dashed line is an even split.")


def _step_curves(run: Run) -> None:
    """Draw loss and speed within the epochs."""
    try:
        loss, speed = _step_specs(run.path / STEPS_FILE)
    except OSError:  # no step yet, or a run from an older version
        if not run.status().epoch:
            st.caption("Curves appear after the first steps.")
        return
    with st.grid(2, min_column_width=300):
        st.vega_lite_chart(spec=loss, width="stretch", key=f"loss by step {run.id}")
        st.vega_lite_chart(spec=speed, width="stretch", key=f"speed by step {run.id}")


@cached_on_file(maxsize=64)
def _step_specs(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the specifications of the curves by step, made once for all tabs."""
    frame = pd.DataFrame(read_steps(path.parent), columns=StepPoint._fields)
    return specification(step_curve(frame, "loss")), specification(step_curve(frame, "images_per_second"))


@cached_on_file(maxsize=64)
def _specs(
    history: Path, settings: Settings, report: bool
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """Return the charts' specifications, made once per epoch for all tabs."""
    frame = pd.DataFrame(read_history(history))
    validation = "test set" if settings.watches_test else "validation"
    epochs, experts = settings.training.epochs, settings.model.num_experts
    loss, accuracy = (
        specification(learning_curves(frame, quantity, epochs, validation, report)) for quantity in ("loss", "accuracy")
    )
    entropy = specification(entropy_curves(frame, experts, epochs)) if experts > 1 else None
    return loss, accuracy, entropy
