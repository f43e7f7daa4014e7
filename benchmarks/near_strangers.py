"""Measure how well a network tells classes that it never saw: python -m benchmarks.near_strangers --data cifar10-jpeg.tar.xz

Trains the preset quick on the classes of CIFAR-10 other than --without, and scores the test images of both with the scores of
benchmarks.unlike. Prints the AUROC, and the share of out-of-distribution images that pass if 95% of the validation images do
(FPR at 95), with 95% intervals over the images (DeLong 1988, doi:10.2307/2531595; Wilson). The training is kept in --kept and
goes on from there.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.earlier import QUICK
from benchmarks.few_images import part_of, train
from benchmarks.rows import markdown
from benchmarks.unlike import limit, look, scores_of
from expertnet.data.datasets import load_dataset
from expertnet.evaluation.figures import Figure, share
from expertnet.inference.novelty import TRAINING, fit
from expertnet.inference.predictor import Predictor
from expertnet.network.model import ExpertNet
from expertnet.routing.paired import Z95
from expertnet.settings.fields import build_settings
from expertnet.settings.schema import DataSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="an archive of CIFAR-10 as class folders")
    parser.add_argument("--without", nargs="+", default=["dog", "truck"], metavar="CLASS")
    parser.add_argument("--images", type=int, default=1000, help="of each class (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--kept", type=Path, default=Path("near-strangers.pt"))
    options = parser.parse_args()
    whole = load_dataset(DataSettings(dataset=options.data, validation_share=0), 0)
    names = [name for name in whole.info.classes if name not in options.without]
    data, strange = part_of(whole, names, options.images, 0), part_of(whole, options.without, 1, 0).test
    settings = build_settings("quick", options.data, QUICK | {"training.epochs": options.epochs})
    accuracy, weights = train(settings, data, kept=options.kept)
    model = ExpertNet(settings.model, len(names))
    model.load_state_dict(weights)
    predictor = Predictor(model, settings, data.info, options.epochs)
    training = data.train.take(torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[:TRAINING])
    validation, usual, seen = (look(predictor, each.images) for each in (data.validation, data.test, strange))
    features = look(predictor, training.images)["features"]
    novelty = fit(features, training.labels, (validation["features"], validation["logits"].softmax(1)))
    head, rows = ["Score", f"Known classes ({len(data.test):,}): pass"], []
    for place, kind in enumerate(options.without):
        head += [f"{kind} ({int((strange.labels == place).sum()):,}): AUROC", "pass"]
    for name, score in scores_of(novelty, predictor, training).items():
        usual_N, most = score(usual), limit(score, validation)
        row = [name, _cell(share(usual_N <= most))]
        for place in range(len(options.without)):
            found_M = score(seen)[strange.labels == place]
            row += [_cell(auroc(usual_N, found_M)), _cell(share(found_M <= most))]
        rows.append(row)
    print(f"\n{len(names)} classes, {len(data.train):,} training images, test accuracy {accuracy:.1%}\n")
    print(markdown(head, rows))


def auroc(usual_N: Tensor, strange_M: Tensor) -> Figure:
    """Return the share of pairs in which the out-of-distribution image has the higher score, with DeLong's interval."""

    def below(values: Tensor, others: Tensor) -> Tensor:
        """Return the share of `others` below each value, where equal ones count half."""
        others = others.sort().values
        ranks = torch.searchsorted(others, values) + torch.searchsorted(others, values, right=True)
        return ranks.double() / (2 * len(others))

    strange, usual = below(strange_M, usual_N), 1 - below(usual_N, strange_M)
    half = Z95 * (strange.var() / len(strange) + usual.var() / len(usual)).sqrt().item()
    value = strange.mean().item()
    return Figure(value, max(value - half, 0.0), min(value + half, 1.0))


def _cell(figure: Figure) -> str:
    return f"{figure.value:.1%} ({figure.low:.1%} to {figure.high:.1%})"


if __name__ == "__main__":
    main()
