"""Requests to the service in one process, and a network that lets them wait."""

import threading

from expertnet.inference.predictor import Predictor
from expertnet.service.intake import BYTES
from tests.support.small import LIMIT

RAW = {"Content-Type": BYTES}


def in_form(*files):
    return [("images", (f"{number}.png", content)) for number, content in enumerate(files)]


def refused(response, status):
    """Check a refusal and return its sentence."""
    assert response.status_code == status, response.text
    (error,) = response.json().values()
    assert error.endswith(".") and "\n" not in error
    return error


class Held(Predictor):
    """A network that waits until it is let go, and remembers its batches."""

    def __init__(self, source):
        super().__init__(source.model, source.settings, source.info, source.epoch)
        self.let_go, self.batches = threading.Event(), []

    def look(self, images):
        self.batches.append(len(images))
        assert self.let_go.wait(LIMIT)
        return super().look(images)
