import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api.app import create_app
from domain.render import RenderCancelled
from infra.log.event_store import EventStore
from infra.postgres import connect
from infra.settings import Settings
from projections import pace
from projections import tasks as read_model
from render_consumers.loop.leases import Leases
from tests.integration.api.conftest import Client, Held, new_email
from tests.integration.api.resources.test_render import complete, fail, generate, start
from tests.support.scenario import eventually, hold, opened_pool


@pytest.fixture
def leases(shared: Settings):
    with opened_pool(shared.postgres_url, 1) as pool:
        yield Leases(pool, "test", 30.0)


def taken(task: str, store: EventStore, leases: Leases) -> None:
    hold(leases, UUID(task))
    start(store, task)


def test_clients_see_the_order_that_the_settings_say(
    ada: Client, server: TestClient[Litestar], shared: Settings
):
    bob = ada.joined_by(new_email())
    asked = [(ada, generate(ada)), (ada, generate(ada)), (bob, generate(bob))]

    def last(http: httpx.Client) -> int:
        found = [http.get(f"/generate/{task}", headers=who.headers) for who, task in asked]
        positions = [answer.json()["position"] for answer in found]
        return positions.index(max(positions))

    in_turn = msgspec.structs.replace(shared, queue_fair=True)
    with TestClient(create_app(in_turn)) as http:
        assert (last(server), last(http)) == (2, 1)


# Waiting for a change.


def test_the_answer_is_held_until_the_status_changes(
    ada: Client, store: EventStore, leases: Leases, held: Held
):
    task = generate(ada)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(ada.get, f"/generate/{task}?wait=60")
        held.has_looked_again()
        taken(task, store, leases)
        assert answer.result().json()["status"] == "STARTED"
        answer = threads.submit(ada.get, f"/generate/{task}?wait=60")
        held.has_looked_again()
        assert leases.renew(UUID(task), "drawing", 0.5)  # no change in this sense
        held.has_looked_again()
        ada.delete(f"/generate/{task}")
        assert answer.result().json()["status"] == "FAILED"


def test_the_answer_is_held_until_the_position_changes(ada: Client, held: Held):
    first, second = generate(ada), generate(ada)
    before = ada.get(f"/generate/{second}").json()["position"]
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(ada.get, f"/generate/{second}?wait=60")
        held.another_waits()
        ada.delete(f"/generate/{first}")
        assert answer.result().json()["position"] == before - 1


def test_many_are_answered_over_one_connection_that_listens(
    ada: Client, shared: Settings, held: Held
):
    task = generate(ada)
    with ThreadPoolExecutor(20) as threads:
        answers = [threads.submit(ada.get, f"/generate/{task}?wait=60") for _ in range(20)]
        held.another_waits(20)
        eventually(lambda: listening(shared) == 2)  # the projector has one as well
        ada.delete(f"/generate/{task}")
        assert {answer.result().json()["status"] for answer in answers} == {"FAILED"}


def listening(settings: Settings) -> int:
    with connect(settings.postgres_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND state = 'idle' AND query = 'LISTEN atelier_events'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_the_answer_comes_as_it_is_when_nothing_changes(ada: Client):
    task = generate(ada)
    assert ada.get(f"/generate/{task}?wait=0.3").json()["status"] == "PENDING"


def test_nobody_waits_for_what_has_ended_or_is_not_there(ada: Client, store: EventStore):
    task = generate(ada)
    complete(store, task)
    assert ada.get(f"/generate/{task}?wait=60").json()["status"] == "SUCCESS"
    assert ada.get(f"/generate/{uuid4()}?wait=60").status_code == 404


@pytest.mark.parametrize("wait", ["-1", "61", "long", "nan"])
def test_a_wait_that_cannot_be_is_refused(ada: Client, wait: str):
    answer = ada.get(f"/generate/{uuid4()}?wait={wait}")
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["details"]] == ["wait"]


# Progress.


