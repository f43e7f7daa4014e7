"""What a page says while work goes on in the background, and when it waits for the user."""

import threading
from types import SimpleNamespace

from streamlit.testing.v1 import AppTest

from expertnet.ui import tasks
from tests.support.small import LIMIT

KEY = "slow work"


def page():
    import streamlit as st

    from expertnet.ui.background import in_background

    in_background("slow work", "Probe the CIFAR images", st.session_state["work"], unasked=10.0)


def test_work_that_takes_too_long_says_so_and_starts_at_a_press(monkeypatch):
    clock = iter([0.0, 4.0, 5.0, 9.0])  # counts from 4 s on, to one half at 9 s, and so to 14 s
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "time", SimpleNamespace(monotonic=lambda: next(clock)))

        def judged(progress, cancelled):
            for share in (0.0, 0.25, 0.5):
                progress("counting", share)

        tasks.start(KEY, judged, within=10.0).join(LIMIT)
    test, go = AppTest.from_function(page, default_timeout=LIMIT), threading.Event()
    test.session_state["work"] = lambda progress, cancelled: go.wait(LIMIT)
    test.run()
    assert [each.value for each in test.caption] == [
        "Probing the CIFAR images takes about 10 s here, so it waits for you to start it. Meanwhile, you can use or leave this page."
    ]
    (start,) = test.button
    assert start.label == "Probe the CIFAR images"
    start.click().run()
    (stop,) = test.button
    assert stop.label == "Stop probing the CIFAR images" and not test.caption
    task = tasks.find(KEY)
    assert task.running and not task.too_slow
    go.set()
    task.join(LIMIT)
