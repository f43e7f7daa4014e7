"""The numbers and the curves of a run, read from the store alone."""

from collections.abc import Iterable, Sequence

import streamlit as st

from expertnet.charts.sparkline import sparkline
from expertnet.findings.through_training import routing_so_far
from expertnet.settings.fields import with_labels
from expertnet.store.history import HistoryRow
from expertnet.store.run import Run
from expertnet.store.status import TRAINING, Status, epochs_text
from expertnet.store.steps import read_steps
from expertnet.ui.chart import show_chart
from expertnet.ui.run_details import epoch_chart, step_chart
from expertnet.ui.shell import PAGES, TITLE, state_label
from expertnet.ui.style import room_key
from expertnet.utils.text import counted, duration, escape, estimate, percent

CIFAR10 = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}
FEW_EPOCHS = 3  # too few for curves by epoch alone
LOSS = "How far the answers are from the right ones, on average in this epoch. It should fall."
TRAINED_ON = (
    "The share of right answers for the images that the network learns from, which are cropped or mirrored at random."
)
HELD_OUT = "The share of right answers for images that the network does not learn from, after the last epoch."
VALIDATION = "Validation images are held out: the network never learns from them. In the first epochs, it may recognize few of them."
SPEED = "How many images the network learns from in a second."
MIRRORED = "With the network's outputs averaged over each image and its mirror image."
SIX_VIEWS = "Hard images are also seen moved by one pixel along the diagonal, as they are and mirrored."


# --- numbers ---------------------------------------------------------------------------------------------------------


def live_progress(status: Status) -> None:
    """Draw how far a run is that waits or trains, and what it runs on."""
    st.set_page_config(page_title=f"{status.progress:.0%} · {PAGES['train'][0]} · {TITLE}")
    left = (
        "" if status.seconds_left is None or status.state == "stopping" else f" · {estimate(status.seconds_left)} left"
    )
    st.progress(status.progress, text=f"{state_label(status.state)} · {_how_far(status)}{left}")
    _activity(status)
    _foot(status)


def live_metrics(run: Run) -> None:
    """Draw four metrics of a run that waits or trains, with their course."""
    status, steps, history = run.status(), read_steps(run.path), run.metrics()
    loss, running = status.train_loss_now, status.state != "queued"  # a queued run's numbers are from before
    speed = status.images_per_second if running else None
    measured = "Test" if run.settings().watches_test else "Validation"
    accuracy = {name: [row[name] for row in history] for name in ("train_accuracy", "val_accuracy")}
    with st.grid(4, min_column_width=150):
        for label, help, text, value, course in (
            ("Training loss", LOSS, "{:.3f}".format, loss if running else None, [point.loss for point in steps]),
            ("Training accuracy", TRAINED_ON, percent, _last(accuracy["train_accuracy"]), accuracy["train_accuracy"]),
            (f"{measured} accuracy", HELD_OUT, percent, _last(accuracy["val_accuracy"]), accuracy["val_accuracy"]),
            ("Images per second", SPEED, "{:,.0f}".format, speed or None, [point.images_per_second for point in steps]),
        ):
            known = [figure for figure in course if figure is not None]
            alt = f"{label} so far: from {text(known[0])} to {text(known[-1])}" if known else ""
            with st.container(gap=None):  # st.metric draws one too, but without a text alternative
                st.metric(label, "–" if value is None else text(value), help=help)
                st.image(sparkline(known), width="stretch", alt=alt)
    if measured == "Validation":
        st.caption(VALIDATION)


def final_numbers(run: Run, status: Status) -> None:
    """Draw the figures of a run that has ended."""
    chosen = status.best_epoch
    used = f" · uses epoch {chosen:,}, the best in validation" if chosen not in (None, status.epoch) else ""
    st.progress(status.progress, text=f"{state_label(status.state)} · {_how_far(status)}{used}")
    monitors_test = run.settings().watches_test
    figures = st.container(horizontal=True, gap="medium", key=room_key("figures"))
    figures.metric("Time taken", duration(status.seconds), width="content")
    speed = status.images_per_second
    figures.metric("Images per second", f"{speed:,.0f}" if speed else "–", width="content")
    best = "Test accuracy, last epoch" if monitors_test else "Best validation accuracy"
    figures.metric(best, percent(status.best_val_accuracy), width="content")
    if not monitors_test:
        help = (
            "Measured once, at the end, with the weights of the best epoch: the one with the highest validation accuracy. "
            "Among equal ones, it is the one with the lowest validation loss."
        )
        figures.metric("Test accuracy", percent(status.test_accuracy), width="content", help=help)
    for views, accuracy, explanation in (
        ("mirrored views", status.test_accuracy_mirrored, MIRRORED),
        ("six views", status.test_accuracy_views, SIX_VIEWS),
    ):
        if accuracy is not None:
            figures.metric(f"Test accuracy, {views}", percent(accuracy), width="content", help=explanation)
    _foot(status)


