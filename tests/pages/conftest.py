"""AppTest asks for a page past app.py every time, a server only for the first: here no page begins anew (shell.require)."""

import pytest

from expertnet.ui import shell


@pytest.fixture(autouse=True)
def always_past_the_entry(monkeypatch):
    monkeypatch.setattr(shell, "BEGIN_ANEW", False)
