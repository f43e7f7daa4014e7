"""The mistakes of a network, against its probabilities for every image."""

import pytest
import torch

from expertnet.data.datasets import load_dataset
from expertnet.inference.mistakes import KEPT, find_mistakes
from expertnet.inference.predictor import load_predictor
from expertnet.store.run_store import RunStore
from expertnet.utils.progress import Cancelled
from tests.support.opening import finished


@pytest.mark.parametrize("part", ["test", "validation"])
def test_mistakes_are_those_of_the_set_with_the_most_certain_answers_first(tmp_path, part):
    run = finished(RunStore(tmp_path / "runs"))
    settings = run.settings()
    split = getattr(load_dataset(settings.data, settings.seed), part)
    probabilities = torch.cat([load_predictor(run)(images)[0] for images in split.images.split(50)])
    found = find_mistakes(run, part)
    assert torch.equal(found.labels, split.labels) and torch.equal(found.predictions, probabilities.argmax(1))
    wrong = [
        (probabilities[place].max().item(), place)
        for place in (probabilities.argmax(1) != split.labels).nonzero()[:, 0].tolist()
    ]
    assert len(wrong) > 2 and len(found.worst) == min(len(wrong), KEPT)
    expected = sorted(wrong, reverse=True)[: len(found.worst)]
    assert [mistake.probability for mistake in found.worst] == pytest.approx([each[0] for each in expected], abs=1e-4)
    for mistake in found.worst:
        assert torch.equal(mistake.image, split.images[mistake.place])
        assert mistake.label == split.labels[mistake.place] != mistake.answer


def test_a_search_for_mistakes_can_be_stopped(tmp_path):
    run = finished(RunStore(tmp_path / "runs"))
    with pytest.raises(Cancelled):
        find_mistakes(run, "validation", cancelled=lambda: True)
