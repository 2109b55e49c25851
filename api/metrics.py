"""The figures of the whole system for Prometheus."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api import figures
from api.figures import PROCESSES, Figures, Reader, Server
from domain.errors import AtelierError
from infra.process import metrics
from infra.process.metrics import Exposed
from infra.settings import Settings


def expose(settings: Settings) -> Exposed | None:
    """Answer Prometheus at `ATELIER_METRICS_PORT`, if it is set."""
    if not settings.metrics_port:
        return None
    return metrics.expose(settings.metrics_host, settings.metrics_port, System(settings))


class System(Collector):
    """The figures of `atelier status`, asked for at each scrape; the same from every process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Their names, for which nobody need be asked."""
        return [_gauge(name) for name in ABOUT]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Those of the servers always, the others when Postgres answers."""
        servers = figures.servers(self._settings)
        yield from _of_servers(servers)
        if servers[0].answers:  # else it would be waited for a second time
            with contextlib.suppress(AtelierError):
                yield from _of_postgres(figures.figures(self._settings))


ABOUT: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "atelier_server_up": ("Whether a server answers", ("server",)),
    "atelier_server_answer_seconds": ("How long a server took to answer", ("server",)),
    "atelier_log_position": ("The position of the log's newest event", ()),
    "atelier_reader_lag_events": ("How many events a reader of the log lacks", ("reader",)),
    "atelier_reader_lag_seconds": ("The age of the first event that it lacks", ("reader",)),
    "atelier_reader_led": ("Whether some process does the reader's work", ("reader",)),
    "atelier_projector_still_seconds": (
        "For how long nobody who keeps a read model has looked at the log",
        ("model",),
    ),
    "atelier_parked_events": ("Events that a read model could not apply", ("model",)),
    "atelier_queue_tasks": ("Tasks that have not ended", ("state", "lane")),
    "atelier_queue_oldest_seconds": (
        "How long the first task has waited that may be claimed",
        (),
    ),
    "atelier_leases": ("Tasks in consumers' hands, or left by those that are gone", ("state",)),
    "atelier_lease_oldest_seconds": ("For how long the oldest attempt has been under way", ()),
    "atelier_webhooks": ("Webhooks that have not been sent", ("state",)),
    "atelier_webhook_due_seconds": ("For how long the first webhook has been due", ()),
    "atelier_processes": ("Our processes that are connected to Postgres", ("process",)),
}


def _gauge(name: str, *values: tuple[tuple[str, ...], float]) -> GaugeMetricFamily:
    about, labels = ABOUT[name]
    family = GaugeMetricFamily(name, about, labels=labels)
    for labelled, value in values:
        family.add_metric(labelled, value)
    return family


def _of_servers(servers: list[Server]) -> Iterator[GaugeMetricFamily]:
    yield _gauge("atelier_server_up", *(((each.name,), each.answers) for each in servers))
    answered = (((each.name,), each.seconds) for each in servers if each.answers)
    yield _gauge("atelier_server_answer_seconds", *answered)


def _of_postgres(found: Figures) -> Iterator[GaugeMetricFamily]:
    yield _gauge("atelier_log_position", ((), found.position))

    def of_readers(name: str, value: Callable[[Reader], float]) -> GaugeMetricFamily:
        return _gauge(name, *(((each.name,), value(each)) for each in found.readers))

    yield of_readers("atelier_reader_lag_events", lambda reader: reader.lag)
    yield of_readers("atelier_reader_lag_seconds", lambda reader: reader.waiting_seconds)
    yield of_readers("atelier_reader_led", lambda reader: reader.led)
    models = [each for each in found.readers if each.is_model]
    still = (((each.name,), each.still_seconds) for each in models)
    yield _gauge("atelier_projector_still_seconds", *still)
    yield _gauge("atelier_parked_events", *(((each.name,), each.parked) for each in models))
    queue, leases, webhooks = found.queue, found.leases, found.webhooks
    yield _gauge(
        "atelier_queue_tasks",
        (("pending", "vip"), queue.pending_vip),
        (("pending", "normal"), queue.pending_normal),
        (("started", "any"), queue.started),
    )
    yield _gauge("atelier_queue_oldest_seconds", ((), queue.oldest_seconds))
    yield _gauge("atelier_leases", (("held",), leases.held), (("run_out",), leases.run_out))
    yield _gauge("atelier_lease_oldest_seconds", ((), leases.oldest_seconds))
    yield _gauge(
        "atelier_webhooks",
        (("pending",), webhooks.pending),
        (("given_up",), webhooks.given_up),
    )
    yield _gauge("atelier_webhook_due_seconds", ((), webhooks.due_seconds))
    counts = {name: found.processes.get(name, 0) for name in PROCESSES}  # none is a count as well
    yield _gauge("atelier_processes", *(((name,), count) for name, count in counts.items()))
