"""Runs to look at, and a page opened on one without a browser.

In this module: TINY, finished, opened.
"""

from streamlit.testing.v1 import AppTest

from expertnet.fields import build_settings
from expertnet.training import Stop, run_training

TINY = {
    "model.num_blocks": 2,
    "model.channels": 8,
    "model.pool_after": (1,),
    "data.image_size": 8,
    "data.crop_padding": 1,
    "training.epochs": 2,
    "hardware.device": "cpu",
}


def finished(store, **overrides):
    run = store.create(build_settings("quick", "digits", TINY | overrides), "quick", "<b>mine</b> *x*")
    run_training(run, Stop())
    assert run.state == "finished"
    return run


def opened(page, run=None, **address):
    """The page, with ?run= and what else the address says."""
    test = AppTest.from_file("../../app.py", default_timeout=60)
    for name, value in (address | ({"run": run} if run is not None else {})).items():
        test.query_params[name] = value
    test.switch_page(f"pages/{page}.py").run()
    assert not test.exception, [error.value for error in test.exception]
    return test
