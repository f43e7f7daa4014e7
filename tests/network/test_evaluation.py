"""Evaluation by batches against one pass over everything."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F

from expertnet.data.augment import normalize
from expertnet.data.splits import Split
from expertnet.network.evaluation import EVALUATION_BATCH, Evaluator, batches, evaluate
from expertnet.network.model import ExpertNet
from expertnet.settings.schema import ModelSettings

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)
CLASSES = 3


def network():
    torch.manual_seed(1)
    return ExpertNet(ModelSettings(num_blocks=2, channels=4, reduction=2, pool_after=()), CLASSES).eval()


def split(count):
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 3, 8, 8), generator=generator).to(torch.uint8)
    return Split(images, torch.randint(CLASSES, (count,), generator=generator))


def test_batches_cover_every_image_once_and_in_order():
    whole = split(2 * EVALUATION_BATCH + 7)
    parts = batches(whole)
    assert [len(part) for part in parts] == [EVALUATION_BATCH, EVALUATION_BATCH, 7]
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)


def test_results_are_those_of_a_single_pass():
    net, whole = network(), split(EVALUATION_BATCH + 40)
    result = evaluate(net, whole, MEAN, STD, mirrored=True)
    images = normalize(whole.images, torch.tensor(MEAN), torch.tensor(STD))
    with torch.no_grad():
        logits, routing = net(images, True)
        both = logits + net(images.flip(3))
    predicted = logits.argmax(1)
    assert result.loss == pytest.approx(F.cross_entropy(logits, whole.labels).item(), rel=1e-4)
    assert result.accuracy == pytest.approx((predicted == whole.labels).double().mean().item())
    assert result.accuracy_mirrored == pytest.approx((both.argmax(1) == whole.labels).double().mean().item())
    assert result.confusion.sum(1).tolist() == whole.labels.bincount(minlength=CLASSES).tolist()
    assert result.confusion.sum(0).tolist() == predicted.bincount(minlength=CLASSES).tolist()
    torch.testing.assert_close(result.routing, routing, rtol=0, atol=1e-5)
    assert torch.equal(result.labels, whole.labels)


def test_six_views_of_the_hard_images():
    net, whole = network(), split(EVALUATION_BATCH + 42)
    with torch.no_grad():  # so that many images are close to another answer
        net.classifier.head.bias -= net(normalize(whole.images, torch.tensor(MEAN), torch.tensor(STD))).mean(0)
    result = evaluate(net, whole, MEAN, STD, mirrored=True, views=True)
    right = mirrored_right = 0
    for part in batches(whole):
        images = normalize(part.images, torch.tensor(MEAN), torch.tensor(STD))
        larger = F.pad(images, (1,) * 4, mode="reflect")

        def both(seen):
            with torch.no_grad():
                return (net(seen) + net(seen.flip(3))) / 2

        pair = both(images)
        six = pair / 2 + (both(larger[:, :, :8, :8]) + both(larger[:, :, 2:, 2:])) / 4
        certainty = (2 * pair).softmax(1).amax(1)
        hard = certainty <= certainty.sort().values[-(-len(part) // 4) - 1]
        right += (torch.where(hard[:, None], six, pair).argmax(1) == part.labels).sum().item()
        mirrored_right += (pair.argmax(1) == part.labels).sum().item()
    assert result.accuracy_views == pytest.approx(right / len(whole))
    assert result.accuracy_mirrored == pytest.approx(mirrored_right / len(whole))
    assert right != mirrored_right


def test_an_evaluation_can_stop_between_batches():
    net, whole = network(), split(EVALUATION_BATCH + 40)
    evaluator = Evaluator(net, torch.tensor(MEAN), torch.tensor(STD), nullcontext)
    first, _ = batches(whole)
    evaluator.add(first)
    result = evaluator.result()
    assert torch.equal(result.labels, first.labels) and result.confusion.sum() == EVALUATION_BATCH
    assert result.accuracy_mirrored is None and result.accuracy_views is None
