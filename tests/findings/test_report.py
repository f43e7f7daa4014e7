"""A report is clean text with all its files, and does not mix with another one."""

import re

import pytest

from expertnet.errors import RunError
from expertnet.findings.experts import DOES
from expertnet.findings.report import write_report
from expertnet.inference.routing_cache import route_test_set
from expertnet.routing.ablations import ABLATIONS
from expertnet.routing.policies import ROUTINGS
from expertnet.store.notes import Notes
from expertnet.store.run_store import RunStore
from tests.support.controls import with_controls
from tests.support.lab import measured_images, random_split, save_best, saved_run


@pytest.mark.slow
def test_a_report_escapes_names_and_does_not_mix_with_another(tmp_path):
    run = saved_run(tmp_path / "runs")
    split = random_split()
    route_test_set(run, split)
    ROUTINGS.measure(run, measured_images())
    ABLATIONS.measure(run, measured_images(30, "test"))
    run.write_config(run.config() | {"data": run.config()["data"] | {"dataset": str(tmp_path / "gone.zip")}})
    run.annotate(Notes(name="![x](http://a.b) <b>: (1)"))
    run.write_status(run.status().changed(test_accuracy=0.9))
    with_controls(run, RunStore(tmp_path / "runs"), {"uniform": [0.8]})
    written = write_report(run, tmp_path / "report")
    assert all(path.is_file() for path in written)
    text = (tmp_path / "report" / "index.md").read_text()
    title, *sentences = [line for line in text.splitlines() if line.startswith("#")]
    assert title == r"# Routing of !\[x\](http&#58;//a.b) &#60;b&#62;: (1)"
    assert any(
        line.startswith("## Block") and any(words in line for pair in DOES.values() for words in pair)
        for line in sentences
    )
    assert not any("\\" in line for line in sentences)
    assert any(
        "Routing is indistinguishable from equal weights (+10.0 points) with 1 seed." in line for line in sentences
    )
    assert {"controls.csv", "controls.svg", "controls-by-seed.csv", "experts.csv", "expert-3-1.html"} < {
        path.name for path in written
    }
    assert set(re.findall(r"\]\((.+?)\)", text)) - {"http&#58;//a.b"} == {
        path.name for path in written if path.suffix in (".csv", ".svg")
    }
    assert "gone.zip" in text.splitlines()[-1]
    assert "routings.csv" in text and "switched-off.csv" not in text  # which was measured on the test images
    on_test = write_report(run, tmp_path / "on test", part="test")
    assert {"switched-off.csv", "replaced-by-mean.svg"} < {path.name for path in on_test}
    assert (
        write_report(run, tmp_path / "report") == written
    )  # of the same network, so nothing else's files stay among them
    for folder, index in ((tmp_path / "own", "# My notes"), (tmp_path / "report", text.replace(run.id, "another"))):
        folder.mkdir(exist_ok=True)
        (folder / "index.md").write_text(index)
        with pytest.raises(RunError, match="of another report"):
            write_report(run, folder)
        assert (folder / "index.md").read_text() == index

    def cut_off(activity, share):
        if activity.startswith("Writing information"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(run, tmp_path / "half", progress=cut_off)
    assert run.id in (tmp_path / "half" / "index.md").read_text()


@pytest.mark.slow
def test_a_report_does_not_mix_the_weights_of_two_epochs(tmp_path):
    """The training saves a better epoch while the report is written."""
    run = saved_run(tmp_path / "runs", num_experts=1)
    route_test_set(run, random_split())
    run.write_config(run.config() | {"data": run.config()["data"] | {"dataset": str(tmp_path / "gone.zip")}})

    def train(activity, share):
        if activity.startswith("Writing information"):
            save_best(run, 2, num_experts=1)

    with pytest.raises(
        RunError, match=r"saved epoch 2 during the report on epoch 1\. It would mix the results of both"
    ):
        write_report(run, tmp_path / "report", progress=train)
    assert "##" not in (tmp_path / "report" / "index.md").read_text()