def test_progress_and_stage_are_those_beside_the_lease(
    ada: Client, store: EventStore, leases: Leases
):
    def shown() -> list[object]:
        state = ada.get(f"/generate/{task}").json()
        return [state[name] for name in ("status", "progress", "stage")]

    task = generate(ada)
    assert shown() == ["PENDING", 0, None]
    taken(task, store, leases)
    assert shown() == ["STARTED", 0, None]
    assert leases.renew(UUID(task), "drawing", 0.25)
    assert shown() == ["STARTED", 0.25, "drawing"]
    leases.release(UUID(task))
    assert shown() == ["PENDING", 0, None]
    complete(store, task)
    assert shown() == ["SUCCESS", 1, None]
    assert ada.get(f"/generate/{task}").json()["eta_seconds"] == 0


def test_the_estimate_grows_with_the_position_once_something_has_finished(
    ada: Client, store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pace, "PACE_FOR_S", 0.0)
    done = generate(ada)
    complete(store, done, seconds=0.3)
    near, far = (
        ada.get(f"/generate/{task}").json()["eta_seconds"]
        for task in (generate(ada), generate(ada))
    )
    assert 0 < near <= far
    film = ada.post("/generate_video", {}).json()["task_id"]
    assert ada.get(f"/generate/{film}").json()["eta_seconds"] > far  # though it is the first one


# Cancelling.


def test_a_cancelled_task_has_failed(ada: Client, store: EventStore):
    task = generate(ada)
    answer = ada.delete(f"/generate/{task}")
    assert answer.status_code == 200
    assert set(answer.json()) == {"message"}
    assert answer.headers["X-Event-Position"]
    state = ada.get(f"/generate/{task}").json()
    assert (state["status"], state["position"]) == ("FAILED", 0)
    assert state["error"]["code"] == "cancelled"
    assert ada.get("/get_tasks").json()["tasks"][0]["status"] == "FAILED"


def test_a_task_that_is_being_rendered_can_be_cancelled(
    ada: Client, store: EventStore, leases: Leases
):
    task = generate(ada)
    taken(task, store, leases)
    assert ada.delete(f"/generate/{task}").status_code == 200
    assert ada.get(f"/generate/{task}").json()["status"] == "FAILED"
    assert not leases.renew(UUID(task))


def test_cancelling_again_changes_nothing(ada: Client, store: EventStore):
    task = generate(ada)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ada.delete(f"/generate/{task}"), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    events = [recorded.event for recorded in store.load(UUID(task))]
    assert sum(isinstance(event, RenderCancelled) for event in events) == 1


@pytest.mark.parametrize("end", [complete, fail])
def test_what_has_ended_otherwise_is_not_cancelled(ada: Client, store: EventStore, end):
    task = generate(ada)
    end(store, task)
    before = ada.get(f"/generate/{task}").json()["status"]
    answer = ada.delete(f"/generate/{task}")
    assert (answer.status_code, answer.json()["code"]) == (409, "task_ended")
    assert ada.get(f"/generate/{task}").json()["status"] == before


def test_a_cancelled_task_makes_room_for_another(ada: Client):
    task = generate(ada, limit=1)
    assert ada.post("/generate", {"task_options": {"limit": 1}}).status_code == 429
    ada.delete(f"/generate/{task}")
    assert ada.post("/generate", {"task_options": {"limit": 1}}).status_code == 200


@pytest.mark.parametrize("name", ["nothing", "3aa38a43-631e-44f4-ae1a-de16d9843cad", "%00"])
def test_what_is_not_there_cannot_be_cancelled(ada: Client, name: str):
    assert ada.delete(f"/generate/{name}").status_code == 404


def test_an_account_is_no_task(ada: Client, store: EventStore):
    account = store.load(UUID(generate(ada)))[0].account
    assert ada.delete(f"/generate/{account}").status_code == 404


# The list.


