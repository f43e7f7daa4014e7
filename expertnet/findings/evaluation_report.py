"""The results of a network in one HTML file that needs no other: sentences, charts, tables (also as CSV) and images."""

import base64
from collections.abc import Iterator
from html import escape

from expertnet.charts.base import to_file
from expertnet.data.data_url import to_data_url
from expertnet.data.info import DatasetInfo, is_own
from expertnet.data.splits import Split
from expertnet.errors import RunError
from expertnet.evaluation.compare import Pair, in_common_text, pair, same_images
from expertnet.evaluation.outputs import Outputs, cached_outputs, measure_outputs, outputs_for
from expertnet.evaluation.robustness import Robustness, cached_robustness, corrupt_all, measure_robustness, sample
from expertnet.findings.calibration import reliability, thresholds
from expertnet.findings.confusion import confusion
from expertnet.findings.duel import difference, difference_by_class
from expertnet.findings.files import refuse_other_epoch
from expertnet.findings.finding import Finding
from expertnet.findings.results import by_class, caveat, overall
from expertnet.findings.robustness import corruptions, corruptions_by_class, routing_under_corruption
from expertnet.inference.mistakes import Part
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.routing.effects import load_part
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.checks import check_network
from expertnet.store.run import Run
from expertnet.utils.progress import Report, never, silent
from expertnet.utils.text import counted, percent, plural, to_csv

