"""The views Classes and Each expert, and what they measure once it is unfolded."""

import pytest

from expertnet.inference.routing_cache import load_own_test_set
from expertnet.store.run_store import RunStore
from tests.support.experts import view_of
from tests.support.opening import finished
from tests.support.settling import settled
from tests.support.settling import shown_text as text


def test_a_class_is_highlighted_with_its_images_for_an_expert():
    run = finished(RunStore())
    test = view_of(run, "Classes", highlight="3", block="1", expert="2")
    assert "Images of class 3 with the largest weights for expert 2 in block 1:" in text(test)
    specs = [chart.proto.spec for chart in test.get("vega_lite_chart")]
    assert any("class 3 highlighted" in spec for spec in specs) and not any(
        "colored by class" in spec for spec in specs
    )
    test.selectbox(key="highlight").set_value(None).run()
    assert "Images of class" not in text(test)


def test_the_image_of_a_dot_is_shown_by_its_number_with_its_class():
    run = finished(RunStore())
    test = view_of(run, "Classes")
    label = str(int(load_own_test_set(run).labels[6]))
    test.number_input(key="dot").set_value(7).run()
    assert "Test image 7" in [image.proto.imgs[0].alt for image in test.get("image")]
    assert test.selectbox(key="highlight").value == label
    test.number_input(key="dot").set_value(9999).run()
    assert "There is no image 9,999. Choose a number from 1 to 359." in text(test) and not test.exception
    test.number_input(key="dot").set_value(None).run()
    assert "Test image 7" not in [image.proto.imgs[0].alt for image in test.get("image")]
    assert test.selectbox(key="highlight").value is None
    shared = view_of(run, "Classes", dot="7")
    assert "Test image 7" in [image.proto.imgs[0].alt for image in shared.get("image")]


def test_information_is_folded_on_classes():
    test = view_of(finished(RunStore()), "Classes")
    assert "Information about the class" in {folded.label for folded in test.expander}
    assert len(test.get("vega_lite_chart")) == 2


def test_the_weights_are_probed_once_when_information_is_unfolded():
    run, times = finished(RunStore()), []
    for _ in range(2):
        test = view_of(run, "Classes")
        test.session_state["Information about the class"] = True  # unfolded
        settled(test)
        assert "A linear probe reads" in text(test) and "An expert drawn by the weights" in text(test)
        times.append((run.path / "probes-best.safetensors").stat().st_mtime_ns)
    assert times[0] == times[1]


@pytest.mark.parametrize(
    ("view", "folded", "says", "files"),
    [
        ("What if", "How much could other routing weights gain?", "mistake", ["headroom"]),
        ("What if", "How certain is the network, and what if images are damaged?", "kinds of damage", ["robustness"]),
        ("Each expert", "How similar are the experts of block 2?", "With random kernels, experts reach", ["likeness"]),
        ("Each expert", "How stable is the routing of an image?", "between", ["stability"]),
        ("What if", "", "block's routing", ["frozen"]),
    ],
)
def test_what_carries_the_decision_is_measured_once_it_is_unfolded_and_kept(view, folded, says, files):
    run = finished(RunStore())
    test = view_of(run, view, block="2")
    kept = [run.path / f"{name}-validation-best.safetensors" for name in files]
    if folded:
        assert not any(path.exists() for path in kept)
        test.session_state[folded] = True
        settled(test)
    assert says in text(test) and all(path.is_file() for path in kept) and not test.error


def test_every_expert_of_a_block_has_a_card_with_its_images():
    test = view_of(finished(RunStore()), "Each expert", block="2")
    for expert in (1, 2, 3):
        assert f"**Expert {expert} of block 2**" in text(test)
        assert f"Save card of expert {expert}" in {button.label for button in test.get("download_button")}
    assert text(test).count("; the largest weight in ") == 3
