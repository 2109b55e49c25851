"""The api as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from infra.embedded.server import free_port
from infra.process.processes import Lifeline
from tests.support.scenario import eventually


@pytest.fixture
def lifeline() -> Iterator[Lifeline]:
    """Ends what the test has left running."""
    line = Lifeline()
    yield line
    line.close()


@pytest.fixture
def port() -> int:
    return free_port()


def start(lifeline: Lifeline, port: int, **environ: str) -> subprocess.Popen[bytes]:
    away = {  # the api starts while its stores are away
        "ATELIER_POSTGRES_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "ATELIER_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "ATELIER_S3_URL": "http://127.0.0.1:1",
        "ATELIER_S3_ACCESS_KEY": "key",
        "ATELIER_S3_SECRET_KEY": "secret",
        "ATELIER_MASTER_KEY": "a" * 43 + "=",
        "ATELIER_HASH_KEY": "a" * 43 + "=",
        "ATELIER_JWT_KEY": "a" * 43 + "=",
    }
    return lifeline.spawn(
        [sys.executable, "-m", "api", "api"],
        environ={"PATH": os.defpath, "ATELIER_PORT": str(port), **away, **environ},
        output=subprocess.PIPE,
    )


def lives(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def refuses_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_success(lifeline: Lifeline, port: int, number: signal.Signals):
    process = start(lifeline, port)
    eventually(lambda: lives(port), seconds=60)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert b"Traceback" not in output
    assert refuses_connections(port)


def test_its_worker_ends_with_it_however_it_ends(lifeline: Lifeline, port: int):
    process = start(lifeline, port)
    eventually(lambda: lives(port), seconds=60)
    process.kill()
    process.communicate(timeout=60)  # to the end of the output, which the worker holds as well
    assert refuses_connections(port)


def test_a_taken_port_is_told(lifeline: Lifeline, port: int):
    with socket.create_server(("127.0.0.1", port), reuse_port=True):
        process = start(lifeline, port)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"ATELIER_PORT" in output
    assert b"Traceback" not in output


def test_it_is_not_opened_to_others_without_the_safe_settings(lifeline: Lifeline, port: int):
    process = start(lifeline, port, ATELIER_HOST="0.0.0.0")  # noqa: S104 - it refuses to
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"ATELIER_LOGIN" in output
    assert b"ATELIER_CATALOG_KEY" in output


def test_its_log_tells_no_query_and_no_token(lifeline: Lifeline, port: int):
    process = start(lifeline, port)
    eventually(lambda: lives(port), seconds=60)
    headers = {"Authorization": "Bearer hidden-token"}
    httpx.get(f"http://127.0.0.1:{port}/get_gallery?limit=77", headers=headers)
    httpx.get(f"http://127.0.0.1:{port}/generate/{uuid4()}/events?stream_token=hidden-token")
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert b"listening" in output
    assert b"hidden-token" not in output
    assert b"limit=77" not in output
