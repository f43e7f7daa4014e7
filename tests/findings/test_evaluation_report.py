"""The report escapes whatever a user can name, and compares only runs with the same images."""

import pytest

from expertnet.errors import RunError
from expertnet.findings.evaluation_report import html_report
from expertnet.store.notes import Notes
from expertnet.store.run_store import RunStore
from tests.support.opening import finished


@pytest.mark.slow
def test_names_are_escaped_and_other_images_are_refused():
    store = RunStore()
    run, other = finished(store), finished(store, seed=1)
    run.annotate(Notes(name="<script>alert(1)</script> & {braces}"))
    with pytest.raises(RunError, match="do not have the same validation images"):
        html_report(run, "validation", other=other)
    text = html_report(run, "validation", measures=False)
    assert "<script" not in text and "&lt;script&gt;alert(1)&lt;/script&gt; &amp; {braces}" in text
    assert "Robustness" not in text  # which was not measured
