"""The Predict page with a second run, whose answers stand beside those of the first."""

import shutil

from expertnet.inference.attribution import attribute
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import load_own_test_set
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from tests.support.opening import SHIPPED_CONTEXTS, finished, opened
from tests.support.predict import answers, second


def test_two_runs_answer_side_by_side():
    runs = [finished(RunStore()), finished(RunStore(), seed=1, **{"data.image_size": 16})]
    test = opened("predict", runs[0].id)
    assert len(answers(test)) == 1
    second(test).set_value(runs[1].id).run()
    assert not test.exception and not test.error and len(answers(test)) == 2
    assert len(test.get("vega_lite_chart")) == 4
    said, split = [caption.value for caption in test.caption], load_own_test_set(runs[0])
    place = split.labels.tolist().index(0)
    for run, answer in zip(runs, answers(test), strict=True):
        label, image = int(answer.split()[1]), load_own_test_set(run).images[place]
        found = attribute(load_predictor(run), image)
        assert all(
            f"{part}: {added:+.2f}" in said
            for part, added in zip(found.parts, found.maps[label].sum((1, 2)).tolist(), strict=True)
        )


def test_the_second_run_is_kept_in_the_url_and_named_apart_from_one_of_the_same_title():
    run, other = (finished(RunStore(), seed=seed) for seed in (0, 1))
    test = opened("predict", run.id)
    second(test).set_value(other.id).run()
    assert test.query_params["with"] == other.id
    again = opened("predict", run.id, **{"with": other.id})
    assert second(again).value == other.id and len(answers(again)) == 2
    assert all(any(said.value.endswith(f" · {each.id[-4:]}") for said in again.caption) for each in (run, other))
    second(again).set_value(None).run()
    assert len(answers(again)) == 1 and "with" not in again.query_params
    itself = opened("predict", run.id, **{"with": run.id})
    assert len(answers(itself)) == 1 and "or it is the first one" in itself.toast[0].value and not itself.run().toast


def test_a_second_network_that_does_not_know_the_class_of_an_image_is_not_called_wrong():
    run = finished(RunStore())
    other = Run(shutil.copytree(SHIPPED_CONTEXTS, RunStore().root / SHIPPED_CONTEXTS.name))
    test = opened("predict", run.id)
    second(test).set_value(other.id).run()
    assert len(answers(test)) == 2
    assert sum(caption.value.startswith("The answer is ") for caption in test.caption) == 1
    assert sum("The true class of test image" in caption.value for caption in test.caption) == 2
