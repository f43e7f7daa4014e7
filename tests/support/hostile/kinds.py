"""The kinds of hostile input, how each case is generated, and what must hold for it.

A case fails if anything but a UserError is raised, if a page shows an exception or HTML, if Python touches a file
outside the store and the data folder, or if it takes more than MOST_SECONDS. Import this module only in a process of its
own: its audit hook stays until the process ends. It is one long module because all kinds are tried within the same hook.
"""

import io
import json
import logging
import resource
import shutil
import tempfile
import time
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from expertnet.data.custom import scan
from expertnet.data.datasets import load_dataset
from expertnet.data.images import MAX_PIXELS, fit, read_image
from expertnet.data.uploads import save_upload
from expertnet.errors import DatasetError, ImageError, RunError
from expertnet.settings.schema import DataSettings
from expertnet.store.checks import find_damage
from expertnet.store.index_file import INDEX_FILE
from expertnet.transfer.format import TEXTS, WEIGHTS_NAME
from expertnet.transfer.import_run import import_all
from tests.support.hostile.inputs import (
    MUTATIONS,
    SCRIPT,
    VALUES,
    images,
    mutated,
    packed_images,
    paths_in,
    set_at,
    shuffle,
    zip_of,
)
from tests.support.hostile.own import own_archive_cases, own_image_cases, own_piece_cases
from tests.support.hostile.studio import ON_PAGES, PAGES, Cases, Studio, assert_sentence, use
from tests.support.hostile.watch import tree

SEED = 20261124
VIEWS = ("One image", "Classes", "Each expert", "What if", "Controls", "Through training", "Compare")
DAMAGED = ("config.json", "status.json", "metrics.jsonl", "best.safetensors")
MOST_SECONDS, MOST_MIB = (
    120.0,
    1024,
)  # of CPU time of one case, and of the growth of the process over all cases of a kind
EVERY_LENGTH = 4096  # bytes; a longer file is cut at this many evenly spaced lengths
URL_KEYS = (
    "view", "class", "image", "block", "expert", "epoch", "two", "silent", "renormalize", "with", "class2", "x",
    "preset", "dataset", "seed", "model.widths", "training.lr", "training.x",
)  # fmt: skip


def image_cases(studio: Studio) -> Cases:
    """Generate uploads of the Predict page."""
    whole = st.sampled_from(images())
    cases = st.one_of(st.binary(max_size=400), st.builds(mutated, whole, MUTATIONS))

    def check(content: bytes) -> None:
        try:
            image = read_image(content)
        except ImageError as error:
            studio.refuse(error)
            return
        assert image.mode == "RGB" and 0 < image.width * image.height <= MAX_PIXELS
        studio.counts["accepted"] += 1
        assert fit(image, 8).shape == (3, 8, 8)

    return cases, check


def archive_cases(studio: Studio) -> Cases:
    """Generate archives of images and follow them from the upload's name to decoded tensors."""
    cases = st.tuples(studio.outside, packed_images(studio.outside))

    def check(case: tuple[str, bytes]) -> None:
        path = save_upload(*case)
        assert path.resolve().is_relative_to(studio.data.resolve())
        data = DataSettings(dataset=str(path), image_size=8, crop_padding=0)
        try:
            scan(data)
            loaded = load_dataset(data, 0)
            assert len(loaded.info.classes) > 1
            studio.counts["accepted"] += 1
        except DatasetError as error:
            studio.refuse(error)

    return cases, check


