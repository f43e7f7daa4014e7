"""Mistakes on the Predict page: one that the URL names, and the ones before and after it."""

import json

import torch

from expertnet.data.parts import load_validation_split
from expertnet.inference.mistakes import find_mistakes
from expertnet.inference.predictor import load_predictor
from expertnet.store.run_store import RunStore
from expertnet.utils.text import percent
from tests.support.opening import finished, opened
from tests.support.predict import answers
from tests.support.settling import settled


def test_the_url_of_a_mistake_shows_its_image():
    run = finished(RunStore())
    mistake = find_mistakes(run, "validation").worst[0]
    test = opened("predict", run.id, image=str(mistake.place + 1), part="validation")
    assert any(
        f"true class of validation image {mistake.place + 1} is {mistake.label}." in caption.value
        for caption in test.caption
    )
    assert answers(test)[0].startswith(f"Answer: {mistake.answer} ({percent(mistake.probability)}")
    for wrong in ("0", "99999", "x", "-1"):
        assert any(caption.value.endswith(" is 0.") for caption in opened("predict", run.id, image=wrong).caption)


def button(test, label):
    return next(each for each in test.button if each.label == label)


def test_a_mistake_leads_to_the_one_before_it_and_the_one_after_it():
    """The worst come first, as on Train, and then the others. Right answers lead nowhere."""
    run = finished(RunStore())
    predictor, split = load_predictor(run), load_validation_split(run.settings().data, run.settings().seed)
    answered = torch.cat([predictor(images)[0] for images in split.images.split(50)])
    right = answered.argmax(1) == split.labels
    worst = [mistake.place for mistake in find_mistakes(run, "validation").worst]
    wrong = [place for place in range(len(split)) if not right[place]]
    last = max(set(wrong) - set(worst))

    def shown(test):
        (strip,) = [each.proto.json for each in test.get("bidi_component") if '"Test images"' in each.proto.json]
        return json.loads(strip)["tiles"][0][2]

    def name(place):
        return f"Validation image {place + 1}: class {split.labels[place]}"

    test = settled(opened("predict", run.id, image=str(worst[0] + 1), part="validation"))
    assert shown(test) == name(worst[0]) and button(test, "Previous mistake").disabled
    for place in worst[1:]:
        button(test, "Next mistake").click().run()
        assert shown(test) == name(place) and "The answer is wrong." in " ".join(each.value for each in test.caption)
    button(test, "Next mistake").click().run()
    assert shown(test) == name(min(set(wrong) - set(worst)))
    button(test, "Previous mistake").click().run()
    assert shown(test) == name(worst[-1])
    test = opened("predict", run.id, image=str(last + 1), part="validation")
    assert button(test, "Next mistake").disabled and not button(test, "Previous mistake").disabled
    test = opened("predict", run.id, image=str(right.tolist().index(True) + 1), part="validation")
    assert not any("mistake" in each.label for each in test.button)
