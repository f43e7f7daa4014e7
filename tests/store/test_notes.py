"""A run's name, tags and note: what is typed is kept, and what is read is not trusted."""

import json
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expertnet.errors import RunError
from expertnet.settings.fields import build_settings
from expertnet.store.notes import (
    MAX_NAME,
    MAX_NOTE,
    MAX_NOTES_BYTES,
    MAX_TAG,
    MAX_TAGS,
    Notes,
    read_notes,
    split_tags,
    with_tags,
    without_tags,
    write_notes,
)
from expertnet.store.run_store import RunStore


@pytest.fixture
def run(tmp_path):
    return RunStore(tmp_path / "runs").create(build_settings(), name="at its start")


def test_a_name_given_later_comes_before_that_of_the_start(run):
    before = (run.path / "config.json").read_bytes()
    assert run.given_name == run.title == "at its start"
    run.annotate(Notes("given later", ("one", "two words"), "First line.\nSecond."))
    assert run.title == "given later"
    assert run.notes() == Notes("given later", ("one", "two words"), "First line.\nSecond.")
    run.annotate(Notes("", (), ""))
    assert run.title == "at its start"
    assert (run.path / "config.json").read_bytes() == before  # it has one writer, which may be writing it now


def test_a_shipped_run_and_one_that_is_gone_are_refused(run):
    run.write_config(run.config() | {"shipped": True})
    with pytest.raises(RunError, match="cannot be changed"):
        run.annotate(Notes("mine"))
    assert not (run.path / "notes.json").exists()
    run.write_config(run.config() | {"shipped": False})
    os.rename(run.path, run.path.with_name("elsewhere"))
    with pytest.raises(RunError, match="no longer exists"):
        run.annotate(Notes("mine"))


def test_a_folder_in_the_place_of_the_file_gets_a_sentence(run):
    (run.path / "notes.json").mkdir()
    assert run.notes() == Notes() and run.title == "at its start"
    with pytest.raises(RunError, match="could not be written"):
        run.annotate(Notes("mine"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b"7",
        b"\xff\xfe",
        b'{"name": 7, "tags": "x", "note": []}',
        b'{"tags": [1, null, [], {}, "", " "]}',
    ],
)
def test_what_has_a_wrong_type_is_empty(run, content):
    (run.path / "notes.json").write_bytes(content)
    assert run.notes() == Notes() and run.title == "at its start"


def test_a_file_that_is_too_large_is_not_read(run):
    (run.path / "notes.json").write_text(json.dumps({"name": "x", "more": "y" * MAX_NOTES_BYTES}))
    assert run.notes() == Notes()


def test_what_fills_the_limits_is_read_again(run):
    widest = "\U0001f600"  # twelve bytes in JSON
    full = Notes(
        widest * MAX_NAME, tuple(widest * (MAX_TAG - 2) + f"{n:02d}" for n in range(MAX_TAGS)), widest * MAX_NOTE
    )
    run.annotate(full)
    assert run.notes() == full


@pytest.mark.parametrize(
    ("notes", "why"),
    [
        (Notes("n" * (MAX_NAME + 1)), f"The name has {MAX_NAME + 1} characters. Shorten it to at most {MAX_NAME}."),
        (
            Notes("", split_tags("fine, " + "t" * (MAX_TAG + 5))),
            f"The tag “{'t' * MAX_TAG}…” has {MAX_TAG + 5} characters",
        ),
        (
            Notes("", (), "x" * (MAX_NOTE + 1)),
            f"The note has {MAX_NOTE + 1:,} characters. Shorten it to at most {MAX_NOTE:,}.",
        ),
        (
            Notes("", split_tags(",".join(map(str, range(MAX_TAGS + 3))))),
            f"A run can have at most {MAX_TAGS} tags. This would make {MAX_TAGS + 3}.",
        ),
    ],
)
def test_what_is_too_long_is_refused_with_the_limit_and_nothing_is_cut(run, notes, why):
    run.annotate(Notes("kept"))
    with pytest.raises(RunError, match=f"^{re.escape(why)}"):
        run.annotate(notes)
    assert run.notes() == Notes("kept")
    write_notes(run.path, notes)  # of a stranger's file it takes what the limits allow
    assert run.notes() != Notes("kept")


def test_a_run_is_not_made_with_a_name_that_is_too_long(tmp_path):
    store = RunStore(tmp_path / "others")
    with pytest.raises(RunError, match=f"at most {MAX_NAME}"):
        store.create(build_settings(), name="n" * (MAX_NAME + 1))
    assert store.list() == []
    assert store.create(build_settings(), name="n" * MAX_NAME + " ").name == "n" * MAX_NAME


def test_lines_and_signs_that_would_confuse_are_taken_out(run, tmp_path):
    made = RunStore(tmp_path / "others").create(build_settings(), name=" a\nb\t c\x1b[31m\u202ed ")
    assert made.name == made.config()["name"] == "a b c[31md"
    (run.path / "notes.json").write_text(
        json.dumps({"name": "a\nb\t c\x1b[31m\u202ed", "tags": ["x\ny", "a, b"], "note": "one\ntwo\x00"})
    )
    assert run.notes() == Notes("a b c[31md", ("x y", "a b"), "one\ntwo")


def test_tags_are_split_at_commas_and_kept_once():
    assert split_tags(" a, B ,, b ,c d,") == ("a", "B", "c d")
    assert len(split_tags(",".join(map(str, range(100))))) == 100  # too many, which is told when they are to be kept
    kept = with_tags(Notes("n", ("Base",), "x"), ("base", "new"))
    assert kept == Notes("n", ("Base", "new"), "x")
    assert without_tags(kept, ("BASE", "other")) == Notes("n", ("new",), "x")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=30,
)


@pytest.mark.slow
@settings(derandomize=True, max_examples=150)
@given(st.fixed_dictionaries({}, optional={"name": VALUES, "tags": VALUES, "note": VALUES}))
def test_whatever_the_file_says_the_limits_hold(tmp_path_factory, record):
    folder = tmp_path_factory.mktemp("run")
    (folder / "notes.json").write_text(json.dumps(record))
    notes = read_notes(folder)
    assert len(notes.name) <= MAX_NAME and len(notes.note) <= MAX_NOTE and len(notes.tags) <= MAX_TAGS
    assert all(tag and len(tag) <= MAX_TAG and "\n" not in tag and "," not in tag for tag in notes.tags)
