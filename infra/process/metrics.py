"""What every process counts and times, and the port where Prometheus reads it.

No label names a person, an account or a task, and each has few values.
"""

import threading
from typing import Final
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import (
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.registry import Collector

log = structlog.get_logger("atelier.metrics")

# Upper bounds in seconds: fine where a good machine is, up to the limits of our own patience.
QUICK: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
SLOW: Final = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)

APPEND: Final = Histogram(
    "atelier_append_seconds",
    "From when a save is brought until it is stored or refused, its wait for others included",
    buckets=QUICK,
)
REQUEST: Final = Histogram(
    "atelier_request_seconds",
    "From a request's first byte until its answer's last",
    ("method", "route", "status"),
    buckets=QUICK,
)
RELAY_PUBLISH: Final = Histogram(
    "atelier_relay_publish_seconds", "One transaction of the relay on Kafka", buckets=QUICK
)
RELAY_DELAY: Final = Histogram(
    "atelier_relay_delay_seconds",
    "From when an event was recorded until Kafka had committed it; of the last one of each batch",
    buckets=QUICK,
)
RELAYED: Final = Counter("atelier_relay_events_total", "Events that the relay has passed on")
PROJECTION: Final = Histogram(
    "atelier_projection_batch_seconds",
    "One batch of events applied to a read model, rows and position together",
    ("model",),
    buckets=QUICK,
)
PROJECTED: Final = Counter(
    "atelier_projection_events_total", "Events that a read model has taken in", ("model",)
)
RENDER: Final = Histogram(
    "atelier_render_seconds",
    "One attempt of a render consumer at a task, by how it ended",
    ("outcome",),
    buckets=SLOW,
)
WEBHOOK: Final = Histogram(
    "atelier_webhook_seconds",
    "One attempt to send a webhook, by how it ended",
    ("outcome",),
    buckets=SLOW,
)
KLING: Final = Histogram(
    "atelier_kling_seconds",
    "One step of a picture that Kling is to make, by how it ended",
    ("outcome",),
    buckets=SLOW,
)
KLING_BARRED: Final = Gauge(
    "atelier_kling_barred",
    "Whether Kling takes nothing of ours until somebody has seen to the account",
)

DEVICE_LOST: Final = Gauge(
    "atelier_render_device_lost",
    "Whether this render consumer's device no longer computes anything",
)


class Exposed:
    """A port that answers Prometheus until it is closed."""

    def __init__(self, server: WSGIServer, thread: threading.Thread, figures: Collector) -> None:
        self._server = server
        self._thread = thread
        self._figures = figures
        self.port: int = server.server_port

    def close(self) -> None:
        """Answer no more."""
        REGISTRY.unregister(self._figures)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def expose(host: str, port: int, figures: Collector) -> Exposed | None:
    """Answer Prometheus at this port, with what `figures` collects as well; 0 takes a free one.

    None when the port is taken: a process that cannot be watched still does its work.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # twice as many series, of use to nobody who has the rest
    try:
        server, thread = start_http_server(port, host)
    except OSError as error:
        log.error("no metrics", host=host, port=port, why=error.strerror)
        return None
    REGISTRY.register(figures)
    return Exposed(server, thread, figures)
