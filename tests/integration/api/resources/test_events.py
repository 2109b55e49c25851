import base64
import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api.resources import events
from infra.access import tokens
from infra.embedded.server import free_port
from infra.log.event_store import EventStore
from infra.process.processes import Lifeline
from infra.settings import Settings
from render_consumers.loop.leases import Leases
from tests.integration.api.conftest import Client, Held, new_email
from tests.integration.api.resources.test_render import complete, generate, start
from tests.integration.api.resources.test_tasks import listening
from tests.integration.api.test_server import lives
from tests.integration.api.test_server import start as start_process
from tests.support.scenario import eventually, hold, opened_pool


class Sent(NamedTuple):
    """A server-sent event."""

    kind: str
    id: int | None
    data: dict[str, Any]


@pytest.fixture
def leases(shared: Settings):
    with opened_pool(shared.postgres_url, 1) as pool:
        yield Leases(pool, "test", 30.0)


@pytest.fixture
def threads():
    with ThreadPoolExecutor(8) as pool:
        yield pool


def stream(client: Client, task: str, **headers: str) -> list[Sent]:
    """Everything that is streamed until the server ends it."""
    answer = client.get(f"/generate/{task}/events", **headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return parsed(answer.text)


def parsed(text: str) -> list[Sent]:
    sent = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line.partition(": ") for line in block.splitlines() if not line.startswith(":")]
        fields = {name: value for name, _, value in lines}
        if "data" in fields:
            number = int(fields["id"]) if "id" in fields else None
            sent.append(Sent(fields["event"], number, json.loads(fields["data"])))
    return sent


def statuses(sent: list[Sent]) -> list[str]:
    return [each.data["status"] for each in sent if each.kind == "status"]


def test_a_stream_tells_where_the_task_stands_and_all_that_happens_until_it_ends(
    ada: Client, store: EventStore, leases: Leases, threads: ThreadPoolExecutor, held: Held
):
    task = generate(ada)
    future = threads.submit(stream, ada, task)
    held.another_waits()
    hold(leases, UUID(task))
    start(store, task)
    held.has_looked_again()
    complete(store, task)  # after another claim, whose lease holds too: else it is pending again
    sent = future.result()
    log = store.load(UUID(task))
    assert statuses(sent) == ["PENDING", "STARTED", "STARTED", "SUCCESS"]
    assert [each.id for each in sent if each.kind == "status"] == [each.position for each in log]
    assert sent[-1].data == ada.get(f"/generate/{task}").json() | {
        "files": sent[-1].data["files"]  # signed anew
    }
    assert sent[0].data["position"] >= 1


def test_a_client_that_comes_again_is_told_what_it_has_missed(ada: Client, store: EventStore):
    task = generate(ada)
    complete(store, task)
    requested, started, completed = (each.position for each in store.load(UUID(task)))
    sent = stream(ada, task, **{"Last-Event-ID": str(requested)})
    assert [(each.kind, each.id) for each in sent] == [("status", started), ("status", completed)]
    assert statuses(sent) == ["STARTED", "SUCCESS"]
    assert (sent[0].data["position"], sent[0].data["files"]) == (None, [])
    assert len(sent[1].data["files"]) == 1
    again = stream(ada, task, **{"Last-Event-ID": str(started)})
    assert statuses(again) == ["SUCCESS"]


def test_a_client_that_knows_of_the_end_need_not_come_again(ada: Client, store: EventStore):
    task = generate(ada)
    complete(store, task)
    last = store.load(UUID(task))[-1].position
    headers = {"Last-Event-ID": str(last)}
    answer = ada.get(f"/generate/{task}/events", **headers)
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_client_that_comes_again_early_is_told_nothing_twice(
    ada: Client, store: EventStore, threads: ThreadPoolExecutor, held: Held
):
    task = generate(ada)
    [requested] = (each.position for each in store.load(UUID(task)))
    future = threads.submit(stream, ada, task, **{"Last-Event-ID": str(requested)})
    held.another_waits()
    ada.delete(f"/generate/{task}")
    [sent] = future.result()
    assert (sent.kind, sent.data["status"]) == ("status", "FAILED")
    assert sent.data["error"]["code"] == "cancelled"
    assert sent.id == store.load(UUID(task))[-1].position


def test_a_stream_tells_the_progress_between_the_events(
    ada: Client, store: EventStore, leases: Leases, threads: ThreadPoolExecutor, held: Held
):
    task = generate(ada)
    hold(leases, UUID(task))
    start(store, task)
    future = threads.submit(stream, ada, task)
    held.another_waits()
    assert leases.renew(UUID(task), "drawing", 0.5)
    held.has_looked_again()
    ada.delete(f"/generate/{task}")
    sent = future.result()
    assert [(each.kind, each.id is None) for each in sent] == [
        ("status", False),
        ("progress", True),
        ("status", False),
    ]
    assert [each.data["stage"] for each in sent] == [None, "drawing", None]
    assert sent[1].data["progress"] == 0.5


def test_an_ended_task_is_told_at_once_and_that_is_all(ada: Client, store: EventStore):
    task = generate(ada)
    complete(store, task)
    ada.delete(f"/remove_gallery_file/{task}.jpg")
    [sent] = stream(ada, task)
    assert (sent.data["status"], sent.data["files"]) == ("SUCCESS", [])


