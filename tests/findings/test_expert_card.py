"""A card says what an expert prefers, changes and loses, and is a page of its own."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import torch
from PIL import Image

from expertnet.findings.expert_card import expert_card, network_in_words, to_html
from expertnet.inference.predictor import load_predictor
from expertnet.routing.effects import KINDS, Ablations
from expertnet.routing.lab import Lab
from tests.support.lab import ANIMALS, random_images, routed, saved_run

LABELS = torch.arange(1000) % 4


def effects(lost, won):
    """The first image's answers: `lost` are wrong, and `won` others right, without expert 2 of block 1."""
    learned = LABELS.clone()
    learned[500 : 500 + won] = (LABELS[500 : 500 + won] + 1) % 4
    changed = learned.expand(len(KINDS), 2, 3, -1).clone()
    changed[:, 0, 1, :lost] = (LABELS[:lost] + 1) % 4
    changed[:, 0, 1, 500 : 500 + won] = LABELS[500 : 500 + won]
    return Ablations(
        "validation", LABELS, learned.expand(2, -1), changed[0].clone(), changed, torch.full((2, 3), 1 / 3)
    )


def test_a_card_says_what_changes_and_what_is_lost():
    lab = Lab(routed(), ANIMALS)
    card = expert_card(lab, 1, 2, effects(40, 2))
    assert card.title == "Expert 2 of block 1" and "times a fair share of use" in card.prefers
    assert card.changes == (
        "Switched off, it changes the answer for 42 of the 1,000 validation images: 40 of them were right before, 2 are right after. "
        "The most frequent changes: cat becomes dog (10), dog becomes eel (10), eel becomes fox (10)."
    )
    assert re.match(
        r"Switched off, it changes the accuracy by -3\.8 points \(95%: -\d\.\d to -\d\.\d\)\. Replaced by its mean, it changes",
        card.lost,
    )
    assert card.lost.endswith("The intervals hold for all 6 experts together.")
    assert (
        expert_card(lab, 1, 1, effects(40, 2)).changes
        == "Switched off, it changes no answer on the 1,000 validation images."
    )
    assert (
        "0.0 points" in expert_card(lab, 1, 1, effects(40, 2)).lost
        and "chance" in expert_card(lab, 1, 1, effects(40, 2)).lost
    )
    unknown = expert_card(lab, 1, 2, None)
    assert unknown.lost == unknown.changes and unknown.lost.startswith("Not measured.")
    assert (
        len(card.largest) == len(card.smallest) == 8 and card.largest[0][1] >= card.largest[-1][1] > card.smallest[0][1]
    )


def test_a_card_gives_the_test_accuracy_of_the_tested_epoch_alone(tmp_path):
    run = saved_run(tmp_path)
    run.write_status(run.status().changed(best_epoch=1, test_accuracy=0.875))
    assert network_in_words(run, load_predictor(run)).endswith("epoch 1, 87.5% of the test images right")
    run.write_status(run.status().changed(best_epoch=2))
    assert network_in_words(run, load_predictor(run)).endswith("epoch 1")


def test_a_page_has_its_images_inside_and_names_cannot_break_it():
    lab = Lab(routed(), ("<img src=x onerror=alert(1)>", *ANIMALS[1:]))
    images, card = random_images(80), expert_card(lab, 1, 2, effects(40, 0))
    page = to_html(card, "Run <b>bold</b> & 'more'", images)
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    parser.feed(page)
    assert "b" not in {tag for tag, _ in tags} and "script" not in page
    pictures = [attributes["src"] for tag, attributes in tags if tag == "img"]
    assert len(pictures) == 16 and "http" not in page.replace("http-equiv", "")
    first = base64.b64decode(pictures[0].removeprefix("data:image/png;base64,"))
    shown = np.asarray(Image.open(io.BytesIO(first)))
    assert np.array_equal(shown, images[card.largest[0][0]].permute(1, 2, 0).numpy())
    without = to_html(card, "Run", None)
    assert "<img alt" not in without and f"Test image {card.largest[0][0] + 1}" in without
