"""Whatever is killed whenever: nothing is lost, and no task completes twice."""

import time
from collections import Counter
from collections.abc import Callable

import httpx
import pytest

from infra.log.event_store import EventLog
from infra.postgres import open_pool
from tests.support.atelier import Atelier, Person, expect
from tests.support.topic import read_events

VICTIMS = ["relay", "render-consumer", "kafka", "media"]
# These speak with neither Kafka nor S3 while they come back.
OTHERS = [
    pytest.param(name, marks=pytest.mark.anywhere) for name in ("api", "projector", "postgres")
]


def counted(atelier: Atelier) -> tuple[Counter[str], list[int]]:
    """How often each task completed, and every position of the log."""
    pool = open_pool(atelier.settings().postgres_url, 1)
    try:
        log = EventLog(pool).read_stored(0, 100_000)
    finally:
        pool.close()
    completed = Counter(str(e.originator_id) for e in log if e.topic == "render.completed.v1")
    return completed, [e.id for e in log]


def retried(act: Callable[[], str], seconds: float = 30.0) -> str:
    """What a client gets who tries again when the API is away."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return act()
        except (httpx.TransportError, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@pytest.mark.parametrize("victim", [*VICTIMS, *OTHERS])
def test_a_killed_part_comes_back_and_loses_nothing(
    atelier: Atelier, client: httpx.Client, victim: str
) -> None:
    ada = Person(client)
    tasks = [ada.post("/generate", {})["task_id"] for _ in range(2)]
    while ada.get(f"/generate/{tasks[0]}")["status"] == "PENDING":
        time.sleep(0.02)

    atelier.kill(victim)

    tasks.append(retried(lambda: str(ada.post("/generate", {})["task_id"])))
    assert [ada.wait_for(task)["status"] for task in tasks] == ["SUCCESS"] * 3
    completed, positions = counted(atelier)
    assert [completed[task] for task in tasks] == [1, 1, 1]
    assert positions == list(range(1, len(positions) + 1))
    retried(lambda: str(expect(client.get("/health/ready"))))


def test_the_topic_holds_every_event_after_all_that(atelier: Atelier) -> None:
    _, positions = counted(atelier)

    events = read_events(
        atelier.settings(),
        lambda seen: len({e["atelier_position"] for e in seen}) >= len(positions),
    )

    assert sorted({int(e["atelier_position"]) for e in events}) == positions


@pytest.mark.parametrize("server", ["kafka", "media"])
def test_ordering_goes_on_while_kafka_or_the_media_store_is_away(
    atelier: Atelier, client: httpx.Client, server: str
) -> None:
    frozen = atelier.server(server)
    frozen.suspend()
    try:
        ada = Person(client)
        task = ada.post("/generate", {})["task_id"]
        time.sleep(3)
        status = ada.get(f"/generate/{task}")["status"]
        if server == "media":
            assert status == "PENDING"
    finally:
        frozen.resume()
    assert ada.wait_for(task)["status"] == "SUCCESS"


@pytest.mark.anywhere
def test_postgres_away_is_a_503_and_not_a_hang(atelier: Atelier, client: httpx.Client) -> None:
    ada = Person(client)
    family = [p for p in atelier.family() if "postgres" in " ".join(p.cmdline())]
    for process in family:
        process.suspend()
    try:
        began = time.monotonic()
        response = client.get("/get_user_info", headers=ada.headers)
        assert response.status_code == 503
        assert response.headers["Retry-After"]
        assert time.monotonic() - began < 15
    finally:
        for process in family:
            process.resume()
    retried(lambda: str(ada.get("/get_user_info")))
