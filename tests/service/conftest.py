"""A network in the service, without a server: the network runs in PyTorch, since its conversion takes seconds."""

import pytest
from fastapi.testclient import TestClient

from expertnet.inference.novelty import fit
from expertnet.inference.predictor import load_predictor
from expertnet.service.app import make_app
from expertnet.service.limits import Limits
from expertnet.service.model import Served
from tests.support.lab import random_split, saved_run


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    run = saved_run(tmp_path_factory.mktemp("served"))
    run.write_config(run.config() | {"name": "<b>mine</b> *x*"})
    predictor, split = load_predictor(run), random_split(200)
    probabilities, _, features = predictor.look(split.images)
    novelty = fit(features[:100], split.labels[:100], (features[100:], probabilities[100:]))
    return Served(run, "best", predictor, novelty, "a digest")


@pytest.fixture
def client(served):
    """Return a function that starts the service with options, and returns a client of it."""
    clients = []

    def start(network=served, **options):
        app = make_app(network, **{"threads": 2, "limits": Limits()} | options)
        clients.append(TestClient(app, "http://127.0.0.1", raise_server_exceptions=False).__enter__())
        return clients[-1]

    yield start
    for each in clients:
        each.__exit__()
