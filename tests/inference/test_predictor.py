"""Predictions of a network for batches of images."""

import pytest
import torch

from expertnet.data.info import DatasetInfo
from expertnet.errors import RunError
from expertnet.inference.predictor import BATCH, Predictor, load_predictor
from expertnet.network.model import ExpertNet
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import ModelSettings
from tests.support.lab import saved_run

INFO = DatasetInfo("colors", ("red", "green", "blue"), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), 8, "x")
COUNT = BATCH + 7


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(11)
    settings = ModelSettings(num_blocks=2, channels=8, reduction=2, pool_after=(1,))
    return Predictor(ExpertNet(settings, 3), build_settings("quick", "digits"), INFO, 1)


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (COUNT, 3, 8, 8), generator=torch.Generator().manual_seed(4)).to(torch.uint8)


def test_batches_get_the_answers_of_single_images(predictor, images):
    answers = predictor.classify(list(images))
    assert len(answers) == COUNT
    for image, answer in zip(images, answers, strict=True):
        probabilities, routing = predictor(image[None])
        torch.testing.assert_close(answer.probabilities, probabilities[0])
        torch.testing.assert_close(answer.routing, routing[0])


def test_predictions_are_the_largest_probabilities_in_order(predictor, images):
    (answer,) = predictor.classify(images[:1], top=2)
    values, indices = answer.probabilities.sort(descending=True)
    assert [prediction.label for prediction in answer.predictions] == [INFO.classes[i] for i in indices[:2].tolist()]
    assert [prediction.probability for prediction in answer.predictions] == values[:2].tolist()


def test_top_may_exceed_the_number_of_classes(predictor, images):
    (answer,) = predictor.classify(images[:1], top=99)
    assert sorted(prediction.label for prediction in answer.predictions) == sorted(INFO.classes)


def test_no_images_have_no_answers(predictor):
    assert predictor.classify([]) == []


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused_with_a_sentence(value, tmp_path):
    run = saved_run(tmp_path / "runs")
    weights, epoch = run.checkpoints.load("best")
    weights["backbone.blocks.1.branch.route.bias"][0] = value
    run.checkpoints.save("best", weights, epoch)
    with pytest.raises(RunError, match="has weights that are not finite numbers"):
        load_predictor(run)
