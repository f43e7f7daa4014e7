"""The model card of a run, in Markdown: what its network is for, its figures with intervals, its limits, how it was made."""

import json
from collections.abc import Iterator
from contextlib import suppress

from expertnet.data.builtin import BUILTIN
from expertnet.data.info import DatasetInfo
from expertnet.data.own.folders import is_version
from expertnet.errors import RunError, UserError
from expertnet.evaluation.calibration import calibration
from expertnet.evaluation.outputs import cached_outputs, cached_temperature, measure_outputs
from expertnet.findings import controls
from expertnet.findings.finding import in_words
from expertnet.findings.verdict import verdict
from expertnet.inference.mistakes import Part
from expertnet.inference.novelty import KEPT, cached_novelty, measurable
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import cached_routing
from expertnet.network.cost import estimate
from expertnet.routing.effects import parts
from expertnet.routing.lab import open_lab
from expertnet.routing.paired import wilson
from expertnet.routing.policies import ROUTINGS
from expertnet.settings.fields import command_line
from expertnet.settings.presets import DEFAULT_PRESET, PRESETS
from expertnet.store.checkpoints import Checkpoint
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.utils.progress import Report, ShouldStop, never, silent
from expertnet.utils.text import counted, escape_for_file, percent, printable

WEAKEST = 3  # classes named as those that are recognized the least


def measure_for_card(
    run: Run,
    checkpoint: Checkpoint = "best",
    progress: Report = silent,
    cancelled: ShouldStop = never,
    threads: int | None = None,
) -> bool:
    """Classify the test and validation images for the card if they are here, have not been and the weights are final.

    Return whether there were any. This calibrates the run. Raises Cancelled.
    """
    parts: list[Part] = ["test"] if run.watches_test else ["test", "validation"]
    missing = [part for part in parts if measurable(run) and cached_outputs(run, part, checkpoint) is None]
    for part in missing:
        with suppress(UserError, OSError):  # the card says what is missing
            measure_outputs(run, part, checkpoint, progress, cancelled, threads)
    return bool(missing)


def model_card(run: Run, checkpoint: Checkpoint = "best", exported: int | None = None) -> str:
    """Return the card of a checkpoint, with the front matter that model hubs read. Nothing is measured.

    What has not been measured yet is said to be missing. Raises RunError if there is no usable checkpoint, or if the training has
    replaced the weights of the epoch that the card is `exported` with.
    """
    predictor = load_predictor(run, checkpoint)
    info, epoch = predictor.info, predictor.epoch
    if exported not in (None, epoch):
        raise RunError(
            f"Nothing was exported, because the training of run {run.name} saved epoch {epoch} during the export of epoch {exported}. "
            "The model card would describe other weights. Export the run again, or wait until its training ends."
        )
    name, classes = escape_for_file(run.title), counted(len(info.classes), "class", "classes")
    names = ", ".join(map(escape_for_file, info.classes))
    figures = list(_figures(run, info, epoch))
    sections = {
        "Results": [*_table(figures), "", *_selection(run, epoch)],
        "Data": _data(run, info),
        "Network": _network(run, info),
        "Routing": _routing(run, checkpoint, predictor.classes),
        "Limits": _limits(run, checkpoint, predictor.classes),
        "Training": _training(run, info),
    }
    if run.settings().model.num_experts == 1:
        del sections["Routing"]
    lines = [*_front_matter(run, info, figures), f"# {name}", "", f"Says which of {classes} an image shows: {names}."]
    for title, text in sections.items():
        lines += ["", f"## {title}", "", *text]
    return "\n".join(lines) + "\n"


def _figures(run: Run, info: DatasetInfo, epoch: int) -> Iterator[tuple[str, float, int]]:
    """Yield what was measured with the weights of an epoch: the images, the accuracy, and how many, 0 if that is not known."""
    settings, status, spec = run.settings(), run.status(), BUILTIN.get(run.settings().data.dataset)
    tested = spec.test_images if spec else status.test_images or 0
    if epoch == run.tested_epoch:
        for images, accuracy in (
            ("test images", status.test_accuracy),
            ("test images, averaged with their mirror images", status.test_accuracy_mirrored),
            ("test images, averaged over six views", status.test_accuracy_views),
        ):
            if accuracy is not None:
                yield images, accuracy, tested
    row = next((row for row in run.metrics() if row["epoch"] == epoch), None)
    if not settings.watches_test and row is not None and row["val_accuracy"] is not None:
        yield "validation images", row["val_accuracy"], status.validation_images or info.held


