"""Hostile requests over a real connection (benchmarks.service --hostile sends thousands)."""

import urllib.request

import pytest
from hypothesis import given, settings

from expertnet.service.app import make_app
from expertnet.service.limits import Limits
from tests.support.services import failures, hostile, live, status


@pytest.mark.slow
def test_no_hostile_request_makes_the_service_fail(served):
    with live(make_app(served, threads=1, limits=Limits())) as url:

        @settings(max_examples=60, database=None)
        @given(hostile())
        def send(case):
            assert (status(url, case) or 0) < 500, case

        send()
        with urllib.request.urlopen(f"{url}/metrics") as metrics:
            assert failures(metrics.read().decode()) == 0  # also of the requests that broke off
