"""Images unlike those of the training are told by their distance, which is compared with scikit-learn's, and by the network's doubt."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file
from sklearn.decomposition import PCA

from expertnet.data.datasets import load_dataset
from expertnet.inference.novelty import Verdict, cached_novelty, find_novelty, fit, measure_novelty
from expertnet.inference.predictor import load_predictor
from expertnet.store.run_store import RunStore
from expertnet.utils.progress import Cancelled
from tests.support.opening import finished

FEATURES, CLASSES = 12, 3
MEANS = torch.tensor([[0.0] * FEATURES, [4.0] * FEATURES, [-4.0, 4.0] * (FEATURES // 2)])


def drawn(count, seed, means=MEANS):
    """Features around the means of their classes, correlated, and the labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(means)
    mixed = torch.randn(count, FEATURES, generator=generator) @ torch.randn(
        FEATURES, FEATURES, generator=torch.Generator().manual_seed(5)
    )
    return means[labels] * 3 + mixed, labels


def sure(count):
    return torch.tensor([[0.9, 0.1, 0.0]]).repeat(count, 1) + torch.linspace(-0.05, 0.05, count)[:, None]


@pytest.fixture(scope="module")
def novelty():
    features, _ = drawn(400, 2)
    return fit(*drawn(3000, 1), (features, sure(400)))


def test_the_distance_is_that_of_probabilistic_pca(novelty):
    features, labels = (each.numpy() for each in drawn(3000, 1))
    scaled = (features - features.mean(0)) / features.std(0, ddof=1)
    means = np.stack([scaled[labels == label].mean(0) for label in range(CLASSES)])
    pca = PCA(FEATURES - 1).fit(scaled - means[labels])
    precision = pca.get_precision()
    strange, _ = drawn(50, 3, MEANS * 2)
    rows = (strange.numpy() - features.mean(0)) / features.std(0, ddof=1)
    expected = [min((row - mean) @ precision @ (row - mean) for mean in means) for row in rows]
    assert novelty.distances(strange).numpy() == pytest.approx(np.array(expected), rel=1e-3)


def test_an_image_in_twenty_is_called_unlike_and_far_or_doubtful_ones_are(novelty):
    usual, _ = drawn(2000, 4)
    limit = novelty.held_out.quantile(0.95)
    unlike = (novelty.scores(usual, sure(2000)) > limit).float().mean()
    assert 0.02 < unlike < 0.09
    assert (novelty.scores(usual * 5, sure(2000)) > limit).float().mean() > 0.95
    assert (novelty.scores(usual, torch.full((2000, CLASSES), 1 / CLASSES)) > limit).all()


def test_images_beyond_all_held_out_ones_still_differ_in_their_score(novelty):
    usual, _ = drawn(1, 4)
    features = torch.cat([usual * scale for scale in (4, 6, 9)])
    verdicts = novelty.judge(features.numpy(), sure(3).numpy())
    assert all(each.unlike and each.as_unusual == 0 for each in verdicts)
    scores = [each.score for each in verdicts]
    assert scores == sorted(scores) and scores == pytest.approx(novelty.scores(features, sure(3)).tolist(), rel=1e-5)
    assert scores[2] > scores[0] + 0.1 and scores[0] > novelty.held_out.max()
    assert verdicts[0].limit == pytest.approx(novelty.held_out.quantile(0.95).item(), rel=1e-5)


def test_a_verdict_in_words():
    assert Verdict(False, 0.434, 143, 0.1, 2.0).sentence == (
        "Nothing marks this image as unusual: it is more typical than 43.4% of the 143 images held out of training."
    )
    assert Verdict(True, 0.0, 1143, 9.0, 2.0).sentence == (
        "This image looks unlike the training images: it is less typical than all 1,143 images held out of training."
    )


@pytest.mark.slow
def test_noise_is_unlike_and_most_test_images_are_not_and_the_file_says_the_same(tmp_path):
    run = finished(RunStore(tmp_path / "runs"), **{"training.epochs": 6})
    measured, predictor, settings = measure_novelty(run), load_predictor(run), run.settings()
    assert (run.path / "novelty-best.safetensors").stat().st_size < 100_000
    kept = cached_novelty(run)
    test = load_dataset(settings.data, settings.seed).test.images
    noise = torch.randint(0, 256, (50, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for images, low, high in ((test, 0.0, 0.12), (noise, 1.0, 1.0)):
        answers = predictor.classify(images)
        verdicts = kept.verdicts(answers)
        for other in (measured, find_novelty(run)):
            for found, expected in zip(verdicts, other.verdicts(answers), strict=True):
                assert vars(found) == pytest.approx(vars(expected))
        assert low <= sum(verdict.unlike for verdict in verdicts) / len(images) <= high


def test_the_features_come_with_the_same_answers(tmp_path):
    predictor = load_predictor(finished(RunStore(tmp_path / "runs")))
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    probabilities, routing, features = predictor.look(images)
    assert torch.equal(
        torch.cat((probabilities, routing.flatten(1)), 1), torch.cat([p.flatten(1) for p in predictor(images)], 1)
    )
    assert features.shape == (5, 2 * 2 * 8)  # the mean and the deviation of eight channels in two blocks


def test_damaged_or_foreign_files_are_measured_again(tmp_path):
    run = finished(RunStore(tmp_path / "runs"))
    novelty, path = measure_novelty(run), run.path / "novelty-best.safetensors"
    content = path.read_bytes()
    tensors = load(content)
    metadata = {"epoch": str(load_predictor(run).epoch), "images": run.dataset_info().fingerprint}
    for damage in (
        lambda: path.write_bytes(content[:500]),
        lambda: save_file(tensors | {"mean": torch.zeros(3)}, path, metadata),
        lambda: save_file(tensors | {"held_out": torch.full((9,), torch.nan)}, path, metadata),
        lambda: save_file(tensors | {"mean": torch.zeros(len(tensors["mean"]), dtype=torch.int32)}, path, metadata),
        lambda: save_file(tensors | {"scale": tensors["scale"].half()}, path, metadata),
        lambda: save_file({"mean": tensors["mean"]}, path, metadata),
        lambda: save_file(tensors, path, metadata | {"epoch": "99"}),
    ):
        damage()
        assert cached_novelty(run) is None
    assert torch.equal(find_novelty(run).held_out, novelty.held_out) and cached_novelty(run) is not None


def test_without_the_images_nothing_is_said(tmp_path, monkeypatch):
    run = finished(RunStore(tmp_path / "runs"))
    config = run.config()
    run.write_config(config | {"data": config["data"] | {"dataset": str(tmp_path / "gone.zip")}})
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "empty"))
    assert find_novelty(run) is None


def test_it_can_be_stopped(tmp_path):
    run = finished(RunStore(tmp_path / "runs"))
    with pytest.raises(Cancelled):
        measure_novelty(run, cancelled=lambda: True)


@pytest.mark.slow
def test_the_test_images_join_few_validation_images(tmp_path):
    run = finished(RunStore(tmp_path / "runs"), **{"data.validation_share": 0.05})
    assert len(measure_novelty(run).held_out) == 359 + len(load_dataset(run.settings().data, 0).validation)
