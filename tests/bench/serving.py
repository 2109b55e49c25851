"""What several benchmarks run: Postgres with a projector beside it, servers, and wrk."""

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from infra.embedded import EmbeddedPostgres
from infra.embedded.server import free_port
from infra.settings import Settings
from projections import main as projector
from tests.support.scenario import eventually

SECONDS = os.environ.get("BENCH_SECONDS", "5")
CONNECTIONS = 64
FOLDER = Path(__file__).parent
EXAMPLE = FOLDER.parents[1] / "api" / "cli" / "demo_request.json"


class Measured(NamedTuple):
    """One run of wrk."""

    per_second: float
    p99_ms: float


class Case(NamedTuple):
    """A name, and the requests that wrk sends in turn."""

    name: str
    requests: list[str]


@contextmanager
def projecting(folder: Path, benchmark: str) -> Iterator[dict[str, str]]:
    """A migrated Postgres with its projector; gives the environment of what is to join them."""
    if shutil.which("wrk") is None:
        sys.exit(f"{benchmark} needs wrk: apt-get install wrk, or brew install wrk")
    postgres = EmbeddedPostgres(folder / "postgres")
    postgres.start()
    try:
        environ = _environ(folder, postgres.url)
        projector.migrate(Settings.load(environ))
        with process(environ, "-m", "api", "projector"):
            yield environ
    finally:
        postgres.stop()


@contextmanager
def served(environ: dict[str, str], *command: str) -> Iterator[str]:
    port = str(free_port())
    with process(environ | {"ATELIER_PORT": port, "GRANIAN_PORT": port}, *command):
        address = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(address), seconds=60)
        yield address


@contextmanager
def process(environ: dict[str, str], *command: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, *command], env=environ)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def wrk(case: Case, address: str, folder: Path) -> Measured:
    requests, body = folder / "requests", folder / "body.json"
    requests.write_text("\n".join(case.requests))
    body.write_text(json.dumps(_body()))
    script = FOLDER / "api.lua"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--timeout", "10s"]
    done = subprocess.run(
        [*command, "-s", str(script), address, "--", str(requests), str(body)],
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    assert not seen["failed"], f"{case.name} at {address}: {seen}"
    time.sleep(1)  # what wrk leaves under way when it hangs up
    return Measured(seen["requests"] / seen["seconds"], seen["p99_ms"])


def _body() -> Any:
    body = json.loads(EXAMPLE.read_text())
    body["task_options"] = {"vip": True, "limit": 1000}
    return body


def _environ(folder: Path, postgres_url: str) -> dict[str, str]:
    def key() -> str:
        return base64.b64encode(secrets.token_bytes(32)).decode()

    return {
        **os.environ,
        "ATELIER_DATA": str(folder / "data"),
        "ATELIER_POSTGRES_URL": postgres_url,
        "ATELIER_KAFKA_BOOTSTRAP": "127.0.0.1:1",  # neither of these is asked for anything
        "ATELIER_S3_URL": "http://127.0.0.1:1",
        "ATELIER_S3_ACCESS_KEY": "key",
        "ATELIER_S3_SECRET_KEY": "secret",
        "ATELIER_MASTER_KEY": key(),
        "ATELIER_HASH_KEY": key(),
        "ATELIER_JWT_KEY": key(),
        "ATELIER_TASK_LIMIT": "1000",
    }


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).status_code < 500
    except httpx.TransportError:
        time.sleep(0.1)
        return False
