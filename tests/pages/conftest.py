"""Pages measure without being asked, however busy the machine is. A test that wants the question sets the limit itself."""

from math import inf

import pytest

from expertnet.ui import tasks


@pytest.fixture(autouse=True)
def _measures_however_busy_the_machine_is(monkeypatch):
    monkeypatch.setattr(tasks, "JUDGED_AFTER", inf)
