"""What the service counts, as Prometheus reads it."""

from dlnotes.serving.errors import needs_serve_extra

with needs_serve_extra():
    from prometheus_client import (
        CONTENT_TYPE_LATEST,
        CollectorRegistry,
        Counter,
        Gauge,
        Histogram,
        generate_latest,
    )

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Counters of one service, in a registry of their own.

    Attributes:
        requests: Requests answered, by model and HTTP status.
        seconds: Time from the end of a request's head to its answer, by model.
        batch_rows: Rows of the computed batches, by model.
        batch_seconds: Time that they took, by model.
        waiting: Rows in the queue, by model.
        ready: 1 for a model that answers, 0 for one that loads or failed.

    Example:
        >>> metrics = Metrics()
        >>> metrics.requests.labels("digits", "200").inc()
        >>> b'dlnotes_requests_total{code="200",model="digits"} 1.0' in metrics.text()
        True
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        model = ["model"]
        self.requests = Counter(
            "dlnotes_requests", "Requests answered", ["model", "code"], registry=registry
        )
        self.seconds = Histogram(
            "dlnotes_request_seconds",
            "Time of a request",
            model,
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_rows = Histogram(
            "dlnotes_batch_rows", "Rows of a batch", model, buckets=ROWS, registry=registry
        )
        self.batch_seconds = Histogram(
            "dlnotes_batch_seconds", "Time of a batch", model, buckets=SECONDS, registry=registry
        )
        self.waiting = Gauge("dlnotes_waiting_rows", "Rows that wait", model, registry=registry)
        self.ready = Gauge("dlnotes_ready", "Whether the model answers", model, registry=registry)

    def text(self) -> bytes:
        """Return all values in Prometheus' text format."""
        return generate_latest(self.registry)