def test_a_silent_stream_gives_signs_of_life_and_ends_some_time(
    ada: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(events, "BEAT_S", 0.1)
    monkeypatch.setattr(events, "LONGEST_S", 2.5)
    task = generate(ada)
    answer = ada.get(f"/generate/{task}/events")
    assert ": still here" in answer.text
    assert statuses(parsed(answer.text)) == ["PENDING"]


@pytest.mark.parametrize("task", ["nothing", "3aa38a43-631e-44f4-ae1a-de16d9843cad"])
def test_there_is_no_stream_of_what_is_not_there(ada: Client, task: str):
    assert ada.get(f"/generate/{task}/events").status_code == 404


@pytest.mark.parametrize(
    ("last", "code"),
    [("x", "malformed"), ("-1", "malformed"), ("9" * 18, "position_beyond_log")],
)
def test_an_id_that_no_event_can_have_is_refused(ada: Client, last: str, code: str):
    headers = {"Last-Event-ID": last}
    answer = ada.get(f"/generate/{generate(ada)}/events", **headers)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def stream_token(client: Client, task: str) -> str:
    answer = client.post(f"/generate/{task}/stream_token", None)
    assert answer.status_code == 200, answer.text
    assert 0 < answer.json()["expires_at"] - time.time() <= 300
    return answer.json()["stream_token"]


def test_a_stream_token_opens_the_stream_of_its_task_and_a_client_that_comes_again_goes_on(
    client: Client, ada: Client, store: EventStore
):
    task = generate(ada)
    address = f"/generate/{task}/events?stream_token={stream_token(ada, task)}"
    complete(store, task)
    requested, started, completed = (each.position for each in store.load(UUID(task)))
    [sent] = parsed(client.get(address).text)
    assert (sent.id, sent.data["status"]) == (completed, "SUCCESS")
    again = parsed(client.get(address, **{"Last-Event-ID": str(requested)}).text)
    assert [each.id for each in again] == [started, completed]
    assert client.get(address, **{"Last-Event-ID": str(completed)}).status_code == 204


def test_a_stream_token_opens_nothing_else(client: Client, ada: Client):
    task, other = generate(ada), generate(ada)
    token = stream_token(ada, task)
    query = f"?stream_token={token}"
    for path in (f"/generate/{other}/events", f"/generate/{task}", "/get_tasks", "/get_user_info"):
        answer = client.get(path + query)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), path
        assert client.get(path, Authorization=f"Bearer {token}").status_code == 401, path
    assert client.get(f"/generate/{task}/events", Authorization=token).status_code == 401
    assert client.post(f"/generate/{task}/stream_token{query}", None).status_code == 401
    assert client.delete(f"/generate/{task}{query}").status_code == 401
    own = ada.headers["Authorization"].removeprefix("Bearer ")
    assert client.get(f"/generate/{task}/events?stream_token={own}").status_code == 401
    assert client.get(f"/generate/{task}/events?stream_token=").status_code == 401


def test_a_stream_token_that_has_expired_opens_nothing(
    client: Client, ada: Client, monkeypatch: pytest.MonkeyPatch
):
    task = generate(ada)
    monkeypatch.setattr(tokens, "STREAM_LIFETIME", -2 * tokens.CLOCKS_DIFFER)
    token = ada.post(f"/generate/{task}/stream_token", None).json()["stream_token"]
    answer = client.get(f"/generate/{task}/events?stream_token={token}")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_the_stream_token_of_an_erased_account_opens_nothing(client: Client, ada: Client):
    task = generate(ada)
    token = stream_token(ada, task)
    assert ada.delete("/account").status_code == 200
    answer = client.get(f"/generate/{task}/events?stream_token={token}")
    assert (answer.status_code, answer.json()["code"]) == (401, "account_erased")


class Process(NamedTuple):
    """A server in a process of its own."""

    address: str
    popen: subprocess.Popen[bytes]


@pytest.fixture
def process(server: TestClient[Litestar], shared: Settings) -> Iterator[Process]:
    """Serves the log that `server` projects."""
    line, port = Lifeline(), free_port()
    keys = {
        "ATELIER_MASTER_KEY": shared.master_key,
        "ATELIER_HASH_KEY": shared.hash_key,
        "ATELIER_JWT_KEY": shared.jwt_key,
    }
    secrets = {name: base64.b64encode(key).decode() for name, key in keys.items()}
    with start_process(line, port, ATELIER_POSTGRES_URL=shared.postgres_url, **secrets) as popen:
        eventually(lambda: lives(port), seconds=60)
        yield Process(f"http://127.0.0.1:{port}", popen)
        line.close()


def test_each_event_arrives_when_it_happens(process: Process):
    with httpx.Client(base_url=process.address, timeout=30) as http:
        bob = Client(http).joined_by(new_email())
        task = generate(bob)
        with http.stream("GET", f"/generate/{task}/events", headers=bob.headers) as answer:
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            lines = (line for line in answer.iter_lines() if line.startswith("data: "))
            assert json.loads(next(lines)[6:])["status"] == "PENDING"
            assert bob.delete(f"/generate/{task}").status_code == 200
            assert json.loads(next(lines)[6:])["status"] == "FAILED"
            assert list(lines) == []
        assert bob.get("/get_tasks").status_code == 200


def test_a_server_that_stops_ends_its_streams_and_answers_all_who_wait(
    process: Process, shared: Settings, threads: ThreadPoolExecutor
):
    with httpx.Client(base_url=process.address, timeout=60) as http:
        bob = Client(http).joined_by(new_email())
        task = generate(bob)
        before = listening(shared)
        answer = threads.submit(bob.get, f"/generate/{task}?wait=60")
        eventually(lambda: listening(shared) > before)  # who waits first, listens
        with http.stream("GET", f"/generate/{task}/events", headers=bob.headers) as streamed:
            lines = (line for line in streamed.iter_lines() if line.startswith("data: "))
            assert json.loads(next(lines)[6:])["status"] == "PENDING"
            process.popen.terminate()
            assert list(lines) == []
        assert answer.result().json()["status"] == "PENDING"
    output, _ = process.popen.communicate(timeout=60)
    assert (process.popen.returncode, b"Killing" in output) == (0, False), output
