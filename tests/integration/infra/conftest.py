"""A log to append to, and relays that bring it to a broker of the test's own."""

import os
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
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "ATELIER_DATA": str(tmp_path / "data"),
        "ATELIER_LOG": "text",
        "ATELIER_POSTGRES_URL": log.url,
        "ATELIER_KAFKA_BOOTSTRAP": kafka.url,
    }
    relays = Relays(environ, tmp_path)
    yield relays
    relays.close()
    print(relays.written())  # pytest shows it for a test that fails
