"""The examples of docs/api.md, as a reader would paste them into a shell."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.embedded.server import free_port
from infra.settings import Settings
from projections import main as projector
from tests.integration.api.conftest import new_email
from tests.support.scenario import eventually

PAGE = Path(__file__).parents[3] / "docs" / "api.md"


@pytest.fixture
def address(environ: dict[str, str], migrated: Settings) -> Iterator[str]:
    """The api as a process, with a projector beside it."""
    stop = threading.Event()
    threads = projector.start(migrated, stop)
    port = str(free_port())
    process = subprocess.Popen(
        [sys.executable, "-m", "api", "api"], env={**os.environ, **environ, "ATELIER_PORT": port}
    )
    address = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: lives(address), seconds=60)
        yield address
    finally:
        process.terminate()
        process.wait(20)
        stop.set()
        for thread in threads:
            thread.join()


def lives(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/live").status_code == 200
    except httpx.TransportError:
        return False


def test_every_example_of_the_page_works(address: str):
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.S)
    assert len(blocks) >= 5
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        env={**os.environ, "ATELIER": address, "EMAIL": new_email()},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"full_name":"Ada Lovelace"' in done.stdout
    assert '"gallery_urls":[]' in done.stdout
    assert "event: status" in done.stdout
    assert '"code":"cancelled"' in done.stdout
    assert done.stdout.count('"avatar_thumbnail_url"') == 2
    assert '"face_shape":"long"' in done.stdout
    assert "x-request-id: my-app.7" in done.stdout.lower()
