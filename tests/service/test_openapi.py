"""Requests generated from the service's own description."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from expertnet.service.app import make_app
from expertnet.service.intake import BYTES, PIXELS
from expertnet.service.limits import Limits
from tests.support.hostile.inputs import images


@pytest.fixture(scope="module")
def schemathesis():
    import schemathesis  # takes long, and the fast tests do without

    drawn = st.sampled_from(images())
    for kind in (BYTES, "image/*"):
        schemathesis.openapi.media_type(kind, drawn)
    schemathesis.openapi.media_type(PIXELS, st.sampled_from((bytes(192), bytes(384))))
    schemathesis.openapi.format("binary", drawn)  # the files of a form
    return schemathesis


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_the_service_does_what_its_description_says(served, schemathesis, mode):
    mode = schemathesis.GenerationMode(mode)
    description = schemathesis.openapi.from_asgi("/openapi.json", make_app(served, threads=1, limits=Limits()))
    operations = [result.ok() for result in description.get_all_operations()]
    assert {operation.path for operation in operations} == {"/predict", "/about", "/metrics", "/health", "/ready"}
    if mode.is_negative:  # which needs something to violate
        operations = [operation for operation in operations if operation.path == "/predict"]
    for operation in operations:

        @settings(max_examples=8, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)
        @given(operation.as_strategy(generation_mode=mode))
        def send(case):
            case.call_and_validate()

        send()
