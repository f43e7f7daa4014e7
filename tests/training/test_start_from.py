"""A training that starts from another run's weights."""

import io
import shutil

import pytest
import torch

from expertnet.errors import RunError
from expertnet.inference.predictor import load_predictor
from expertnet.network.model import ExpertNet
from expertnet.network.router import Router
from expertnet.settings.fields import build_settings
from expertnet.store.run_store import RunStore
from expertnet.store.start_weights import at_temperature_one
from expertnet.store.trash import empty_trash, move_to_trash
from expertnet.training.runner import run_training
from expertnet.training.start import check_can_start, prepare_resume
from expertnet.training.stop import Stop
from expertnet.training.trainer import Trainer
from expertnet.transfer.export_run import export_run
from expertnet.transfer.import_run import import_run
from tests.support.colors import TINY
from tests.support.small import figures, settings

SEVERAL = {"training.epochs": 3, "training.frozen_epochs": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with a trained run."""
    store = RunStore(tmp_path_factory.mktemp("start") / "runs")
    run = store.create(settings(), name="source")
    assert run_training(run, Stop()).state == "finished", run.log_tail()
    return store


@pytest.fixture
def store(trained, tmp_path):
    return RunStore(shutil.copytree(trained.root, tmp_path / "runs"))


def started(store, **overrides):
    """Create a run that starts from the one run of the store."""
    return store.create(settings(**SEVERAL | {"model.start_from": "latest"} | overrides))


def stopped_after(run, epoch):
    stop = Stop()
    run_training(run, stop, on_progress=lambda status: status.epoch == epoch and stop.set())
    assert run.state == "stopped" and run.status().epoch == epoch, run.log_tail()


def same(one, other, part):
    """Return whether two checkpoints have the same bits in the classifier, or in the rest."""
    (first, _), (second, _) = one, other
    names = [name for name in first if name.startswith("classifier.") is (part == "classifier")]
    return all(torch.equal(first[name], second[name]) for name in names)


@pytest.mark.slow
def test_the_trunk_is_copied_stays_while_it_is_frozen_and_then_learns(store):
    source = store.list()[0]
    run = started(store, **{"training.keep_every": 1})
    assert run.settings().model.start_from == source.id  # which version "latest" meant is kept
    assert run_training(run, Stop()).state == "finished", run.log_tail()
    best, first, second = (
        each.checkpoints.load(kind) for each, kind in ((source, "best"), (run, "epoch-0001"), (run, "epoch-0002"))
    )
    assert same(best, first, "trunk") and not same(best, first, "classifier")
    assert not same(first, second, "trunk") and not same(first, second, "classifier")
    assert source.id in run.log_tail()


def test_the_classifier_is_not_the_one_that_a_source_of_the_same_seed_began_with(data):
    """The weights of the source would fit it, so that some seeds would begin far ahead of the others."""
    settings = build_settings("quick", overrides=TINY)
    source = Trainer(settings, data, threads=1).weights()
    trunk = {name: value for name, value in source.items() if not name.startswith("classifier.")}
    begun = [Trainer(settings, data, threads=1, start=trunk).weights() for _ in range(2)]
    assert all(torch.equal(begun[0][name], value) for name, value in trunk.items())
    name = "classifier.head.weight"
    assert torch.equal(begun[0][name], begun[1][name])
    cosine = torch.cosine_similarity(begun[0][name].flatten(), source[name].flatten(), dim=0)
    assert abs(cosine) < 0.9, cosine


def test_a_start_from_a_warm_router_routes_alike_at_temperature_one():
    torch.manual_seed(0)
    model = build_settings("quick", "digits").model
    warm, plain = ExpertNet(model, 10).eval(), ExpertNet(model, 10).eval()
    for module in warm.modules():
        if isinstance(module, Router):
            module.temperature.fill_(3.5)
    plain.load_state_dict(at_temperature_one(warm.state_dict()))
    images = torch.rand(4, 3, 32, 32)
    assert all(float(module.temperature) == 1 for module in plain.modules() if isinstance(module, Router))
    ours, theirs = (net(images, return_routing=True)[1] for net in (plain, warm))
    assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("epoch", "recipe"),
    [
        (0, {}),
        (1, {"training.optimizer": "muon", "training.ema": 0.9}),
        (2, {}),
        *((epoch, {"training.optimizer": name}) for name in ("sgd", "muon_sgd") for epoch in (0, 1, 2)),
    ],
    ids=str,
)
def test_it_resumes_to_the_bit_without_its_source(store, epoch, recipe):
    """In the frozen epochs and after them."""
    whole, broken = (started(store, **recipe) for _ in range(2))
    run_training(whole, Stop())
    move_to_trash(store.get(whole.settings().model.start_from))
    empty_trash(store)
    stop = Stop()
    run_training(broken, stop, on_progress=lambda status: status.epoch == epoch and status.step == 1 and stop.set())
    assert broken.state == "stopped" and not (broken.path / "start.safetensors").exists()
    prepare_resume(broken)
    assert run_training(broken, Stop()).state == "finished", broken.log_tail()
    assert figures(broken) == figures(whole)
    assert broken.checkpoints.path("last").read_bytes() == whole.checkpoints.path("last").read_bytes()


@pytest.mark.slow
def test_a_source_that_is_deleted_or_trained_on_while_the_run_waits_changes_nothing(store):
    source, runs = store.list()[0], [started(store), started(store)]
    run_training(runs[0], Stop())
    prepare_resume(source, epochs=2)
    run_training(source, Stop())
    move_to_trash(source)
    run_training(runs[1], Stop())
    assert figures(runs[0]) == figures(runs[1])
    with pytest.raises(RunError, match=r"`model.start_from` cannot be used. There is no run"):
        store.create(runs[0].settings())
    assert len(store.list()) == 2


def test_weights_that_are_lost_before_the_first_epoch_fail_the_run_with_a_sentence(store):
    run = started(store)
    (run.path / "start.safetensors").write_bytes(b"x")
    status = run_training(run, Stop())
    assert status.state == "failed" and "missing or damaged. Start a new run" in status.error


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"data.image_size": 16}, "its `data.image_size` is 8, and yours is 16"),
        ({"model.channels": 12}, "its `model.channels` is 8, and yours is 12"),
        ({"model.activation": "gelu"}, "its `model.activation` is relu, and yours is gelu"),
        ({"model.start_from": "2020"}, "There is no run '2020'"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence_before_there_is_a_run(store, changed, says):
    own = settings(**{"model.start_from": "latest"} | changed)
    for attempt in (lambda: check_can_start(own, store), lambda: store.create(own)):
        with pytest.raises(RunError, match=says):
            attempt()
    assert len(store.list()) == 1


def test_a_run_without_a_network_is_refused(tmp_path):
    store = RunStore(tmp_path / "runs")
    store.create(settings())
    with pytest.raises(RunError, match="has no trained network yet"):
        check_can_start(settings(**{"model.start_from": "latest"}), store)


def test_an_exported_run_needs_its_source_nowhere(store, tmp_path):
    run, file = started(store, **{"training.epochs": 1}), io.BytesIO()
    run_training(run, Stop())
    export_run(run, file)
    other = RunStore(tmp_path / "elsewhere")
    found = import_run(other, file, "run.zip").run
    assert found.settings().model.start_from == store.list()[-1].id
    assert load_predictor(found, "best").epoch == 1
