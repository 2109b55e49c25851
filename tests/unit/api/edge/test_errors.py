import importlib
import pkgutil
from collections.abc import Iterator

import api
import api.edge
import api.pages
import api.resources
import commands
import domain
from api.edge.errors import STATUSES
from domain.errors import AtelierError

# What of infra and projections a request can meet; the rest stops processes, not requests.
BESIDE = (
    "infra.log.event_store",
    "infra.log.fingerprints",
    "infra.media.images",
    "infra.log.keys",
    "infra.access.limits",
    "infra.media.store",
    "infra.postgres",
    "infra.workbooks.model",
    "infra.workbooks.reading",
    "infra.access.tokens",
    "projections.reading",
)
# These end the process before it serves.
NEVER_ANSWERED = {"port_taken", "not_migrated"}


def errors(root: type[AtelierError] = AtelierError) -> Iterator[type[AtelierError]]:
    yield root
    for error in root.__subclasses__():
        yield from errors(error)


def reachable_by_a_request() -> list[type[AtelierError]]:
    packages = (domain, commands, api, api.edge, api.pages, api.resources)
    modules = [
        f"{package.__name__}.{module.name}"
        for package in packages
        for module in pkgutil.iter_modules(package.__path__)
        if module.name != "__main__"
    ]
    names = {*modules, *BESIDE}
    for name in names:
        importlib.import_module(name)
    return [error for error in errors() if error.__module__ in names]


def test_every_error_that_a_request_can_meet_has_a_status():
    missing = {error.code for error in reachable_by_a_request()} - STATUSES.keys() - NEVER_ANSWERED
    assert missing == set()


def test_every_status_belongs_to_an_error():
    assert STATUSES.keys() == {e.code for e in reachable_by_a_request()} - NEVER_ANSWERED


def test_what_may_succeed_later_is_not_blamed_on_the_client():
    retriable = {e.code for e in reachable_by_a_request() if e.retriable}
    assert {STATUSES[code] for code in retriable} == {503}
