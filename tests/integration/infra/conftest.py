"""A log to append to, and relays that bring it to a broker of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.relaying import Log, Relays
from tests.support.servers import Server


@pytest.fixture
def log(postgres_url: str) -> Iterator[Log]:
    log = Log(postgres_url)
    yield log
    log.close()


@pytest.fixture
def relays(log: Log, kafka: Server, tmp_path: Path) -> Iterator[Relays]:
    relays = Relays(log, kafka.url, tmp_path)
    yield relays
    relays.close()
    print(relays.written())  # pytest shows it for a test that fails
