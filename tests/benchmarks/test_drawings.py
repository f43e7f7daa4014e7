"""The included network for digits answers drawings better if they are prepared like its images."""

import pytest

from benchmarks.drawings import CANVAS, SIZES, WAYS, drawn
from expertnet.data.drawing import PEN
from expertnet.inference.novelty import cached_novelty
from expertnet.inference.predictor import load_predictor
from expertnet.store.run import Run
from tests.support.opening import SHIPPED_DIGITS


@pytest.mark.slow
def test_prepared_drawings_get_more_right_answers_and_fewer_are_called_unlike():
    run = Run(SHIPPED_DIGITS)
    predictor, novelty = load_predictor(run), cached_novelty(run)
    drawings, labels = drawn(2, 3, SIZES["as large as the canvas"], PEN * CANVAS)
    right, unlike = {}, {}
    for name in ("cropped and reduced", "as drawn"):
        answers = predictor.classify([WAYS[name](drawing, predictor.image_size) for drawing in drawings])
        right[name] = sum(answer.predictions[0].label == label for answer, label in zip(answers, labels, strict=True))
        unlike[name] = sum(verdict.unlike for verdict in novelty.verdicts(answers))
    assert len(labels) == 60 and right["cropped and reduced"] > right["as drawn"]
    assert unlike["cropped and reduced"] < 0.75 * unlike["as drawn"]
