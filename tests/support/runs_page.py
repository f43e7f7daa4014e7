"""The Runs page, its buttons and fields, and runs to list."""

import json

from expertnet.ui.runs.state import SELECTED
from tests.support.opening import new_session, written


def page(*selected, **query):
    """The Runs page with these runs selected."""
    test = new_session("runs")
    for name, value in query.items():
        test.query_params[name] = value
    test.session_state[SELECTED] = tuple(run.id for run in selected)
    return sound(test.run())


def sound(test):
    assert not test.exception, [error.value for error in test.exception]
    return test


def names(test):
    return test.dataframe[0].value["Run"].tolist()


def button(test, label):
    (found,) = [button for button in test.button if button.label == label]
    return found


def press(test, label):
    """Presses a button and returns the page after it."""
    button(test, label).click()
    return sound(test.run())


def field(test, label):
    (found,) = [field for field in (*test.text_input, *test.text_area) if field.label == label]
    return found


def said(test):
    return "\n".join(item.value for item in (*test.caption, *test.markdown, *test.info, *test.text))


def several(store, count=7):
    return [
        written(
            store,
            f"Run {number}",
            preset="report" if number % 2 else "quick",
            dataset="cifar10" if number < 3 else "digits",
            state="stopped" if number == 0 else "finished",
            accuracy=0.5 + number / 50,
            **{"data.validation_share": 0.1, "training.lr": 0.001 * (number + 1), "model.residual": number % 2 == 0},
        )
        for number in range(count)
    ]


def specs(test):
    return [json.loads(chart.proto.spec) for chart in test.get("vega_lite_chart")]
