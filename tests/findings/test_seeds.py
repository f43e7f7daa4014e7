"""What is said about networks that only the seed sets apart."""

from dataclasses import replace

import pytest
import torch

from expertnet.findings.seeds import alike, findings_over_seeds, learned_runs, measure_each, reliance
from expertnet.inference import routing_cache
from expertnet.inference.routing_cache import Routed, cached_routing
from expertnet.routing.effects import POLICIES, SHUFFLED, SHUFFLES, Routings
from expertnet.routing.lab import Lab
from expertnet.store.run_store import RunStore
from expertnet.training.controls import plan_controls
from tests.support.charts import drawn
from tests.support.lab import ANIMALS, one_hot, read_only
from tests.support.opening import finished

LABELS = torch.arange(80) % 4
DECISIVE, CONSTANT = one_hot(LABELS, 4), torch.full((80, 1, 4), 0.25)
FIRST = Lab(Routed(torch.cat([DECISIVE, CONSTANT], 1), LABELS, LABELS, images="x"), ANIMALS)


def other(first, second, images="x"):
    return Lab(replace(FIRST.routed, routing=torch.cat([first, second], 1), images=images), ANIMALS)


def test_what_repeats_and_what_depends_on_the_seed():
    """One seed numbers its experts otherwise, which changes nothing; the other routes nothing in either block."""
    finding = alike(((7, FIRST), (8, other(DECISIVE.flip(2), DECISIVE)), (9, other(CONSTANT, CONSTANT))))
    assert finding.sentence == (
        "With 3 seeds: What block 1 does depends on the seed: decisive with 2, constant with 1. What block 2 does depends on the seed: "
        "constant with 2, decisive with 1. The experts of 1 of 2 other seeds match those of seed 7 beyond chance in block 1. On average "
        f"over all blocks and seeds, the same expert has the largest weight for {mean(finding, 'agreement'):.1%} of the images, where "
        f"chance gives {mean(finding, 'by_chance'):.1%}."
    )
    assert 0.3 < mean(finding, "agreement") < 0.9
    cells = {(row["block"], row["seed"]): row["share"] for row in drawn(finding.chart)[0]}
    assert cells == pytest.approx({(1, "7"): 1, (1, "8"): 1, (1, "9"): 0, (2, "7"): 0, (2, "8"): 1, (2, "9"): 0})
    assert finding.table["seed"].tolist() == [7, 8, 9] * 2


def mean(finding, column):
    return finding.table.loc[finding.table["seed"] != 7, column].mean()


def test_blocks_that_do_the_same_with_every_seed_share_a_sentence():
    same = alike(((0, FIRST), (1, other(DECISIVE, CONSTANT, images="y"))))
    assert same.sentence == (
        "With all 2 seeds, block 1 chooses an expert for each image; block 2 gives all images nearly the same weights. They do not "
        "certainly have the same test images in the same order, so single images are not compared."
    )


def test_a_seed_with_other_images_does_not_count_as_one_that_differs():
    labs = (7, FIRST), (8, other(DECISIVE, CONSTANT)), (9, other(DECISIVE, CONSTANT, images="y"))
    said = alike(labs).sentence
    assert "The experts of 1 of 1 other seed match those of seed 7 beyond chance in block 1" in said
    assert said.endswith(" 1 seed may have other test images and cannot be compared.")
    said = alike((labs[0], (8, other(CONSTANT, CONSTANT)), labs[2])).sentence
    assert "The experts of none of 1 other seed match those of seed 7 beyond chance. 1 seed may" in said


def test_reliance_over_seeds_on_paper():
    """Losses of 10, 20 and 30 points: 20 on average, with a standard error of 10 / sqrt(3), and t = 4.3027 for 2 degrees of freedom."""
    labels = torch.zeros(100, dtype=torch.int64)

    def routings(lost):
        answers = torch.zeros(2, len(POLICIES), 100, dtype=torch.int64)
        answers[:, list(POLICIES).index("mean"), :lost] = 1
        return Routings("validation", labels, answers, torch.ones(len(SHUFFLED), SHUFFLES), torch.ones(2))

    finding = reliance(tuple((seed, routings(lost)) for seed, lost in enumerate((10, 20, 30))))
    half = 10 / 3**0.5 * 4.3027
    assert finding.sentence == (
        "With 3 of 3 seeds, the network measurably relies on per-image routing: mean weights change its accuracy on the validation "
        f"images by -20.0 points on average (95% over the seeds: {-20 - half:.1f} to +{half - 20:.1f})."
    )
    assert finding.table["change"].tolist() == pytest.approx([-0.1, -0.2, -0.3])


@pytest.mark.slow
def test_trained_seeds_are_routed_once_and_compared(monkeypatch):
    store = RunStore()
    run, _ = finished(store), finished(store, seed=1)
    learned = learned_runs(plan_controls(run, store, 3))
    assert [*learned] == [0, 1] and findings_over_seeds(learned) is None
    with monkeypatch.context() as patch:
        patch.setattr(routing_cache, "write_atomically", read_only)
        assert [finding.name for finding in measure_each(learned)] == ["seeds", "reliance-by-seed"]
    assert findings_over_seeds(learned) is None
    measure_each(learned)
    routed = [cached_routing(each) for each in learned.values()]
    found = findings_over_seeds(learned)
    measure_each(learned)
    assert [finding.name for finding in found] == ["seeds", "reliance-by-seed"]
    assert set(found[0].table["seed"]) == set(found[1].table["seed"]) == {0, 1}
    assert all(cached_routing(each) is before for each, before in zip(learned.values(), routed, strict=True))
