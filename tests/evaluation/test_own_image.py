"""The file behind an image that a network was judged by, also when others could not be read."""

import pytest

from expertnet.data.images import load_image
from expertnet.data.own.edits import assign_splits, class_named, move_images, remove_images
from expertnet.data.own.versions import open_version
from expertnet.evaluation.own_image import find_own_image
from expertnet.routing.effects import load_part
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from tests.support.lab import saved_run
from tests.support.own import flowers
from tests.support.small import TINY


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPERTNET_DATA", str(tmp_path / "root"))


@pytest.mark.parametrize("kept", [False, True])
def test_every_image_is_found_and_named_as_it_is_now(tmp_path, kept):
    dataset = flowers(count=12)
    version = open_version(dataset)
    if kept:
        some = [key for key, image in version.ordered if image.name in ("3.png", "7.png")]
        version = assign_splits(dataset, dict.fromkeys(some, "validation"), "Split")
    for place in (2, 9, 15):
        version.path(version.ordered[place][1]).write_bytes(b"damaged")
    run = RunStore(tmp_path / "runs").create(build_settings("quick", dataset, TINY))
    for part in ("validation", "test"):
        split = load_part(run, part)
        found = [find_own_image(run, part, place) for place in range(len(split))]
        assert len({each.key for each in found}) == len(split) > 1
        for each, image in zip(found, split.images, strict=True):
            own = version.contents.images[each.key]
            assert load_image(version.read(own), 8).equal(image) and each.now == version.contents.classes[own.label]
        one = found[0]
        other = "tulip" if one.now == "rose" else "rose"
        move_images(dataset, [one.key], class_named(version.contents, other))
        assert find_own_image(run, part, 0).now == other
        remove_images(dataset, [one.key])
        assert find_own_image(run, part, 0).now is None


def test_other_images_have_no_dataset_to_change(tmp_path):
    assert find_own_image(saved_run(tmp_path / "runs"), "test", 0) is None
