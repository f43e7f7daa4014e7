"""Prometheus metrics of the service."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The metrics of one service."""

    def __init__(self, facts: dict[str, str]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        self.requests = Counter(
            "expertnet_requests", "Requests to /predict, by HTTP status", ["status"], registry=self.registry
        )
        self.seconds = Histogram(
            "expertnet_request_seconds", "Time of a request to /predict", buckets=SECONDS, registry=self.registry
        )
        self.inside = Gauge("expertnet_requests_inside", "Requests to /predict in progress", registry=self.registry)
        self.images = Counter("expertnet_images", "Images classified", registry=self.registry)
        self.batches = Histogram(
            "expertnet_batch_images", "Images in a batch of the network", buckets=IMAGES, registry=self.registry
        )
        network = Gauge("expertnet_network", "The network that answers", list(facts), registry=self.registry)
        network.labels(**facts).set(1)

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class Measured:
    """ASGI middleware that counts and times the requests to one path."""

    def __init__(self, app: ASGIApp, metrics: Metrics, path: str) -> None:
        self.app, self.metrics, self.path = app, metrics, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self.path:
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.metrics.inside.inc()
        try:
            await self.app(scope, receive, sending)
        finally:
            self.metrics.inside.dec()
            self.metrics.seconds.observe(time.perf_counter() - start)
            self.metrics.requests.labels(status).inc()
