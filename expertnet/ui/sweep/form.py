"""The form that starts a sweep: what stays the same, what varies, the budget and the search."""

from typing import Any

import streamlit as st

from expertnet.errors import UserError
from expertnet.settings.fields import SettingField, flat, setting_fields, with_labels
from expertnet.settings.schema import Settings, format_value
from expertnet.store.run_store import RunStore
from expertnet.sweeps.driver import driver
from expertnet.sweeps.engine import start_sweep
from expertnet.sweeps.plan import PRUNERS, SAMPLERS, TRIALS, Budget, Plan
from expertnet.sweeps.space import NOT_VARIED, Dimension, parse_dimension, parse_space, separator
from expertnet.ui.shell import action
from expertnet.ui.style import room_key
from expertnet.ui.sweep.base import KEPT, PRESET, shared_settings
from expertnet.utils.text import escape

WIDTH = 760  # pixels of the form
SCALES = ("linear", "logarithmic", "list")
FIRST = ("training.lr", "model.num_experts")
QUESTIONS = {dimension.key: (dimension.low, dimension.high) for dimension in parse_space(["report"])}
VARIED, NAME = "sweep varied", "sweep name"  # keys of widgets


def sweep_form() -> None:
    """Draw the form, with the button that starts the sweep at the bottom of the window."""
    with st.container(width=WIDTH):
        base, problem = shared_settings()
        st.markdown(":small[What varies]")
        dimensions, fault = _space(base)
        budget = _budget()
        sampler, pruner = _search()
        name = st.text_input("Sweep name (optional)", key=NAME, placeholder="What this sweep looks for", **KEPT)
    problem, plan = problem or fault, None
    if not problem:
        try:
            plan = Plan(
                name=name,
                preset=st.session_state[PRESET],
                settings=base,
                space=dimensions,
                budget=budget,
                sampler=sampler,  # type: ignore[arg-type]
                pruner=pruner,  # type: ignore[arg-type]
            ).checked()
        except UserError as error:
            problem = str(error)

    def start() -> None:
        if plan is not None:
            store = RunStore()
            st.query_params["sweep"] = start_sweep(store, plan).id
            driver(store)
            del st.session_state[NAME]  # the other values are those of the next sweep, too

    with st.bottom:
        if problem:
            st.warning(escape(with_labels(problem)), icon=":material/block:")
        row = st.container(horizontal=True, vertical_alignment="center")
        action(row, "Start sweep", "play_arrow", "start sweep", start, type="primary", disabled=bool(problem))
        if plan is not None:
            row.markdown(f":small[{_expectation(plan)}]", width="content")


def _expectation(plan: Plan) -> str:
    epochs = plan.settings.training.epochs
    trials = plan.budget.trials
    most = f", at most {trials * epochs:,} epochs" if trials else ""
    return f"{plan.budget.text}{most}. Each trial is a run."


# --- what varies -----------------------------------------------------------------------------------------------------


def _space(base: Settings) -> tuple[tuple[Dimension, ...], str]:
    """Ask for what varies. Returns the dimensions, and what is wrong with the first invalid one or ""."""
    fields = {field.key: field for field in setting_fields() if field.key not in NOT_VARIED}
    row = st.container(horizontal=True, vertical_alignment="bottom")
    st.session_state.setdefault(VARIED, list(FIRST))
    keys = row.multiselect(
        "Settings that vary",
        list(fields),
        format_func=lambda key: fields[key].label,
        key=VARIED,
        label_visibility="collapsed",
        select_all=False,
        width=520,  # not "stretch", which the button would squeeze on a phone
        **KEPT,
    )

    def ask_report() -> None:
        st.session_state[VARIED] = list(QUESTIONS)

    row.button(
        "The report's questions",
        on_click=ask_report,
        icon=":material/quiz:",
        type="tertiary",
        key="questions",
        help="Experts, blocks, channels, reduction and learning rate, which the author of the reference report set by hand.",
    )
    values, dimensions, fault = flat(base), [], ""
    for key in keys:
        try:
            dimensions.append(parse_dimension(f"{key}={_values(fields[key], values[key])}"))
        except UserError as error:
            fault = fault or str(error)
    return tuple(dimensions), fault if keys else "Nothing varies. Choose at least one setting."


def _values(field: SettingField, value: Any) -> str:
    """Ask for the values of one setting, and return them as --vary accepts them."""
    kind = "range " if field.kind in ("int", "float") else ""
    row = st.container(
        horizontal=True, vertical_alignment="bottom", gap="small", key=room_key(f"labelled {kind}{field.key}")
    )
    if field.kind in ("choice", "bool"):
        options = list(field.choices) or ["true", "false"]
        return ",".join(
            row.multiselect(field.label, options, options, key=f"list {field.key}", help=field.help, **KEPT)
        )
    scale = "list"
    if kind:
        first = "logarithmic" if field.key == "training.lr" else "linear"
        scale = row.selectbox(
            f"{field.label}: scale", SCALES, SCALES.index(first), key=f"scale {field.key}", width=190, **KEPT
        )
    if scale == "list":
        sign = separator(field)
        return row.text_input(
            f"{field.label}: values",
            format_value(value),
            key=f"list {field.key}",
            help=f"Separate the values by “{sign}”. {field.help}",
            width="stretch",
            **KEPT,
        )
    low, high = _range(field, value)
    low, high = (
        row.number_input(
            f"{field.label}: {name}", value=float(limit), format="%g", key=f"{name} {field.key}", width=190, **KEPT
        )
        for name, limit in (("from", low), ("to", high))
    )
    return f"{low!r}..{high!r}{':log' if scale == 'logarithmic' else ''}"


def _range(field: SettingField, value: Any) -> tuple[float, float]:
    """Return the range at first: that of the report's questions, or from half to twice the value."""
    if field.key in QUESTIONS:
        return QUESTIONS[field.key]
    least, most = field.minimum or 0, field.maximum or value * 2
    low, high = max(value / 2, least), min(value * 2, most)
    if field.kind == "int":
        low, high = round(low), round(high)
    return (low, high) if low < high else (least, min(least + 1, most))


# --- when it ends and how it searches --------------------------------------------------------------------------------


def _budget() -> Budget:
    row = st.container(horizontal=True, vertical_alignment="bottom", key=room_key("labelled budget"))
    limit: dict[str, Any] = {"placeholder": "no limit", "width": 180} | KEPT
    trials = row.number_input("Trials", value=TRIALS, step=1, key="sweep trials", **limit)
    hours = row.number_input(
        "Hours of training", value=None, step=0.5, key="sweep hours", help="Of all trials together.", **limit
    )
    epochs = row.number_input("Epochs in all", value=None, step=10, key="sweep budget epochs", **limit)
    return Budget(trials=trials, hours=hours, epochs=epochs)


def _search() -> tuple[str, str]:
    choice: dict[str, Any] = {"required": True} | KEPT
    with st.expander("Search", icon=":material/search:"):
        sampler = st.segmented_control("Sampler", list(SAMPLERS), default="tpe", key="sampler", **choice)
        st.caption(SAMPLERS[sampler])
        pruner = st.segmented_control("Pruner", list(PRUNERS), default="median", key="pruner", **choice)
        st.caption(PRUNERS[pruner])
    return sampler, pruner