ROWS = 100  # of a table; its file has them all
SHOWN = 40  # mistakes
THRESHOLD = 0.8  # confidence below which the report does not answer
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1c2326; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
img.chart {{ max-width: 100%; }}
table {{ border-collapse: collapse; font-size: 0.875rem; }}
th, td {{ text-align: left; padding: 0.2rem 0.8rem 0.2rem 0; border-bottom: 1px solid #d5dbdd; }}
.scroll {{ overflow-x: auto; }}
.images {{ display: flex; flex-wrap: wrap; gap: 0.8rem; }}
.images figure {{ margin: 0; width: 7rem; font-size: 0.8rem; overflow-wrap: anywhere; }}
.images img {{ width: 100%; image-rendering: pixelated; }}
.note {{ color: #4d575b; font-size: 0.875rem; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def html_report(
    run: Run,
    part: Part = "test",
    checkpoint: Checkpoint = "best",
    other: Run | None = None,
    elsewhere: tuple[Split, DatasetInfo] | None = None,
    measures: bool = True,
    progress: Report = silent,
    threads: int | None = None,
) -> str:
    """Return a report on the test or validation images, compared with the network of `other` on the images that both have.

    `elsewhere` are images of a dataset with the same classes, and its description. What is not known yet is computed, and cached
    in the run's folder unless the images are from elsewhere; unless `measures`, robustness is left out if it is not known. Raises
    RunError if the other run has other classes or no images in common, or if the training saves another epoch meanwhile, and what
    `measure_outputs` raises.
    """
    predictor, options = load_predictor(run, checkpoint, threads), (progress, never, threads)
    if other is not None:
        _refuse_other(run, other, part)
    if elsewhere is None:
        split, info, said = load_part(run, part, progress), predictor.info, caveat(run, part)
        outputs = measure_outputs(run, part, checkpoint, *options)
        validation = None if run.watches_test else measure_outputs(run, "validation", checkpoint, *options)
        found = _compared(run, outputs, other, progress, threads) if other is not None else None
        robustness = cached_robustness(run, part, checkpoint)
        if robustness is None and measures:
            robustness = measure_robustness(run, part, checkpoint, *options)
    else:
        split, info = elsewhere
        other_images = f"These are not images of {predictor.info.name}, which the network was trained on."
        said = caveat(run, part) if is_own(predictor.info, info) else other_images
        outputs = outputs_for(predictor, part, split, progress)
        validation, found = cached_outputs(run, "validation", checkpoint), None
        if other is not None:
            second = load_predictor(other, threads=threads)
            found = pair(outputs, outputs_for(second, part, split, progress))
        robustness = corrupt_all(predictor, part, sample(split), progress) if measures else None
    refuse_other_epoch(run, checkpoint, predictor)
    images = counted(len(outputs.labels), f"{part} image")
    about = f"Run {run.id}, its {checkpoint} checkpoint (epoch {predictor.epoch}), on {images} of {info.name}."
    if other is not None:
        about += f" The second network is run {other.id}, {other.title}."
    if found is not None and not found.is_all:
        about += f" {in_common_text(found)}"
    body = [f"<h1>{escape(run.title)}</h1>", f"<p>{escape(about)} {escape(said)}</p>"]
    for title, finding in _findings(predictor, outputs, validation, robustness, found):
        progress(f"Drawing the {finding.title}", None)
        body += [f"<h2>{title}</h2>", *_section(finding)]
    body += _mistakes(outputs, split, predictor.classes)
    return PAGE.format(title=escape(f"Evaluation of {run.title}"), body="\n".join(body))


def _refuse_other(run: Run, other: Run, part: Part) -> None:
    """Raise RunError unless a second run is another one that has a network, the same classes, and validation images if these are wanted."""
    if run.path == other.path:
        raise RunError(f"Run {run.title} cannot be compared with itself. Choose another run.")
    check_network(other)
    own, others = run.dataset_info(), other.dataset_info()
    if not (own and others and own.classes == others.classes):
        raise RunError(f"Runs {run.title} and {other.title} do not have the same classes. Choose another run.")
    if own.image_size != others.image_size:
        raise RunError(f"Runs {run.title} and {other.title} do not have images of the same size. Choose another run.")
    if part == "validation" and other.watches_test:
        raise RunError(f"Run {other.title} held out no validation images. Choose another run.")


def _compared(run: Run, outputs: Outputs, other: Run, progress: Report, threads: int | None) -> Pair:
    """Return what the networks of two runs say about the images that both have. Raises RunError if there are none."""
    part = outputs.part
    second = measure_outputs(other, part, other.checkpoints.present()[0], progress, never, threads)
    if same_images(run, other, part):
        return pair(outputs, second)
    found = pair(outputs, second, (load_part(run, part, progress), load_part(other, part, progress)))
    if not len(found.places):
        raise RunError(f"Runs {run.title} and {other.title} have no {part} images in common. Choose another run.")
    return found


def _findings(
    predictor: Predictor,
    outputs: Outputs,
    validation: Outputs | None,
    robustness: Robustness | None,
    found: Pair | None,
) -> Iterator[tuple[str, Finding]]:
    """Yield the findings of the report with their headings."""
    classes, blocks = predictor.classes, predictor.settings.model.routed_blocks
    yield "Results", overall(outputs)
    yield "Confusion matrix", confusion(outputs, classes, outputs.part)
    yield "Classes", by_class(outputs, classes)
    yield "Calibration", reliability(outputs, validation.temperature if validation is not None else None)
    yield "Answers above a threshold", thresholds(outputs, THRESHOLD)
    if robustness is not None:
        yield "Robustness", corruptions(robustness, blocks)
        yield "Robustness by class", corruptions_by_class(robustness, classes)
        if predictor.settings.model.num_experts > 1:
            yield "Routing of corrupted images", routing_under_corruption(robustness, blocks)
    if found is not None:
        yield "Comparison with a second network", difference(found.first, found.second)
        yield "Comparison by class", difference_by_class(found.first, found.second, classes)


def _section(finding: Finding) -> Iterator[str]:
    """Yield a finding as HTML."""
    yield f"<p>{escape(finding.sentence)}</p>"
    if finding.chart is not None:
        image = _data_url("image/svg+xml", to_file(finding.chart, "svg"))
        yield f'<p><img class="chart" src="{image}" alt="{escape(finding.title)}"></p>'
    rows, csv = len(finding.table), _data_url("text/csv;charset=utf-8", to_csv(finding.table).encode())
    table = finding.table.head(ROWS).rename(columns=lambda name: str(name).replace("_", " "))
    cells = table.to_html(index=False, border=0, float_format="{:.4f}".format, na_rep="–", justify="left")
    first = f" The first {ROWS} of {rows:,} rows are shown." if rows > ROWS else ""
    yield f"<details{'' if finding.chart is not None else ' open'}><summary>Table</summary><div class='scroll'>{cells}</div></details>"
    link = f'<a href="{csv}" download="{finding.name}.csv">Save the table (CSV)</a>'
    yield f'<p class="note">{escape(finding.method)} {link}.{first}</p>'


def _mistakes(outputs: Outputs, split: Split, classes: tuple[str, ...]) -> Iterator[str]:
    """Yield the images that the network disagrees with most, as HTML."""
    wrong = outputs.places(wrong=True)
    yield "<h2>Mistakes</h2>"
    there = f"{plural(len(wrong), 'There is', 'There are')} {counted(len(wrong), 'mistake') if len(wrong) else 'no mistakes'}."
    yield f"<p>{there}{f' These are the {SHOWN} whose label the network doubts most.' if len(wrong) > SHOWN else ''}</p>"
    yield '<div class="images">'
    for place in wrong[:SHOWN].tolist():
        label, answer = classes[outputs.labels[place]], classes[outputs.predictions[place]]
        caption = f"#{place + 1}: {label}, answer {answer} ({percent(outputs.confidence[place].item())})"
        image = to_data_url(split.images[place])
        yield f'<figure><img src="{image}" alt=""><figcaption>{escape(caption)}</figcaption></figure>'
    yield "</div>"


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
