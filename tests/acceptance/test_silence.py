"""A Postgres whose host goes silent amid the work, as at a failover: its name leads elsewhere."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from infra.embedded import EmbeddedPostgres
from infra.postgres import connect
from tests.support.atelier import Atelier, Person, outside_servers
from tests.support.changes import Writer, changes_in
from tests.support.network import PORT, Host, hosts, needs_namespaces
from tests.support.scenario import eventually
from tests.support.topic import read_events

pytestmark = [pytest.mark.anywhere, needs_namespaces]

WRITERS = 4
BACK_S = 30.0  # 9 s of silence, and connecting anew; a busy machine may take its time


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Atelier, Host]]:
    """An Atelier whose Postgres has two addresses, and the host of the first, which is used."""
    with outside_servers(tmp_path) as outside, EmbeddedPostgres(tmp_path / "own") as postgres:
        parts = urlsplit(postgres.url)
        folder = unquote(parse_qs(parts.query)["host"][0])
        with hosts(f"{folder}/.s.PGSQL.5432", 2) as (first, second):
            both = f"{first.address}:{PORT},{second.address}:{PORT}"
            login = f"{parts.username}:{parts.password}"
            url = f"postgresql://{login}@{both}{parts.path}"
            outside.environ["ATELIER_POSTGRES_URL"] = url
            atelier = Atelier(tmp_path / "data", outside)
            try:
                atelier.start()
                yield atelier, first
            finally:
                atelier.stop()


def test_a_silent_postgres_holds_writes_up_for_seconds_and_makes_no_ghosts(
    pair: tuple[Atelier, Host],
) -> None:
    atelier, first = pair
    with contextlib.ExitStack() as stack:
        watcher = Person(stack.enter_context(atelier.client()))
        writers = [Writer(stack.enter_context(atelier.client())) for _ in range(WRITERS)]
        for writer in writers:
            writer.start()
        time.sleep(1.0)
        first.go_silent()
        silent = time.monotonic()
        eventually(lambda: all(writer.wrote_after(silent + 1) for writer in writers), BACK_S)
        for writer in writers:
            writer.over.set()
            writer.join()
        task = watcher.post("/generate", {})["task_id"]
        assert watcher.wait_for(task)["status"] == "SUCCESS"  # projector and consumer are back, too

    url = atelier.settings().postgres_url
    changes = changes_in(url)
    with connect(url) as connection:
        ((newest,),) = connection.execute("SELECT max(position) FROM atelier_events")
    told = sum(writer.count(200) for writer in writers)
    unknown = sum(writer.count(504, 0) for writer in writers)
    assert {status for writer in writers for _, status in writer.answers} <= {200, 503, 504}
    assert told <= changes <= told + unknown
    seen = read_events(
        atelier.settings(), lambda events: len({e["atelier_position"] for e in events}) >= newest
    )
    assert {int(e["atelier_position"]) for e in seen} == set(range(1, newest + 1))
