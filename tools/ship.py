"""Turn a finished run into one that ships with the project: python -m tools.ship RUN --runs-dir DIR [--folder runs]

Copies the settings, the history and the best weights, measures the routing of the test images and what the network
relies on, and writes the model card.
Leaves out everything that only resuming needs or that describes this machine.
"""

import argparse
import shutil
from pathlib import Path

from expertnet.data.datasets import load_test_split
from expertnet.inference.routing_cache import route_test_set
from expertnet.network.cost import estimate
from expertnet.routing.ablations import measure_ablations
from expertnet.routing.effects import load_images, parts
from expertnet.routing.policies import measure_routings
from expertnet.routing.probe import measure_probes
from expertnet.settings.fields import command_line
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore
from expertnet.utils.files import write_atomically
from expertnet.utils.processes import Process

CARD = """\
**{name}** distinguishes {classes}: {class_names}.

- **Training data**: {images}; {epochs} epochs, {duration} on {device} in {precision}.
- **Network**: {blocks} blocks of {experts} experts, {parameters:,} parameters, {multiply_adds:.0f} million multiply-adds per image.
- **Accuracy**: {test} of the {count:,} test images{mirrored}, measured once, at the end. The weights are those of epoch \
{best_epoch}, chosen by its accuracy on the validation set ({val}), which is {validation_share} of the training images.
- **Use**: for trying the app, and as an example of routing. The network knows no other classes; it assigns one of them to any \
image.

To train it again:

    {command}
"""


def card(run: Run, count: int, note: str) -> str:
    """Return the model card of a run, in Markdown; `count` is the number of test images."""
    settings, status, config, info = run.settings(), run.status(), run.config(), run.dataset_info()
    assert info is not None
    cost = estimate(settings, len(info.classes))
    mirrored, seconds = status.test_accuracy_mirrored, status.seconds or 0
    return CARD.format(
        name=run.title,
        classes=f"{len(info.classes)} classes",
        class_names=", ".join(info.classes),
        images=f"{info.name}{note}",
        epochs=status.epoch,
        duration=f"{seconds / 60:.0f} minutes" if seconds >= 100 else f"{seconds:.0f} seconds",
        device=status.device,
        precision=config["environment"]["precision"],
        blocks=settings.model.num_blocks,
        experts=settings.model.num_experts,
        parameters=cost.parameters,
        multiply_adds=cost.multiply_adds / 1e6,
        test=f"{status.test_accuracy:.2%}",
        mirrored=f" ({mirrored:.2%} with mirrored views)" if mirrored is not None else "",
        count=count,
        best_epoch=status.best_epoch,
        validation_share=f"{settings.data.validation_share:.0%}",
        val=f"{status.best_val_accuracy:.2%}",
        command=command_line(settings, run.preset),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--runs-dir")
    parser.add_argument("--folder", type=Path, default=Path("runs"))
    parser.add_argument("--dataset", help="path of the images, if they have moved since the training")
    parser.add_argument("--note", default="", help="text to add after the name of the dataset in the card")
    options = parser.parse_args()
    source = RunStore(options.runs_dir).resolve(options.run)
    target = Run(options.folder / source.id)
    target.path.mkdir(parents=True)
    for name in ("config.json", "status.json", "metrics.jsonl", "best.safetensors", "log.txt"):
        shutil.copy(source.path / name, target.path / name)
    target.write_config(source.config() | {"shipped": True})
    target.write_status(source.written_status().changed(process=Process()))
    data = source.settings().data
    if options.dataset:
        data = data.model_copy(update={"dataset": options.dataset})
    split, _ = load_test_split(data, own=source.dataset_info())
    measure_probes(target, route_test_set(target, split), split)
    images = load_images(target, parts(target)[0], data=data)
    measure_routings(target, images)
    measure_ablations(target, images)
    write_atomically(target.path / "card.md", card(target, len(split), options.note).encode())
    size = sum(file.stat().st_size for file in target.path.iterdir())
    print(f"{target.path}: {size / 1e6:.2f} MB, test accuracy {target.status().test_accuracy:.2%}")


if __name__ == "__main__":
    main()
