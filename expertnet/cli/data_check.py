"""`expertnet data check` and `data split`: what is wrong with a dataset, and sets without near duplicates in common."""

import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated

import typer

from expertnet.cli.options import Json
from expertnet.cli.output import ActivityPrinter, print_result, say
from expertnet.curation.limits import DISTANCE, MAX_DISTANCE
from expertnet.settings.fields import build_settings

SHOWN = 10  # files of each kind; --json lists all


Distance = Annotated[
    int,
    typer.Option(
        metavar="BITS", min=0, max=MAX_DISTANCE, help="Bits of 64 in which the hashes of near duplicates may differ."
    ),
]


def check(
    dataset: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="A dataset, or a folder or archive of class folders.")
    ],
    distance: Distance = DISTANCE,
    labels: Annotated[
        bool,
        typer.Option("--labels", help="Also train small networks that look for wrong labels, which takes minutes."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Find unreadable files, duplicates, suspect images, uneven classes and wrong labels."""
    from expertnet.curation import check as checking
    from expertnet.curation.labels import find_doubts

    # Ctrl-C raises KeyboardInterrupt from here on, so that half a download or decoding is cleaned up.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    data, printer = build_settings(dataset=dataset).data, ActivityPrinter()
    found = checking.check(data, distance, printer)
    doubts = find_doubts(data, found.survey, found.groups, printer) if labels else None
    document = checking.to_document(found, doubts)

    def lines() -> Iterator[str]:
        yield from checking.sentences(found)
        if doubts is not None:
            yield checking.labels_sentence(doubts)
        yield from _listed(
            "Files that cannot be used", (f"{item.file}: {item.reason}" for item in found.survey.unreadable)
        )
        yield from _listed("Duplicates", (" = ".join(group["files"]) for group in document["duplicates"]))
        for kind in found.faults:
            yield from _listed(kind.replace("_", " ").capitalize(), document[kind])
        suspects = document["wrong_labels"] or ()
        yield from _listed(
            "Wrong labels", (f"{one['image']}: {one['class']}, probably {one['suggested']}" for one in suspects)
        )

    print_result(as_json, document, lines())


def split(
    dataset: Annotated[str, typer.Argument(metavar="NAME", help="The name of a dataset of yours.")],
    test: Annotated[float, typer.Option(metavar="SHARE", help="Share of the images to hold out for the test.")] = 0.2,
    validation: Annotated[
        float, typer.Option(metavar="SHARE", help="Share to hold out for validation; 0 lets every run draw its own.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which images are chosen.")] = 0,
    distance: Distance = DISTANCE,
    as_json: Json = False,
) -> None:
    """Choose the test and validation images of a dataset of yours: shares of each class, with near duplicates in the same set."""
    from expertnet.curation.split import PARTS, gaps, split_dataset
    from expertnet.data.own.datasets import find_id
    from expertnet.data.own.versions import open_version

    before = open_version(find_id(dataset))
    version = split_dataset(before.dataset, test, validation, seed, distance, ActivityPrinter())
    sets = Counter(image.split for image in version.contents.images.values())
    document = {"dataset": version.reference} | {part: sets[part] for part in PARTS}
    names = version.contents.classes
    if lacking := gaps(Counter((names[image.label], image.split) for image in version.contents.images.values())):
        say(f"{lacking} A class can have too few images, or only near duplicates, which stay in the same set.")
    what = version.what if version.number > before.number else "The sets stay as they are"
    print_result(as_json, document, [f"{version.reference}: {what}."])


def _listed(title: str, files: Iterable[str]) -> Iterator[str]:
    """Yield a title and the first files, if there are any."""
    shown = list(islice(files, SHOWN + 1))
    if shown:
        yield ""
        yield f"{title}:"
        yield from (f"  {file}" for file in shown[:SHOWN])
    if len(shown) > SHOWN:
        yield "  … (--json lists all)"