def names(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [task["taskid"] for task in answer.json()["tasks"]]


def pages(client: Client, query: str, first: str | None = None) -> list[str]:
    """The tasks of all pages in their order."""
    answer = client.get(first or f"/get_tasks?{query}")
    found = names(answer)
    while answer.json()["pagination"]["has_next"]:
        cursor = answer.json()["pagination"]["next_cursor"]
        answer = client.get(f"/get_tasks?{query}&cursor={cursor}")
        assert len(answer.json()["tasks"]) <= answer.json()["pagination"]["limit"]
        found += names(answer)
    assert answer.json()["pagination"]["next_cursor"] is None
    return found


def test_tasks_are_listed_newest_first(ada: Client):
    older, newer = generate(ada), generate(ada)
    answer = ada.get("/get_tasks").json()
    assert answer["pagination"] == {"limit": 100, "next_cursor": None, "has_next": False}
    assert [(task["taskid"], task["status"]) for task in answer["tasks"]] == [
        (newer, "PENDING"),
        (older, "PENDING"),
    ]
    assert all(set(task) == {"taskid", "status", "requested_at"} for task in answer["tasks"])


def test_the_pages_list_every_task_once(ada: Client, store: EventStore):
    made = [generate(ada) for _ in range(7)]
    for task in made[::2]:
        complete(store, task)
    for limit in (1, 3, 7, 100):
        assert pages(ada, f"limit={limit}") == made[::-1]


def test_pages_end_between_seconds_by_the_second(ada: Client, store: EventStore):
    older = generate(ada)
    before = ada.get("/get_tasks").json()["tasks"][0]["requested_at"]
    eventually(lambda: int(time.time()) > before)
    newer = generate(ada)
    page = ada.get("/get_tasks?limit=1").json()
    assert [task["taskid"] for task in page["tasks"]] == [newer]
    assert page["pagination"]["next_cursor"] == page["tasks"][0]["requested_at"]
    assert names(ada.get(f"/get_tasks?cursor={page['tasks'][0]['requested_at']}")) == [older]
    assert names(ada.get(f"/get_tasks?cursor={before}")) == []


def test_tasks_are_listed_by_status(ada: Client, store: EventStore, leases: Leases):
    waiting, begun, done, bad = (generate(ada) for _ in range(4))
    taken(begun, store, leases)
    complete(store, done)
    fail(store, bad)
    for status, task in zip(
        ("PENDING", "STARTED", "SUCCESS", "FAILED"), (waiting, begun, done, bad), strict=True
    ):
        assert names(ada.get(f"/get_tasks?status={status}")) == [task]


def test_a_page_has_ten_tasks_when_no_limit_is_given(ada: Client, store: EventStore):
    for _ in range(12):
        complete(store, generate(ada))
    page = ada.get("/get_tasks?status=SUCCESS").json()
    assert (len(page["tasks"]), page["pagination"]["limit"]) == (10, 10)
    assert len(pages(ada, "status=SUCCESS")) == 12


def test_the_rest_of_an_overview_repeats_and_loses_nothing(
    ada: Client, store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(read_model, "NEWEST_ENDED", 3)
    unfinished, ended = [generate(ada)], []
    for _ in range(8):
        ended.append(generate(ada))
        complete(store, ended[-1])
    unfinished.append(generate(ada))
    first = names(ada.get("/get_tasks"))
    assert first == [unfinished[1], *ended[:-4:-1], unfinished[0]]
    assert pages(ada, "limit=2", "/get_tasks") == [*first, *ended[-4::-1]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("cursor=-1", "cursor"),
        ("cursor=99999999999999999999", "cursor"),
        ("status=pending", "status"),
        ("status=", "status"),
    ],
)
def test_a_page_that_cannot_be_is_refused(ada: Client, query: str, field: str):
    answer = ada.get(f"/get_tasks?{query}")
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["details"]] == [field]


def test_nobody_is_listed_the_tasks_of_another(ada: Client, server: TestClient[Litestar]):
    generate(ada)
    bob = ada.joined_by(new_email())
    for query in ("", "?limit=100", "?status=PENDING", "?cursor=9000000000000000"):
        assert names(bob.get(f"/get_tasks{query}")) == []
