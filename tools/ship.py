"""Turn a finished run into one that ships with the project: python -m tools.ship RUN --runs-dir DIR [--folder runs]

Copies the settings, the history and the best weights, and the settings and results of its controls, measures the routing
of the test images and what the network relies on, and writes the model card.
Leaves out everything that only resuming needs or that describes this machine.
With --controls, a run that ships already gets the controls that were trained since, and nothing else changes.
"""

import argparse
import shutil
from pathlib import Path

from expertnet.data.datasets import flips, load_test_split
from expertnet.data.splits import Split
from expertnet.inference.novelty import measure_novelty
from expertnet.inference.predictor import load_predictor
from expertnet.inference.routing_cache import route_test_set
from expertnet.network.controls import NAMES
from expertnet.network.cost import estimate
from expertnet.network.evaluation import evaluate
from expertnet.routing.ablations import ABLATIONS
from expertnet.routing.effects import load_images, parts
from expertnet.routing.freezing import FREEZING
from expertnet.routing.headroom import HEADROOM
from expertnet.routing.likeness import LIKENESS
from expertnet.routing.policies import ROUTINGS
from expertnet.routing.probe import measure_probes
from expertnet.routing.robustness import ROBUSTNESS
from expertnet.routing.stability import STABILITY
from expertnet.settings.fields import command_line
from expertnet.settings.schema import ModelSettings
from expertnet.store.run import CONTROLS, Run
from expertnet.store.run_store import RunStore
from expertnet.store.status import Status
from expertnet.training.controls import begun_plan
from expertnet.utils.files import write_atomically
from expertnet.utils.processes import Process
from expertnet.utils.text import counted

CARD = """\
**{name}** distinguishes {classes}: {class_names}.

- **Training data**: {images}; {epochs} epochs, {duration} on {device} in {precision}.
- **Network**: {blocks}, {parameters:,} parameters, {multiply_adds:.0f} million multiply-adds per image.
- **Accuracy**: {test} of the {count:,} test images{views}, measured once, at the end. {chosen}{half}
- **Use**: for trying the app, and as an example of routing. The network knows no other classes; it assigns one of them to any \
image.

To train it again:

    {command}
"""


CHOSEN = """\
The weights are those of epoch {best_epoch}, chosen by its accuracy on the validation set ({val}), which is {validation_share} \
of the training images."""
LAST = "The weights are those of the last epoch. No images were held out for validation, and nothing was chosen by the test images."
HALF = """\
 The kernels are rounded to 16 bits; before that, the network recognized {test}{views}."""


def card(run: Run, count: int, note: str, exact: Status | None = None) -> str:
    """Return the model card of a run, in Markdown; `count` is the number of test images.

    `exact` has the figures from before its kernels were rounded, if they were.
    """
    settings, status, config, info = run.settings(), run.status(), run.config(), run.dataset_info()
    assert info is not None
    cost = estimate(settings, len(info.classes))
    seconds, share = status.seconds or 0, settings.data.validation_share
    chosen = CHOSEN.format(
        best_epoch=status.best_epoch, validation_share=f"{share:.0%}", val=f"{status.best_val_accuracy or 0:.2%}"
    )
    return CARD.format(
        name=run.title,
        classes=f"{len(info.classes)} classes",
        class_names=", ".join(info.classes),
        images=f"{info.name}{note}",
        epochs=status.epoch,
        duration=f"{seconds / 60:.0f} minutes" if seconds >= 100 else f"{seconds:.0f} seconds",
        device=status.device,
        precision=config["environment"]["precision"],
        blocks=_blocks(settings.model),
        parameters=cost.parameters,
        multiply_adds=cost.multiply_adds / 1e6,
        test=f"{status.test_accuracy:.2%}",
        views=_views(status),
        count=count,
        chosen=chosen if share else LAST,
        half=HALF.format(test=f"{exact.test_accuracy:.2%}", views=_views(exact)) if exact else "",
        command=command_line(settings, run.preset),
    )


def _blocks(model: ModelSettings) -> str:
    """Say how many blocks there are, and which have experts."""
    blocks, experts = counted(model.num_blocks, "block"), counted(model.num_experts, "expert")
    if len(model.routed_blocks) == model.num_blocks:
        return f"{blocks} of {experts}"
    return f"{blocks}, with {experts} in {', '.join(map(str, model.routed_blocks))}"


