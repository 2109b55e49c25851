"""Requests a second and their p99: our API against FastAPI and asyncpg on the same Postgres.

Both are served by granian with one worker and pools of 8, and asked over 64 connections. Ours runs
with its projector beside it, and its reads include the wait for the asker's own writes.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID, uuid4

from infra.access.tokens import Tokens
from infra.log.event_store import EventStore, open_store
from infra.postgres import connect
from infra.settings import Settings
from tests.bench.report import Figure, median, report
from tests.bench.serving import Case, projecting, served, wrk
from tests.support.scenario import (
    Story,
    completed,
    eventually,
    source,
    started,
    thumbnail,
)

RUNS = 3
ACCOUNTS = 128
ASKING = 512  # accounts that ask for pictures: some tens each
FINISHED = 12  # of each account: a page of the gallery and two more


def main() -> None:
    """Measure both sides three times in turn."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environ = stack.enter_context(projecting(folder, "bench-api"))
        cases = _seeded(Settings.load(environ))
        ours = stack.enter_context(served(environ, "-m", "api", "api"))
        peer = stack.enter_context(served(environ, *_peer()))
        report("api", [figure for case in cases for figure in _compared(case, ours, peer, folder)])


def _compared(case: Case, ours: str, peer: str, folder: Path) -> Iterator[Figure]:
    runs = [(wrk(case, ours, folder), wrk(case, peer, folder)) for _ in range(RUNS)]
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


if __name__ == "__main__":
    main()
