"""The charts of a training, the table of its settings and its links to trackers, for the Train page and for the drawer of the Runs page."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import pandas as pd
import streamlit as st

from expertnet.charts.base import Spec, specification
from expertnet.charts.training import entropy_curves, learning_curves, step_curve
from expertnet.settings.fields import build_settings, differences, display_value, flat, setting_fields
from expertnet.settings.presets import PRESETS
from expertnet.settings.schema import Settings
from expertnet.store.history import HistoryRow, read_history
from expertnet.store.run import Run
from expertnet.store.steps import STEPS_FILE, StepPoint, read_steps
from expertnet.training.trackers.record import TITLES, read_tracked
from expertnet.utils.files import cached_on_file
from expertnet.utils.text import counted, escape


def settings_table(run: Run) -> None:
    """Draw all settings. Those that differ from the preset of the run come first."""
    settings, known = run.settings(), run.preset in PRESETS
    base = build_settings(run.preset, settings.data.dataset) if known else settings
    changed, usual = {key for key, *_ in differences(settings, base)}, flat(base)
    values = sorted(flat(settings).items(), key=lambda item: item[0] not in changed)
    if known:
        count = counted(len(changed), "setting differs", "settings differ")
        first = ("", " It comes first.", " They come first.")[min(len(changed), 2)]
        st.caption(f"{count} from the preset “{escape(run.preset)}”.{first}")
    labels = {field.key: field.label for field in setting_fields()}
    rows = [(labels[key], display_value(value), key, display_value(usual[key])) for key, value in values]
    table = pd.DataFrame(rows, columns=["Setting", "Value", "Key", "Preset"])
    st.dataframe(table if known else table.drop(columns="Preset"), hide_index=True, alt="All settings of the run")


def tracker_links(run: Run) -> None:
    """Link the run in the trackers that it was sent to, or show the command that opens or uploads it."""
    for name, title in TITLES.items():
        tracked = read_tracked(run.path, name)
        if tracked is None:
            continue
        if tracked.url.startswith(("http://", "https://")):
            st.link_button(f"Open in {title}", tracked.url, icon=":material/open_in_new:")
        elif tracked.command:
            st.caption(f"In {title}, on this computer:")
            st.code(tracked.command, language="bash", wrap_lines=True)
        if tracked.error:
            st.caption(f"{title} could not be reached: {escape(tracked.error)}")


# Charts take 10 ms and more to make, so only what is shown is made, once for all tabs.


def epoch_chart(run: Run, quantity: str, report: bool = False) -> Spec:
    """Return the specification of "loss", "accuracy" or routing "entropy" by epoch.

    `report` adds the reference report's curve.
    """
    try:
        return _by_epoch(run.path / "metrics.jsonl", quantity, run.settings(), report)
    except OSError:  # no epoch yet
        return _before_epochs(quantity, run.settings(), report)


@cached_on_file(maxsize=64)
def _by_epoch(history: Path, quantity: str, settings: Settings, report: bool) -> Spec:
    return _draw(read_history(history), quantity, settings, report)


@lru_cache(maxsize=16)
def _before_epochs(quantity: str, settings: Settings, report: bool) -> Spec:
    return _draw([], quantity, settings, report)


def _draw(history: Sequence[HistoryRow], quantity: str, settings: Settings, report: bool) -> Spec:
    frame, epochs = pd.DataFrame(history, columns=list(HistoryRow.__annotations__)), settings.training.epochs
    if quantity == "entropy":
        return specification(entropy_curves(frame, settings.model.num_experts, epochs))
    validation = "test set" if settings.watches_test else "validation"
    return specification(learning_curves(frame, quantity, epochs, validation, report))


def step_chart(run: Run, quantity: str) -> Spec:
    """Return the specification of "loss" or "images_per_second" within the epochs."""
    try:
        return _by_step(run.path / STEPS_FILE, quantity)
    except OSError:  # no step yet
        return _before_steps(quantity)


@cached_on_file(maxsize=64)
def _by_step(path: Path, quantity: str) -> Spec:
    return _draw_steps(read_steps(path.parent), quantity)


@lru_cache(maxsize=2)
def _before_steps(quantity: str) -> Spec:
    return _draw_steps((), quantity)


def _draw_steps(steps: Sequence[StepPoint], quantity: str) -> Spec:
    return specification(step_curve(pd.DataFrame(steps, columns=StepPoint._fields), quantity))
