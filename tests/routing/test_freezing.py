"""Single frozen blocks, against plain passes with mean weights and results by hand."""

import pytest
import torch

from expertnet.routing.effects import POLICIES
from expertnet.routing.freezing import FREEZING, Frozen, freeze_each, freezing_table
from expertnet.routing.interventions import given
from expertnet.routing.paired import paired_interval
from expertnet.routing.passes import calibration_images, estimated
from expertnet.routing.policies import route_all
from tests.support.kinds import KINDS
from tests.support.lab import fitted, measured_images, predictor, saved_run


@pytest.mark.parametrize(
    "overrides", [{}, {"expert_blocks": (1, 3)}, *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS)]
)
@torch.no_grad()
def test_each_block_gets_its_mean_weights_while_the_others_route(overrides):
    net, images = fitted(predictor(**overrides)), measured_images()
    frozen = freeze_each(net, images)
    blocks = overrides.get("expert_blocks", (1, 2, 3))
    calibration, _ = calibration_images(net, images.training)
    control, pixels = estimated(net, calibration), net.normalized(images.evaluated.images)
    sample = net.normalized(images.training.images)
    assert torch.equal(frozen.learned[0], net.model(pixels).argmax(1))
    assert torch.equal(frozen.learned[1], control.model(pixels).argmax(1))
    for row, block in enumerate(blocks):
        change = {block: given(net.model(sample, True)[1][:, block - 1].double().mean(0))}
        assert torch.equal(frozen.answers[0, row], net.model(pixels, changes=change).argmax(1)), block
        change = {block: given(control.model(sample, True)[1][:, block - 1].double().mean(0))}
        changed, x = estimated(net, calibration), control.model.stem(calibration)
        for number in (1, 2, 3):
            x, _ = changed.block(number, x, change.get(number), estimate=number >= block)
        assert torch.equal(frozen.answers[1, row], changed.model(pixels, changes=change).argmax(1)), block


def test_the_only_block_with_experts_is_the_policy_of_mean_weights():
    net, images = fitted(predictor(expert_blocks=(2,))), measured_images()
    mean = route_all(net, images).answers[:, list(POLICIES).index("mean")]
    assert torch.equal(freeze_each(net, images).answers[:, 0], mean)


def test_weights_that_are_the_same_for_all_images_are_worth_nothing():
    frozen = freeze_each(fitted(predictor(routing="uniform")), measured_images())
    assert torch.equal(frozen.answers, frozen.learned[:, None].expand_as(frozen.answers))


def test_the_table_of_blocks_by_hand():
    """7 of 100 images are lost in block 2, and nothing in block 4; as shipped, 20 are lost in block 2."""
    labels = torch.zeros(100, dtype=torch.int64)
    answers = labels.expand(2, 2, -1).clone()
    answers[1, 0, :7] = answers[0, 0, :20] = 1
    table = freezing_table(Frozen("test", labels, labels.expand(2, -1), answers), (2, 4)).set_index("block")
    assert table["change"].tolist() == [-0.07, 0] and table["as_shipped"].tolist() == [-0.2, 0]
    assert table["flipped"].tolist() == [7, 0] and table["accuracy"].tolist() == [0.93, 1]
    # without any effect, all seven signs agree in 2 of 2^7 flips, and block 4 never changes
    assert table.loc[2, "p"] == pytest.approx(2 / 2**7, abs=0.01) and table.loc[4, "p"] == 1
    low, high = paired_interval(7, 0, 100)
    assert table.loc[2, "low"] <= low and table.loc[2, "high"] >= high


def test_the_result_is_kept_with_the_run_and_one_of_another_network_is_ignored(tmp_path):
    run, images = saved_run(tmp_path / "runs"), measured_images()
    assert FREEZING.cached(run, "validation") is None
    found = FREEZING.measure(run, images)
    kept = FREEZING.cached(run, "validation")
    assert torch.equal(kept.answers, found.answers) and kept is FREEZING.cached(run, "validation")
    assert FREEZING.cached(run, "test") is None
    other = saved_run(tmp_path / "other", num_blocks=4)
    (run.path / "frozen-validation-best.safetensors").rename(other.path / "frozen-validation-best.safetensors")
    assert FREEZING.cached(other, "validation") is None
