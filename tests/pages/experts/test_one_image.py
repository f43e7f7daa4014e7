"""The choice of an image on the Experts page."""

from expertnet.store.run_store import RunStore
from tests.support.experts import class_folders
from tests.support.opening import finished, opened
from tests.support.settling import shown_text as text


def test_another_run_with_fewer_images_shows_its_last_one_and_a_number_in_the_url_is_corrected_by_hand(tmp_path):
    folders = class_folders(tmp_path / "own", ["cat", "dog"], count=20)
    few, many = finished(RunStore(), **{"data.dataset": str(folders)}), finished(RunStore())
    test = opened("experts", many.id, view="One image", image="300")
    assert "Test image 300" in text(test)
    test.selectbox[0].set_value(few.id).run()
    assert "There is no image" not in text(test) and "Answer: " in text(test)
    assert "There is no image 300" in text(opened("experts", few.id, view="One image", image="300"))
