"""The check as a whole: sentences, tables and balance."""

import pytest

from expertnet.curation.check import balance_sentence, check, duplicates_sentence, sentences, to_document, to_table
from expertnet.settings.schema import DataSettings
from tests.support.photos import encoded, photo, write


@pytest.fixture
def uneven(tmp_path):
    """40 images of one class and 10 of another, of which one is in both; a fifth of each is the test set."""
    files = {f"many/{seed}.png": encoded(photo(seed)) for seed in range(40)}
    files |= {f"few/{seed}.png": encoded(photo(seed)) for seed in range(50, 59)}
    files |= {"few/copy.png": encoded(photo(3)), "few/empty.png": b""}
    return DataSettings(dataset=str(write(tmp_path / "own", files)))


def test_what_is_wrong_is_said_in_sentences_and_in_tables(uneven):
    found = check(uneven)
    assert found.counts.to_dict("records") == [
        {"class": "few", "train": 9, "test": 1},  # the empty file was to be in the test set
        {"class": "many", "train": 32, "test": 8},
    ]
    text = " ".join(sentences(found))
    assert "50 images in 2 classes" in text and "1 file cannot be used" in text
    assert "2 images look like others, in 1 group, 1 of them with the same pixels." in text
    assert "1 group in several classes" in text
    assert "'many' has 32 training images, and 'few' has 9" in balance_sentence(found)
    document = to_document(found)
    assert document["imbalance"] == pytest.approx(32 / 9) and document["wrong_labels"] is None
    assert document["unreadable"] == [{"file": "few/empty.png", "reason": "The file is empty. Choose an image."}]
    (group,) = document["duplicates"]
    assert (
        set(group["files"]) == {"few/copy.png", "many/3.png"} and group["exact"] and group["classes"] == ["few", "many"]
    )
    table = to_table(found)
    assert table["problem"].tolist() == ["duplicate", "duplicate", "unusable"]


def test_classes_that_differ_by_less_than_balancing_mends_are_not_called_even(tmp_path):
    files = {f"{name}/{seed}.png": encoded(photo(seed + 100 * (name == "b"))) for name in "ab" for seed in range(5)}
    files |= {f"a/{seed}.png": encoded(photo(seed)) for seed in range(5, 10)}
    found = check(DataSettings(dataset=str(write(tmp_path / "own", files))))
    assert balance_sentence(found) == "Each class has 4 to 8 training images."


def test_a_sound_dataset_is_called_sound(tmp_path):
    files = {f"{name}/{seed}.png": encoded(photo(seed + 100 * (name == "b"))) for name in "ab" for seed in range(5)}
    found = check(DataSettings(dataset=str(write(tmp_path / "own", files))))
    assert duplicates_sentence(found.groups) == "No two images look the same."
    assert balance_sentence(found) == "Each class has 4 training images."
    assert to_table(found).empty