def _foot(status: Status) -> None:
    where = f" on {status.host}" if status.training and not status.is_here else ""
    facts = [(status.device or "Device not chosen yet") + where]
    if status.training and status.utilization is not None:
        facts.append(f"{status.utilization:.0%} busy")
    memory = status.device_memory or (status.process_memory if status.training else None)
    if memory:
        facts.append(f"{memory / 2**30:.1f} GiB in use")
    st.caption(escape(" · ".join(facts)))
    if status.error:
        st.error(escape(with_labels(status.error)), icon=":material/error:")


def _last(values: Iterable[float | None]) -> float | None:
    return next((value for value in reversed([*values]) if value is not None), None)


def _activity(status: Status) -> None:
    """Draw what a run does. The bar of one that waits or stops keeps the room, so that nothing moves."""
    running = status.state == "running" and bool(status.activity)
    idle = "Stopping" if status.state == "stopping" else "Not training"
    text, share = (escape(status.activity), status.activity_share) if running else (idle, 0.0)
    if running and status.activity == TRAINING:
        text += f" · step {status.step:,} of {status.steps:,}"
        share = status.step / status.steps if status.steps else 0.0
    st.progress(min(max(share or 0.0, 0.0), 1.0), text=text)


def _how_far(status: Status) -> str:
    """Return the epoch in progress, or the last one of a run that is not training."""
    epoch, epochs = status.epoch, max(status.epochs, 1)
    if status.state == "queued":
        return f"resumes after epoch {epoch:,} of {epochs:,}" if epoch else counted(epochs, "epoch")
    return f"epoch {epochs_text(status.state, min(epoch + status.training, epochs), epochs)}"


# --- curves ----------------------------------------------------------------------------------------------------------


def curves(run: Run, live: bool) -> None:
    """Draw loss and accuracy, and the routing in a sentence with its chart folded.

    While a run trains, the frames are there before the first epoch, so that nothing moves when it ends, and the first of them
    shows the loss by step until there are a few epochs.
    """
    history, steps = run.metrics(), read_steps(run.path)
    few = len(history) < FEW_EPOCHS
    info = run.dataset_info()
    is_cifar10 = info is not None and (info.name == "cifar10" or set(info.classes) == CIFAR10)
    if live or history:
        with st.grid(2, min_column_width=300):
            loss = step_chart(run, "loss") if live and few else epoch_chart(run, "loss", is_cifar10)
            show_chart(loss, f"loss {run.id}")
            show_chart(epoch_chart(run, "accuracy", is_cifar10), f"accuracy {run.id}")
        if is_cifar10:
            st.caption(
                "Gray: epochs 61 to 100 of the reference report's run on the original CIFAR-10 test set, and its 90.53%. "
                "On images compressed as JPEG (quality 75), one recipe lost about 3.5 points, so 90.53% is worth about 87% there."
            )
        _routing(run, history, live)
    if not live and not steps:  # stopped before the first step, or a run from an older version
        if not history:
            st.caption("Curves appear after the first steps.")
        return
    # Unfolded where curves by epoch say little
    unfolded = few and not live
    folded = st.expander("Loss and speed by step", unfolded, key=f"steps {run.id} {unfolded}", on_change="rerun")
    if folded.open:
        with folded, st.grid(2, min_column_width=300):
            show_chart(step_chart(run, "loss"), f"loss by step {run.id}")
            show_chart(step_chart(run, "images_per_second"), f"speed by step {run.id}")


def _routing(run: Run, history: Sequence[HistoryRow], live: bool) -> None:
    experts = run.settings().model.num_experts
    sentence = routing_so_far(history, experts)
    if experts < 2 or not (live or sentence):  # older versions did not measure it
        return
    st.markdown(sentence or "The routing is measured after every epoch.")
    folded = st.expander("Routing entropy", key=f"routing {run.id}", on_change="rerun")
    if folded.open:
        with folded:
            show_chart(epoch_chart(run, "entropy"), f"entropy {run.id}")
            st.caption("Routing entropy is 0 if each image uses a single expert. The dashed line is an even split.")
