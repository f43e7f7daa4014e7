"""What the lab says about the recorded trainings on the datasets with a known answer."""

from benchmarks import rows
from benchmarks.earlier import QUICK
from benchmarks.planted import CHANGES, FIRST, factor_sentences
from expertnet.data import planted
from expertnet.data.info import DatasetInfo
from expertnet.findings.controls import retrained
from expertnet.network.controls import ARMS
from expertnet.settings.fields import build_settings, parse_assignments
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from tests.support.controls import measured, with_controls
from tests.support.opening import SHIPPED_CONTEXTS


def sentence(data):
    """What the lab says about runs with the recorded accuracies."""
    recorded = [row for row in rows.read(rows.RESULTS / f"accuracy-planted-{data}.jsonl") if row["changes"] == CHANGES]
    accuracies = {
        arm: [row["test_accuracy"] for row in sorted(recorded, key=lambda row: row["seed"]) if row["variant"] == arm]
        for arm in ARMS
    }
    assert len(accuracies["learned"]) >= 3 and min(row["seed"] for row in recorded) == FIRST
    settings = build_settings("quick", data, QUICK | parse_assignments([*CHANGES, f"seed={FIRST}"]))
    info = DatasetInfo(data, planted.CLASSES[data][1], (0.5,) * 3, (0.2,) * 3, 32, "x")
    store = RunStore()
    run = measured(store.create(settings, own=info), accuracies["learned"][0])
    found = retrained(with_controls(run, store, accuracies))
    assert found is not None
    return found.sentence


def test_on_contexts_routing_earns_accuracy_over_networks_without_any_choice_by_image():
    improved = sentence("contexts").partition("improves accuracy over ")[2].partition(";")[0]
    assert "equal weights" in improved and "one expert of equal multiply-adds" in improved


def test_on_shapes_routing_earns_nothing():
    said = sentence("shapes")
    assert "Routing" in said and "improves" not in said


def test_the_included_network_sends_each_ground_to_an_expert_of_its_own():
    run = Run(SHIPPED_CONTEXTS)
    first, *more = factor_sentences(run)
    assert first.startswith("Block 2 follows the background of the image, which explains 99.")
    assert [
        said for said in more if said.startswith("In block 2, each background favors an expert of its own: ")
    ] == more
