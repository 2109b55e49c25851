"""One running Atelier for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.atelier import Atelier, outside_servers


@pytest.fixture(scope="package")
def atelier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Atelier]:
    """All of Atelier's processes, started once for the folder."""
    folder: Path = tmp_path_factory.mktemp("atelier")
    with outside_servers(folder) as outside:
        running = Atelier(folder / "data", outside)
        try:
            running.start()
            yield running
        finally:
            running.stop()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Atelier]:
    """An Atelier of the test's own, not started yet."""
    with outside_servers(tmp_path) as outside:
        atelier = Atelier(tmp_path / "data", outside)
        try:
            yield atelier
        finally:
            atelier.stop()


@pytest.fixture
def client(atelier: Atelier) -> Iterator[httpx.Client]:
    """A client of its API."""
    with atelier.client() as http:
        yield http
