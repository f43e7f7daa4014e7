"""The outputs of a network are computed once, are used only if they are its own, and find the images of a cell."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from expertnet.evaluation.outputs import Outputs, cached_outputs, measure_outputs
from expertnet.inference.predictor import load_predictor
from expertnet.routing.effects import load_part
from expertnet.store.run_store import RunStore
from tests.support.opening import finished


@pytest.mark.slow
@pytest.mark.parametrize("part", ["validation", "test"])
def test_outputs_are_those_of_the_network_and_are_cached(part):
    run = finished(RunStore())
    found = measure_outputs(run, part)
    split, network = load_part(run, part), load_predictor(run)
    assert torch.equal(found.labels, split.labels)
    probabilities, routing = network(split.images[:20])
    torch.testing.assert_close(torch.stack([found.probabilities(place) for place in range(20)]), probabilities)
    torch.testing.assert_close(found.confidence[:20], probabilities.amax(1))
    torch.testing.assert_close(found.routing[:20], routing, atol=1e-3, rtol=0)
    if part == "test":
        accuracy = (found.predictions == found.labels).double().mean().item()
        assert accuracy == pytest.approx(run.status().test_accuracy)
    path = run.path / f"outputs-{part}-best.safetensors"
    kept = cached_outputs(run, part)
    assert torch.equal(kept.logits, found.logits) and measure_outputs(run, part) is kept
    assert kept.temperature == found.temperature and (kept.temperature is None) == (part == "test")
    metadata = {"epoch": str(network.epoch), "images": network.info.fingerprint}
    whole = load_file(path)
    if part == "validation":
        save_file({name: each for name, each in whole.items() if name != "temperature"}, path, metadata)
        assert cached_outputs(run, part).temperature == found.temperature  # of an older version, which did not keep it
        few = {name: each if name == "temperature" else each[:49].contiguous() for name, each in whole.items()}
        save_file(few, path, metadata)
        assert len(cached_outputs(run, part).labels) == 49 and cached_outputs(run, part).temperature is None
        for wrong in ([-1.0], [float("nan")], [1.0, 2.0]):
            save_file(whole | {"temperature": torch.tensor(wrong)}, path, metadata)
            assert cached_outputs(run, part) is None
    for broken in ({"labels": torch.full_like(split.labels, 99)}, {"logits": found.logits[:, :3].contiguous()}):
        save_file(whole | broken, path, metadata)
        assert cached_outputs(run, part) is None
    save_file({"labels": found.labels}, path, {"epoch": "77"})
    assert cached_outputs(run, part) is None


def test_images_are_found_by_class_and_answer_with_the_most_disagreement_first():
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    shares = torch.tensor(
        [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.0, 1.0, 0.0], [0.1, 0.1, 0.8]]
    )
    found = Outputs("test", labels, shares.clamp_min(1e-9).log(), torch.ones(6, 1, 1), "x")
    assert found.disagreement.tolist() == pytest.approx([-0.5, 0.3, 0.7, 0.1, -1.0, -0.7], abs=1e-6)
    assert found.places(wrong=True).tolist() == [2, 1, 3]
    assert found.places(label=0, answer=1).tolist() == [2, 1]  # a cell
    assert found.places(label=0).tolist() == [2, 1, 0]  # a row
    assert found.places(answer=1).tolist() == [2, 1, 4]  # a column
    assert found.places(label=2, wrong=True).tolist() == []