def _views(status: Status) -> str:
    mirrored, views = status.test_accuracy_mirrored, status.test_accuracy_views
    if views is not None:
        return f" ({views:.2%} with six views of hard images)"
    return f" ({mirrored:.2%} with mirrored views)" if mirrored is not None else ""


def round_kernels(run: Run, split: Split) -> None:
    """Store the kernels of a run in 16 bits, and measure the network again on its test images."""
    weights, epoch = run.checkpoints.load("best")
    halves = {name: weight.half() if weight.ndim > 1 else weight for name, weight in weights.items()}
    run.checkpoints.save("best", halves, epoch)
    predictor, settings = load_predictor(run), run.settings()
    turns = flips(settings.data)
    found = evaluate(
        predictor.model, split, predictor.info.mean, predictor.info.std, turns, turns and settings.data.six_views
    )
    status = run.written_status().changed(
        test_loss=found.loss,
        test_accuracy=found.accuracy,
        test_accuracy_mirrored=found.accuracy_mirrored,
        test_accuracy_views=found.accuracy_views,
    )
    run.write_status(status)


def keep_controls(source: Run, store: RunStore, target: Run) -> None:
    """Write the settings and results of the finished controls of a run, without weights, into a folder of the run that ships."""
    plan = begun_plan(source, store)
    shutil.rmtree(target.path / CONTROLS, ignore_errors=True)
    for trial in plan.distinct if plan else ():
        if trial.row is not None and trial.finished and trial.row.id != source.id:
            kept = Run(target.path / CONTROLS / trial.row.id)
            kept.path.mkdir(parents=True)
            kept.write_config(trial.row.run.config() | {"name": f"{NAMES[trial.arm]}, seed {trial.seed}"})
            of_this_machine = dict.fromkeys(("seconds", "images_per_second", "utilization", "process_memory"))
            kept.write_status(trial.row.status.changed(process=Process(), **of_this_machine))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--runs-dir")
    parser.add_argument("--folder", type=Path, default=Path("runs"))
    parser.add_argument("--dataset", help="path of the images, if they have moved since the training")
    parser.add_argument("--note", default="", help="text to add after the name of the dataset in the card")
    parser.add_argument("--name", help="name of the run that ships")
    parser.add_argument("--half", action="store_true", help="store the kernels in 16 bits")
    parser.add_argument("--controls", action="store_true", help="only add the controls to a run that ships already")
    options = parser.parse_args()
    store = RunStore(options.runs_dir)
    source = store.resolve(options.run)
    target = Run(options.folder / source.id)
    if options.controls:
        keep_controls(source, store, target)
        return
    target.path.mkdir(parents=True)
    for name in ("config.json", "status.json", "metrics.jsonl", "best.safetensors", "log.txt"):
        shutil.copy(source.path / name, target.path / name)
    named = {"name": options.name} if options.name else {}
    target.write_config(source.config() | named | {"shipped": True})
    target.write_status(source.written_status().changed(process=Process()))
    data = source.settings().data
    if options.dataset:
        data = data.model_copy(update={"dataset": options.dataset})
    split, _ = load_test_split(data, own=source.dataset_info())
    exact = target.written_status() if options.half else None
    if options.half:
        round_kernels(target, split)
    measure_probes(target, route_test_set(target, split), split)
    measure_novelty(target)
    images = load_images(target, parts(target)[0], data=data)
    for result in (ROUTINGS, ABLATIONS, FREEZING, HEADROOM, ROBUSTNESS, LIKENESS, STABILITY):
        result.measure(target, images)
    if source.settings().model.num_experts > 1:  # a network without routing has no controls
        keep_controls(source, store, target)
    write_atomically(target.path / "card.md", card(target, len(split), options.note, exact).encode())
    size = sum(file.stat().st_size for file in target.path.rglob("*"))
    print(f"{target.path}: {size / 1e6:.2f} MB, test accuracy {target.status().test_accuracy:.2%}")


if __name__ == "__main__":
    main()
