"""One run as it goes: numbers every second, charts once an epoch, from the store alone.

In this module: live_view.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pandas as pd
import streamlit as st

from expertnet.charts.base import specification
from expertnet.charts.training import entropy_curves, learning_curves
from expertnet.data.datasets import dataset_title
from expertnet.settings.fields import with_labels
from expertnet.settings.schema import Settings
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import ACTIVE_STATES, TRAINING_STATES, Status
from expertnet.ui.auth import login
from expertnet.ui.shell import PAGES, TITLE, duration, shown_error, state_label
from expertnet.ui.train.actions import training_actions
from expertnet.utils.text import counted, escape, percent

CIFAR10 = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}
ACTIVE_TICK, IDLE_TICK = 1.0, 5.0  # seconds between two looks


def live_view(run: Run) -> None:
    """The panel of a run, which looks at the store again and again; one that has ended may be gone on with from elsewhere."""
    state, title = run.state, escape(run.title)

    def panel() -> None:
        if not run.path.is_dir():  # it was discarded
            st.query_params["run"] = "none"
            st.toast(f"{title} is in the trash; the Runs page can bring it back.", icon=":material/delete:")
            st.rerun()
        status = run.status()
        if status.state != state:
            st.rerun()  # once, so that the buttons and the queue are those of the new state
        with shown_error():
            _numbers(run, status)
            _curves(run)

    with shown_error():
        _head(run)
        login.fragment(panel, run_every=ACTIVE_TICK if state in ACTIVE_STATES else IDLE_TICK)()
        training_actions(run)


def _head(run: Run) -> None:
    settings = run.settings()
    st.subheader(escape(run.title))
    damage = run.damage() if run.state not in ACTIVE_STATES else None  # one that trains is between two writes
    if damage and damage != run.status().error:
        st.warning(escape(damage), icon=":material/healing:")
    st.caption(
        f"{escape(dataset_title(settings.data.dataset))} · {settings.model.num_blocks} blocks x {settings.model.num_experts} experts, "
        f"{' / '.join(map(str, dict.fromkeys(settings.model.block_widths)))} channels · {run.created.replace('T', ' ')[:16]} UTC"
    )
    if settings.watches_test:
        st.info(
            "This run has no validation images: the figures called “test set” are of the test set itself, measured every epoch.",
            icon=":material/info:",
        )


def _numbers(run: Run, status: Status) -> None:
    state, share, left = status.state, status.progress, status.state in ACTIVE_STATES
    if left:
        st.set_page_config(page_title=f"{share:.0%} · {PAGES['train'][0]} · {TITLE}")
    st.progress(share, text=f"{state_label(state)} · {_how_far(status)}")
    if state == "running" and status.activity:
        step = (
            status.activity_share
            if status.activity != "Training"
            else (status.step / status.steps if status.steps else 0)
        )
        label = escape(status.activity) + (
            f" · step {status.step} of {status.steps}" if status.activity == "Training" else ""
        )
        st.progress(min(max(step or 0.0, 0.0), 1.0), text=label)
    watched = run.settings().watches_test
    figures = st.container(horizontal=True, gap="medium")
    figures.metric(
        "Time left" if left else "Time taken",
        duration(status.seconds_left if left else status.seconds),
        width="content",
    )
    speed = status.images_per_second if state != "queued" else None  # that would be of before
    figures.metric("Images per second", f"{speed:,.0f}" if speed else "–", width="content")
    best = "Test accuracy, last epoch" if watched else "Best validation accuracy"
    figures.metric(best, percent(status.best_val_accuracy), width="content")
    if not watched:
        figures.metric(
            "Test accuracy",
            percent(status.test_accuracy),
            width="content",
            help="Measured once, at the end, with the weights of the best epoch.",
        )
    if status.test_accuracy_mirrored is not None:
        figures.metric(
            "Mirrored views",
            percent(status.test_accuracy_mirrored),
            width="content",
            help="Test accuracy of the mean of each image's and its mirror image's answer, with the same weights.",
        )
    memory = f" · {status.device_memory / 2**30:.1f} GiB in use" if status.device_memory else ""
    st.caption(escape(f"{status.device or 'Device not chosen yet'}{memory}"))
    if status.error:
        st.error(escape(with_labels(status.error)), icon=":material/error:")


def _how_far(status: Status) -> str:
    """The epoch in progress, or the last one of a run that does not train."""
    epoch, epochs = status.epoch, max(status.epochs, 1)
    if status.state == "queued":
        return f"goes on after epoch {epoch} of {epochs}" if epoch else counted(epochs, "epoch")
    return f"epoch {min(epoch + (status.state in TRAINING_STATES), epochs)} of {epochs}"


def _curves(run: Run) -> None:
    metrics = run.metrics()
    if not metrics:
        if not run.status().epoch:
            st.caption("The curves begin with the first whole epoch.")
        return
    info = run.dataset_info()
    is_cifar10 = info is not None and (info.name == "cifar10" or set(info.classes) == CIFAR10)
    loss, accuracy, entropy = _specs(str(run.path), len(metrics), metrics[-1]["epoch"], run.settings(), is_cifar10)
    with st.grid(2, min_column_width=300):
        st.vega_lite_chart(spec=loss, width="stretch", key=f"loss {run.id}")
        st.vega_lite_chart(spec=accuracy, width="stretch", key=f"accuracy {run.id}")
    if is_cifar10:
        st.caption(
            "Grey: the reference report's run, epochs 61 to 100, and its 90.53% (on the original CIFAR-10 pixels, test set)."
        )
    if entropy is not None:
        st.vega_lite_chart(spec=entropy, width="stretch", key=f"entropy {run.id}")
        st.caption(
            "Routing entropy: 0 where each image goes to one expert, the dashed line where all experts weigh the same."
        )


@lru_cache(maxsize=64)
def _specs(
    path: str, lines: int, epoch: int, settings: Settings, report: bool
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """The charts' specifications, made once an epoch for every open tab."""
    root, run_id = path.rsplit("/", 1)
    frame = pd.DataFrame(RunStore(root).get(run_id).metrics())
    validation = "test set" if settings.watches_test else "validation"
    epochs, experts = settings.training.epochs, settings.model.num_experts
    loss, accuracy = (
        specification(learning_curves(frame, quantity, epochs, validation, report)) for quantity in ("loss", "accuracy")
    )
    entropy = specification(entropy_curves(frame, experts, epochs)) if experts > 1 else None
    return loss, accuracy, entropy
