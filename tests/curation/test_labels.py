"""Suspected labels: confident learning against cleanlab, and wrong labels that are planted."""

import numpy as np
import pytest
from PIL import Image

from expertnet.curation import labels
from expertnet.curation.labels import confident_errors, find_doubts
from expertnet.curation.survey import survey
from expertnet.errors import DatasetError
from expertnet.settings.schema import DataSettings
from expertnet.utils.progress import Cancelled
from tests.support.photos import encoded, write


def test_the_errors_are_those_of_an_example_on_paper():
    own = np.array([0, 0, 0, 1, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.65, 0.35]])
    # thresholds: (0.9 + 0.8 + 0.1) / 3 = 0.6 and (0.8 + 0.7 + 0.35) / 3 = 0.617
    first, second = confident_errors(probabilities, own)
    assert (first.row, first.label, first.suggested, first.probability) == (2, 0, 1, 0.9)
    assert (second.row, second.suggested) == (5, 0)
    probabilities[5] = 0.55, 0.45  # less sure than of the average image with label 0, now 0.6 as before
    assert [error.row for error in confident_errors(probabilities, own)] == [2]


@pytest.mark.slow  # cleanlab takes seconds to import
@pytest.mark.filterwarnings("ignore")
def test_the_errors_are_those_of_cleanlab():
    filters = pytest.importorskip("cleanlab.filter")
    for seed in range(20):
        random = np.random.default_rng(seed)
        classes = random.integers(2, 8)
        given = np.concatenate([np.arange(classes), random.integers(0, classes, 200)])
        probabilities = random.dirichlet([0.4] * classes, len(given)) + np.eye(classes)[given] * random.random(
            (len(given), 1)
        )
        probabilities /= probabilities.sum(1, keepdims=True)
        expected = filters.find_label_issues(given, probabilities, filter_by="confident_learning", n_jobs=1)
        found = sorted(error.row for error in confident_errors(probabilities, given))
        assert found == np.flatnonzero(expected).tolist(), seed


def red_and_blue(folder, wrong):
    """Write 60 noisy images of each color, of which those in `wrong` are in the other class."""
    files = {}
    for number in range(120):
        random = np.random.default_rng(number)
        pixels = random.integers(0, 120, (8, 8, 3))
        pixels[..., number % 2 * 2] += 80
        name = ("red", "blue")[(number + (number in wrong)) % 2]
        files[f"{name}/{number}.png"] = encoded(Image.fromarray(pixels.astype(np.uint8)))
    return DataSettings(dataset=str(write(folder, files)), image_size=8)


@pytest.mark.slow  # trains three networks
def test_wrong_labels_are_found_with_the_right_class(tmp_path, monkeypatch):
    monkeypatch.setattr(labels, "STEPS", 60)  # are enough to tell two colors apart
    wrong = {4, 31, 77}
    data = red_and_blue(tmp_path / "own", wrong)
    found = survey(data)
    doubts = find_doubts(data, found, threads=1)
    names = found.images["name"]
    assert {names[one.row] for one in doubts.suspects} == {"blue/4.png", "red/31.png", "red/77.png"}
    assert all(one.suggested != one.label and one.probability > 0.5 > one.label_probability for one in doubts.suspects)
    assert doubts.accuracy == pytest.approx(117 / 120)
    with pytest.raises(Cancelled):
        find_doubts(data, found, cancelled=lambda: True)


def test_images_that_have_changed_are_refused(tmp_path):
    data = red_and_blue(tmp_path / "own", set())
    found = survey(data)
    (tmp_path / "own/red/0.png").unlink()
    with pytest.raises(DatasetError, match="changed in the meantime"):
        find_doubts(data, found)