def _front_matter(run: Run, info: DatasetInfo, figures: list[tuple[str, float, int]]) -> Iterator[str]:
    """Yield YAML that model hubs read (JSON is YAML): https://huggingface.co/docs/hub/model-cards."""
    dataset = {"name": info.name, "type": info.name}
    measured = [{"type": "accuracy", "name": images, "value": accuracy} for images, accuracy, _ in figures]
    result = {"task": {"type": "image-classification"}, "dataset": dataset, "metrics": measured}
    matter = {
        "library_name": "expertnet",
        "pipeline_tag": "image-classification",
        "tags": ["mixture-of-experts", "image-classification"],
        "model-index": [{"name": run.title, "results": [result] if measured else []}],
    }
    yield from ("---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in matter.items()), "---", "")


def _table(figures: list[tuple[str, float, int]]) -> Iterator[str]:
    if not figures:
        yield "Nothing was measured with these weights."
        return
    yield from ("| Images | Accuracy | 95% interval | Number of images |", "|---|---|---|---|")
    for images, accuracy, count in figures:
        yield f"| {images} | {percent(accuracy, 2)} | {_interval(accuracy, count)} | {count or '–'} |"


def _interval(accuracy: float, count: int) -> str:
    """Return the Wilson interval (Wilson 1927) of an accuracy on `count` images; a dash if their number is not known."""
    if not count:
        return "–"
    low, high = wilson(accuracy, count)
    return f"{percent(low, 2)} to {percent(high, 2)}"


def _selection(run: Run, epoch: int) -> Iterator[str]:
    """Say which weights these are, and what the choice of the epoch means for the figures."""
    best = run.status().best_epoch
    if run.settings().watches_test:
        yield f"The weights are those of epoch {epoch}. No images were held out to choose an epoch by."
    elif epoch == best:
        yield (
            f"The weights are those of epoch {epoch}, chosen by the accuracy on the validation images, which is therefore a little "
            "too high. The test images had no part in the choice. The intervals are for other images of the same kind, not for "
            "another training."
        )
    else:
        better = f" Epoch {best} has the best accuracy on the validation images." if best else ""
        yield f"The weights are those of epoch {epoch}.{better}"


def _data(run: Run, info: DatasetInfo) -> Iterator[str]:
    data = run.settings().data
    spec = BUILTIN.get(data.dataset)
    name = f"{spec.title} ({spec.contents})" if spec else escape_for_file(info.name)
    images = f", {counted(info.images, 'image')} in all" if info.images else ""
    yield f"- **Images**: {name}{images}. Fingerprint {escape_for_file(info.fingerprint)}."
    held = f"{percent(data.validation_share, 0)} of the training images were held out for validation."
    if info.held:
        held = f"The dataset has {counted(info.held, 'validation image')}."
    yield f"- **Split**: {held if data.validation_share else 'No validation images were held out.'}"
    mean, std = (", ".join(f"{value:.4f}" for value in values) for values in (info.mean, info.std))
    yield (
        f"- **Preprocessing**: RGB, upright, transparency on white; the largest centered square, resized bilinearly to "
        f"{info.image_size}x{info.image_size} pixels; values from 0 to 1, less the mean ({mean}), over the standard deviation ({std})."
    )


def _network(run: Run, info: DatasetInfo) -> Iterator[str]:
    cost, model = estimate(run.settings(), len(info.classes)), run.settings().model
    where = "each block" if len(model.routed_blocks) == model.num_blocks else in_words(model.routed_blocks)
    weighed = "with equal weights" if model.routing == "uniform" else "whose weights a router sets for every image"
    experts = f"There are {model.num_experts} experts in {where}, {weighed}."
    if model.num_experts == 1:
        experts = "Each block has a single expert, so there is nothing to route."
    yield (
        f"{counted(model.num_blocks, 'block')}, {cost.parameters:,} parameters, {cost.multiply_adds / 1e6:,.1f} million "
        f"multiply-adds per image. {experts}"
    )


def _routing(run: Run, checkpoint: Checkpoint, classes: tuple[str, ...]) -> Iterator[str]:
    """Say what the routing does and whether it improves accuracy, as far as this has been measured."""
    routed = cached_routing(run, checkpoint)
    if routed is None:
        yield "Not measured yet. Open the run on the Experts page, or use `expertnet routing RUN --report DIR`."
        return
    measured = next(filter(None, (ROUTINGS.cached(run, part, checkpoint) for part in parts(run))), None)
    yield " ".join(map(escape_for_file, verdict(open_lab(routed, classes), measured)))
    if (trained := controls.known(run, RunStore(run.path.parent))) is not None:
        yield f"\n{escape_for_file(trained[1].sentence)}"


def _limits(run: Run, checkpoint: Checkpoint, classes: tuple[str, ...]) -> Iterator[str]:
    trust = _trust(run, checkpoint)
    yield f"- The network knows no other classes: it assigns one of them to any image, whatever the image shows. {trust}"
    yield "- Images from another source (camera, light, drawing style) may be recognized less often than the figures say."
    novelty = cached_novelty(run, checkpoint)
    if novelty is not None:
        yield (
            "- The studio, `expertnet predict` and the service mark an image as unlike the training images if its unlike-score is above "
            f"{novelty.held_out.quantile(KEPT):.2f}. Of {len(novelty.held_out):,} images held out of training, {percent(KEPT, 0)} are "
            "below. Images of other things that look similar to the network pass as well. ONNX networks and web pages have no such score."
        )
    if (routed := cached_routing(run, checkpoint)) is None:
        return
    shares = []
    for label, name in enumerate(classes):
        own = routed.labels == label
        count, right = int(own.sum()), int((own & (routed.predictions == label)).sum())
        if right < count:
            text = f"{escape_for_file(name)} ({right} of {count}; {_interval(right / count, count)})"
            shares.append((right / count, text))
    weakest = ", ".join(text for _, text in sorted(shares)[:WEAKEST])
    if weakest:
        yield f"- Classes recognized the least in the test set: {weakest}."


def _trust(run: Run, checkpoint: Checkpoint) -> str:
    """Say how far the probabilities are off, also those that the temperature calibrates."""
    outputs, temperature = cached_outputs(run, "test", checkpoint), cached_temperature(run, checkpoint)
    if outputs is None:
        return "How far its probabilities can be trusted has not been measured."
    ece = calibration(outputs.logits, outputs.labels).ece
    said = f"On the test images, its probabilities are off by {percent(ece)} on average (expected calibration error)"
    if temperature is None:
        return f"{said}."
    after = calibration(outputs.logits, outputs.labels, temperature).ece
    return (
        f"{said}, and by {percent(after)} once the logits are divided by the temperature {temperature:.2f}, which was fitted on the "
        "validation images."
    )


def _training(run: Run, info: DatasetInfo) -> Iterator[str]:
    settings, status, config = run.settings(), run.status(), run.config()
    seconds = status.seconds or 0
    time = f"{seconds / 60:.0f} minutes" if seconds >= 100 else f"{seconds:.0f} seconds"
    device = escape_for_file(status.device or "an unknown device")
    yield f"{counted(status.epoch, 'epoch')} in {time} on {device}, with seed {settings.seed}. Run `{run.id}`, {run.created}."
    if settings.model.start_from:
        yield f"It started from the weights of run `{settings.model.start_from}`, except in the classifier."
    environment = config.get("environment")
    if isinstance(environment, dict) and environment:
        versions = ", ".join(escape_for_file(f"{key} {value}") for key, value in environment.items())
        yield f"\nVersions: {versions}."
    dataset = settings.data.dataset
    if dataset not in BUILTIN and not is_version(dataset):  # a path says much about a computer
        settings = settings.model_copy(update={"data": settings.data.model_copy(update={"dataset": info.name})})
    preset = run.preset if run.preset in PRESETS else DEFAULT_PRESET
    yield f"\nTo train it again:\n\n    {printable(command_line(settings, preset))}"
