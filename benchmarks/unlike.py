"""Measure how well networks tell images that are unlike those of their training: python -m benchmarks.unlike [RUN ...] [--choose]

Scores the test images of each run, by default of those included with the studio whose images are on this computer, and strange
images: those of the built-in datasets and of the other runs, drawn ones, and the test images inverted or upside down. Prints
the AUROC, and the share of out-of-distribution images that pass if 95% of the held-out images do (FPR at 95), for the studio's
score and for those that it was chosen among. With --choose, measures what the choice was made on instead: held-out images, and
other out-of-distribution images.
"""

import argparse
from collections.abc import Callable

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from expertnet.data.builtin import BUILTIN
from expertnet.data.datasets import dataset_title, find_cached, load_test_split
from expertnet.data.parts import load_training_sample, load_validation_split
from expertnet.data.splits import Split
from expertnet.inference.novelty import KEPT, Novelty, find_novelty
from expertnet.inference.predictor import Predictor, load_predictor
from expertnet.inference.routing_cache import has_own_test_set, load_own_test_set
from expertnet.settings.schema import DataSettings
from expertnet.store.run import Run
from expertnet.store.run_store import RunStore

MOST, DRAWN, LEARNED = (
    1000,
    600,
    2000,
)  # images of a set, drawn ones, and training images for the scores other than the studio's
NEIGHBOR = 10  # the neighbor whose similarity counts
BATCH = 250  # images at once
ALIKE = {"contexts": "shapes"}  # other classes of the same images

Seen = dict[str, Tensor]  # features (N, F), features of the last block (N, D), logits (N, C)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--choose", action="store_true", help="measure what the choice of the score was made on")
    options = parser.parse_args()
    store = RunStore()
    runs = [store.resolve(name) for name in options.runs] or [run for run in store.list() if run.shipped]
    runs = [run for run in runs if has_own_test_set(run)]
    names = {run.id: _name(run) for run in runs}
    strange = _strange(runs, names)
    for run in runs:
        print(f"\n{run.title}\n")
        print(table(run, {name: images for name, images in strange.items() if name != names[run.id]}, options.choose))


def _name(run: Run) -> str:
    dataset = run.settings().data.dataset
    return ALIKE.get(dataset, dataset if dataset in BUILTIN else dataset_title(dataset))


def _strange(runs: list[Run], names: dict[str, str]) -> dict[str, Tensor]:
    """Return images that runs may not know, by name."""
    found, generator = dict[str, Tensor](), torch.Generator().manual_seed(0)
    for name, spec in BUILTIN.items():
        data = DataSettings(dataset=name)
        if name not in ALIKE and (not spec.download_bytes or find_cached(data) is not None):
            found[name] = _some(load_test_split(data)[0].images)
    found |= {names[run.id]: _some(load_own_test_set(run).images) for run in runs if names[run.id] not in found}
    shades = {"noise": 32, "smooth noise": 4, "plain colors": 1}  # pixels of a side
    for name, side in shades.items():
        small = torch.rand(DRAWN, 3, side, side, generator=generator)
        found[name] = (interpolate(small, size=32, mode="bicubic").clamp(0, 1) * 255).byte()
    return found


def _some(images: Tensor) -> Tensor:
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:MOST]]


def table(run: Run, strange: dict[str, Tensor], choose: bool) -> str:
    """Return a row for each set of out-of-distribution images, as Markdown."""
    predictor, settings, info = load_predictor(run), run.settings(), run.dataset_info()
    training = load_training_sample(settings.data, settings.seed, LEARNED, own=info)
    test = load_own_test_set(run).images
    if settings.watches_test:  # nothing else was held out
        validation, test = test[::2], test[1::2]
    else:
        validation = load_validation_split(settings.data, settings.seed, own=info).images
    held_out = look(predictor, _some(validation))
    usual = held_out if choose else look(predictor, _some(test))
    novelty = find_novelty(run)
    assert novelty is not None
    scores = scores_of(novelty, predictor, training)
    strange = strange | {"own, inverted": 255 - _some(test), "own, upside down": _some(test).flip(2)}
    lines = [["Out-of-distribution images", *scores], ["---"] * (1 + len(scores))]
    lines.append(
        [
            "own test images that pass",
            *(f"{(score(usual) <= limit(score, held_out)).float().mean():.1%}" for score in scores.values()),
        ]
    )
    for name, images in strange.items():
        seen = look(predictor, _fitted(images[0 if choose else 1 :: 2], info.image_size if info else 32))
        lines.append([name, *(cell(score(usual), score(seen), limit(score, held_out)) for score in scores.values())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def limit(score: Callable[[Seen], Tensor], held_out: Seen) -> Tensor:
    return score(held_out).quantile(KEPT)


def cell(usual_N: Tensor, strange_M: Tensor, limit: Tensor) -> str:
    labels = torch.cat((torch.zeros(len(usual_N)), torch.ones(len(strange_M))))
    area = roc_auc_score(labels.numpy(), torch.cat((usual_N, strange_M)).numpy())
    return f"{area:.1%} / {(strange_M <= limit).float().mean():.1%}"


def _fitted(images: Tensor, image_size: int) -> Tensor:
    if images.shape[-1] == image_size:
        return images
    return interpolate(images.float(), size=image_size, mode="bilinear", antialias=True).round().byte()


def look(predictor: Predictor, images: Tensor) -> Seen:
    """Return what the scores need of images."""
    features_NF = torch.cat([predictor.look(batch)[2] for batch in images.split(BATCH)])
    with torch.inference_mode():
        logits = [predictor.model(predictor.normalized(batch)) for batch in images.split(BATCH)]
    width = predictor.settings.model.block_widths[-1]
    return {"features": features_NF, "last": features_NF[:, -2 * width : -width], "logits": torch.cat(logits)}


def scores_of(novelty: Novelty, predictor: Predictor, training: Split) -> dict[str, Callable[[Seen], Tensor]]:
    """Return the scores by name, the studio's first. The larger, the stranger."""
    last_ND, labels = look(predictor, training.images)["last"], training.labels
    scale_D, unit_ND = last_ND.std(0).clamp_min(1e-6), normalize(last_ND)
    means_CD = torch.stack([last_ND[labels == label].mean(0) for label in labels.unique()]) / scale_D
    return {
        "studio": lambda seen: novelty.scores(seen["features"], seen["logits"].softmax(1)),
        "distance alone": lambda seen: novelty.distances(seen["features"]),
        "low probability": lambda seen: -seen["logits"].softmax(1).amax(1),
        "energy": lambda seen: -seen["logits"].logsumexp(1),
        "nearest class mean": lambda seen: torch.cdist(seen["last"] / scale_D, means_CD).amin(1),
        f"neighbor {NEIGHBOR}": lambda seen: -(normalize(seen["last"]) @ unit_ND.T).topk(NEIGHBOR, 1).values[:, -1],
    }


if __name__ == "__main__":
    main()