def run_zip_cases(studio: Studio) -> Cases:
    """Generate exports of runs with changed bytes, replaced JSON values, extra members and odd notes."""
    with zipfile.ZipFile(io.BytesIO(studio.export)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    documents = {name: json.loads(files[name]) for name in ("export.json", "config.json", "status.json")}
    places = [(name, path) for name, document in documents.items() for path in paths_in(document)]
    replaced = st.lists(st.tuples(st.sampled_from(places), st.one_of(VALUES, studio.outside)), min_size=1, max_size=3)
    named = st.dictionaries(
        st.one_of(
            studio.outside.map(lambda name: name or "x"),
            st.sampled_from([*files, "notes.json", "card.md", "resume.pt"]),
        ),
        st.one_of(st.sampled_from(list(files.values())), st.binary(max_size=50)),
        max_size=3,
    )
    notes = st.fixed_dictionaries({"note": VALUES, "tags": VALUES, "name": VALUES}).map(
        lambda d: {"notes.json": json.dumps(d).encode()}
    )
    damaged = st.builds(lambda name, by: {name: mutated(files[name], by)}, st.sampled_from(list(files)), MUTATIONS)

    def rebuilt(changes: list[tuple[tuple[str, tuple[Any, ...]], Any]]) -> dict[str, bytes]:
        found = json.loads(json.dumps(documents))
        for (name, path), value in changes:
            set_at(found[name], path, value)
        return {name: json.dumps(document).encode() for name, document in found.items()}

    changes = st.one_of(replaced.map(rebuilt), named, notes, damaged)
    shuffled = st.tuples(changes, st.randoms(use_true_random=False)).map(
        lambda drawn: zip_of({name: (files | drawn[0])[name] for name in shuffle([*files, *drawn[0]], drawn[1])})
    )
    # As written by an export of several runs, whose members zipfile would read from the start at each step back
    nested = st.builds(
        lambda inner, by: mutated(zip_of({f"run-{studio.run.id}.zip": inner}), by),
        shuffled,
        st.one_of(st.just([]), st.just([]), MUTATIONS),
    )
    cases = st.one_of(
        st.binary(max_size=100), st.builds(mutated, st.just(studio.export), MUTATIONS), shuffled, shuffled, nested
    )

    def check(content: bytes) -> None:
        (imported,) = import_all(studio.store, io.BytesIO(content), SCRIPT)
        if isinstance(imported, str):
            studio.refuse(RunError(imported))
            assert {path.name for path in studio.store.root.iterdir()} - {INDEX_FILE} == {studio.run.id}
            return
        assert imported.new
        run = imported.run
        try:
            assert run.path.parent == studio.store.root
            assert all(path.name in TEXTS or WEIGHTS_NAME.fullmatch(path.name) for path in run.path.iterdir())
            assert not any(path.is_symlink() for path in run.path.iterdir())
            assert find_damage(run) is None and not run.shipped
            studio.counts["accepted"] += 1
            use(run)
            studio.open_some(run)
        finally:
            shutil.rmtree(run.path)

    return cases, check


def url_cases(studio: Studio) -> Cases:
    """Generate run names and values for every key that a page reads from its URL."""
    query = st.dictionaries(st.sampled_from(URL_KEYS), st.one_of(studio.outside, st.sampled_from(VIEWS)), max_size=4)
    cases = st.tuples(studio.outside, st.sampled_from(PAGES), query, st.booleans())

    def check(case: tuple[str, str, dict[str, str], bool]) -> None:
        name, page, query, real = case
        for find in (studio.store.resolve, studio.store.get):
            try:
                assert find(name).path.resolve() == studio.run.path.resolve()
            except RunError as error:
                assert_sentence(error)
        if studio.is_turn(ON_PAGES // 4):
            studio.page(page, run=studio.run.id if real else name, **query)

    return cases, check


def flip_cases(studio: Studio) -> Cases:
    """Generate runs with one changed file: flipped bytes, or JSON values of other types."""
    history = [json.loads(line) for line in studio.intact["metrics.jsonl"].splitlines()]
    documents = {name: json.loads(studio.intact[name]) for name in ("config.json", "status.json")}
    places = [
        (name, at) for name, document in [*documents.items(), ("metrics.jsonl", history)] for at in paths_in(document)
    ]
    values = st.tuples(st.sampled_from(places), st.one_of(VALUES, studio.outside))
    cases = st.one_of(st.tuples(st.sampled_from(DAMAGED), MUTATIONS), values)

    def check(case: tuple[Any, Any]) -> None:
        place, change = case
        if isinstance(place, str):
            studio.damage(place, mutated(studio.intact[place], change))
            return
        name, at = place
        document = json.loads(json.dumps(documents.get(name, history)))
        set_at(document, at, change)
        text = "\n".join(map(json.dumps, document)) if name == "metrics.jsonl" else json.dumps(document)
        studio.damage(name, text.encode(errors="surrogatepass"))

    return cases, check


# The keys are the values of --kind and appear in docs/reliability.md
GENERATED = {
    "images": image_cases,
    "archives": archive_cases,
    "own images": own_image_cases,
    "own archives": own_archive_cases,
    "own pieces": own_piece_cases,
    "run zips": run_zip_cases,
    "addresses": url_cases,
    "flipped bytes": flip_cases,
}
KINDS = (*GENERATED, "cut")


def resident() -> float:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def generated(studio: Studio, kind: str, cases: int, start: int) -> dict[str, Any]:
    """Check generated cases of one kind and return the counts. Raises at the first case that fails."""
    strategy, check = GENERATED[kind](studio)

    slowest, before = 0.0, resident()

    @seed(start)
    @settings(
        max_examples=cases, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def each(case: Any) -> None:
        studio.counts["cases"] += 1
        nonlocal slowest
        for folder in ("uploads", "datasets"):
            shutil.rmtree(studio.data / folder, ignore_errors=True)
        studio.watch.violations.clear()
        started = time.process_time()
        with studio.watch:
            check(case)
        assert not studio.watch.violations, studio.watch.violations[:9]
        slowest = max(slowest, time.process_time() - started)

    started = time.perf_counter()
    each()
    assert tree(studio.bait) == studio.bait_before
    grown = resident() - before
    assert slowest <= MOST_SECONDS, f"a case of {kind} took {slowest:.0f} s"
    assert grown <= MOST_MIB, f"the cases of {kind} took {grown:.0f} MiB"
    seconds = {"seconds": round(time.perf_counter() - started), "slowest": round(slowest, 1)}
    return {"kind": kind, "seed": start, **studio.counts, **seconds, "peak_mib": round(grown)}


def cut(studio: Studio, most: int) -> dict[str, Any]:
    """Cut every file of a run at up to `most` lengths; each cut must be reported as damage unless the text is complete."""
    done = 0
    studio.watch.violations.clear()
    with studio.watch:
        for name in DAMAGED:
            whole = studio.intact[name]
            for length in range(0, len(whole), -(-len(whole) // min(most, EVERY_LENGTH))):
                damage = studio.damage(name, whole[:length])
                # A file that lost only its final newline is complete
                torn = len(whole[:length].strip()) < len(whole.strip())
                assert damage is None or "damaged" in damage
                assert not torn or damage is not None, f"{name} of {length} bytes counts as intact"
                done += 1
    assert not studio.watch.violations, studio.watch.violations[:9]
    return {"kind": "cut", "cases": done, **studio.counts}


def check_kinds(kinds: Iterable[str] = KINDS, cases: int = 2000, start: int = SEED) -> Iterator[dict[str, Any]]:
    """Check `cases` cases of each kind and yield a row of counts for each. Raises at the first case that fails."""
    warnings.simplefilter("ignore")  # Pillow on damaged images, zipfile on repeated names
    logging.disable(logging.WARNING)  # Streamlit on pages without a browser
    with tempfile.TemporaryDirectory(prefix="expertnet-hostile-") as folder:
        studio = Studio(Path(folder))
        for kind in kinds:
            studio.counts.clear()
            yield cut(studio, cases) if kind == "cut" else generated(studio, kind, cases, start)
