"""The report escapes whatever a user can name, and compares runs on the images that both have."""

from dataclasses import replace

import pytest

from expertnet.errors import RunError
from expertnet.evaluation.compare import in_common
from expertnet.findings.evaluation_report import html_report
from expertnet.inference.predictor import load_predictor
from expertnet.routing.effects import load_part
from expertnet.store.notes import Notes
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from tests.support.opening import SHIPPED_CONTEXTS, finished, written


@pytest.mark.slow
def test_names_are_escaped():
    run = finished(RunStore())
    run.annotate(Notes(name="<script>alert(1)</script> & {braces}"))
    text = html_report(run, "validation", measures=False)
    assert "<script" not in text and "&lt;script&gt;alert(1)&lt;/script&gt; &amp; {braces}" in text
    assert "Robustness" not in text  # which was not measured


@pytest.mark.slow
def test_the_images_of_the_network_are_known_by_whatever_name_they_are_given():
    run = finished(RunStore())
    info, images = run.dataset_info(), load_part(run, "test")
    other = "These are not images of digits, which the network was trained on."
    assert other not in html_report(run, elsewhere=(images, replace(info, name="copy")), measures=False)
    changed = replace(info, fingerprint="another-v1", content="another")
    assert other in html_report(run, elsewhere=(images, changed), measures=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (0, "There are no mistakes."),
        (1, "There is 1 mistake."),
        (40, "There are 40 mistakes."),
        (41, "There are 41 mistakes. These are the 40 whose label the network doubts most."),
    ],
)
def test_the_mistakes_are_counted(wrong, says):
    run = finished(RunStore())
    info, split = run.dataset_info(), load_part(run, "test")
    labels = load_predictor(run)(split.images)[0].argmax(1)
    labels[:wrong] = (labels[:wrong] + 1) % 10
    assert f"<p>{says}</p>" in html_report(run, elsewhere=(replace(split, labels=labels), info), measures=False)


@pytest.mark.slow
def test_runs_with_other_validation_images_are_compared_on_those_that_both_have():
    store = RunStore()
    run, other = finished(store), finished(store, seed=1)
    mine, _ = in_common(load_part(run, "validation"), load_part(other, "validation"))
    text = html_report(run, "validation", other=other, measures=False)
    assert f"compared on {len(mine)} images that both have, of 143 and 143" in text
    assert f"Of {len(mine)} validation images, only the first is right on" in text


@pytest.mark.slow
def test_a_report_does_not_mix_the_weights_of_two_epochs():
    """The training saves a better epoch while the report is made."""
    run = finished(RunStore())
    weights, epoch = run.checkpoints.load("best")

    def train(activity, share):
        if activity.startswith("Classifying the test images"):
            run.checkpoints.save("best", weights, epoch + 1)

    with pytest.raises(RunError, match=f"saved epoch {epoch + 1} during the report on epoch {epoch}"):
        html_report(run, measures=False, progress=train)
    assert f"epoch {epoch + 1}" in html_report(run, measures=False)


@pytest.mark.slow
def test_runs_that_cannot_be_compared_are_refused():
    store = RunStore()
    run, small = finished(store), finished(store, **{"data.image_size": 16})
    with pytest.raises(RunError, match="do not have images of the same size"):
        html_report(run, other=small, measures=False)
    with pytest.raises(RunError, match="held out no validation images"):
        html_report(run, "validation", other=finished(store, **{"data.validation_share": 0}))
    with pytest.raises(RunError, match="do not have the same classes"):
        html_report(run, other=Run(SHIPPED_CONTEXTS))
    with pytest.raises(RunError, match="cannot be compared with itself"):
        html_report(run, other=run)
    waiting = written(store, "waits")
    waiting.write_config(waiting.config() | {"dataset": run.config()["dataset"]})
    with pytest.raises(RunError, match="no trained network"):
        html_report(run, other=waiting)
