"""Requests a second and their p99: our API against FastAPI and asyncpg on the same Postgres.

Both are served by granian with one worker and pools of 8, and asked over 64 connections. Ours runs
with its projector beside it, and its reads include the wait for the asker's own writes.
"""

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx

from infra.access.tokens import Tokens
from infra.embedded import EmbeddedPostgres
from infra.embedded.server import free_port
from infra.log.event_store import EventStore, open_store
from infra.postgres import connect
from infra.settings import Settings
from projections import main as projector
from tests.bench.report import Figure, median, report
from tests.support.scenario import (
    Story,
    completed,
    eventually,
    source,
    started,
    thumbnail,
)

RUNS = 3
SECONDS = os.environ.get("BENCH_SECONDS", "5")
CONNECTIONS = 64
ACCOUNTS = 128
ASKING = 512  # accounts that ask for pictures: some tens each
FINISHED = 12  # of each account: a page of the gallery and two more
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


def main() -> None:
    """Measure both sides three times in turn."""
    if shutil.which("wrk") is None:
        sys.exit("bench-api needs wrk: apt-get install wrk, or brew install wrk")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = EmbeddedPostgres(folder / "postgres")
        postgres.start()
        stack.callback(postgres.stop)
        environ = _environ(folder, postgres.url)
        settings = Settings.load(environ)
        projector.migrate(settings)
        stack.enter_context(_process(environ, "-m", "api", "projector"))
        cases = _seeded(settings)
        ours = stack.enter_context(_served(environ, "-m", "api", "api"))
        peer = stack.enter_context(_served(environ, *_peer()))
        report("api", [figure for case in cases for figure in _compared(case, ours, peer, folder)])


def _compared(case: Case, ours: str, peer: str, folder: Path) -> Iterator[Figure]:
    runs = [(_wrk(case, ours, folder), _wrk(case, peer, folder)) for _ in range(RUNS)]
    yield Figure(
        name=case.name,
        unit="requests/s",
        ours=median([mine.per_second for mine, _ in runs]),
        peer=median([theirs.per_second for _, theirs in runs]),
    )
    yield Figure(
        name=f"{case.name}, p99",
        unit="ms",
        ours=median([mine.p99_ms for mine, _ in runs]),
        peer=median([theirs.p99_ms for _, theirs in runs]),
    )


def _wrk(case: Case, address: str, folder: Path) -> Measured:
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


def _seeded(settings: Settings) -> list[Case]:
    """Accounts with finished and waiting tasks in the log, both sides' tables, and the requests."""
    store = open_store(settings.postgres_url, settings.master_key, settings.hash_key, connections=1)
    tokens = Tokens(settings.jwt_key)
    gallery, tasks, posts = [], [], []
    for _ in range(ACCOUNTS):
        account = uuid4()
        token = tokens.issue(account)
        finished, waiting = _life(store, account)
        gallery.append(f"GET /get_gallery?limit=10 {token}")
        tasks += [f"GET /generate/{finished} {token}", f"GET /generate/{waiting} {token}"]
    for _ in range(ASKING):
        account = uuid4()
        Story(store).register(account)
        posts.append(f"POST /generate {tokens.issue(account)}")
    with connect(settings.postgres_url, statement_timeout=0) as connection:
        newest = "SELECT position FROM atelier_head"
        behind = f"SELECT FROM atelier_projections WHERE live AND position < ({newest})"
        eventually(lambda: not connection.execute(behind).fetchall(), seconds=300)
        connection.execute(_peer_tables())
        connection.execute("ANALYZE")
    return [
        Case("GET /get_gallery, 10 of 12", gallery),
        Case("GET /generate/{id}, half of them waiting", tasks),
        Case("POST /generate, the contract's example", posts),
    ]


def _life(store: EventStore, account: UUID) -> tuple[UUID, UUID]:
    """A finished and a waiting task of an account that has more of them."""
    story = Story(store)
    story.register(account)
    for _ in range(FINISHED):
        task = story.request(account)
        files = (source(f"{task}.jpg"), thumbnail(f"{task}_thumbnail.jpg"))
        story.tell(task, started(), completed(files=files), account=account)
    return task, story.request(account, vip=True)


def _peer_tables() -> str:
    from tests.bench.peer_api import TABLES  # reads its settings when it is imported

    return TABLES


def _peer() -> list[str]:
    options = ["--interface", "asgi", "--no-ws", "--log-level", "warning"]
    return ["-m", "granian", *options, "tests.bench.peer_api:app"]


@contextmanager
def _served(environ: dict[str, str], *command: str) -> Iterator[str]:
    port = str(free_port())
    with _process(environ | {"ATELIER_PORT": port, "GRANIAN_PORT": port}, *command):
        address = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(address), seconds=60)
        yield address


@contextmanager
def _process(environ: dict[str, str], *command: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, *command], env=environ)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5).status_code < 500
    except httpx.TransportError:
        time.sleep(0.1)
        return False


if __name__ == "__main__":
    main()
