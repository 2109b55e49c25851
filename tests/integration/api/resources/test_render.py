import time
from concurrent.futures import ThreadPoolExecutor
from typing import Literal
from uuid import UUID, uuid4

import msgspec
import pytest

from api.cli.demo import example
from commands import Origin, execute
from commands.render import CompleteRender, FailAttempt, StartRender
from domain.fit import GarmentFit
from domain.render import MAX_ATTEMPTS, MediaFile
from infra.log import appender
from infra.log.event_store import EventStore
from tests.integration.api.conftest import Client, new_email
from tests.support.scenario import garment_fit

BY = Origin(actor="consumer:test", correlation_id=uuid4())


def generate(client: Client, **task_options: object) -> str:
    answer = client.post("/generate", {"task_options": task_options})
    assert answer.status_code == 200, answer.text
    return answer.json()["task_id"]


def files(task: str) -> tuple[MediaFile, ...]:
    def file(role: Literal["source", "thumbnail"], name: str) -> MediaFile:
        return MediaFile(
            name=name,
            key=f"1/gallery/{name}",
            role=role,
            content_type="image/jpeg",
            size=3,
            sha256="00",
        )

    return file("source", f"{task}.jpg"), file("thumbnail", f"{task}_thumbnail.jpg")


def start(store: EventStore, task: str) -> int:
    command = StartRender(
        aggregate_id=UUID(task),
        account=owner(store, task),
        consumer="test",
    )
    return execute(command, store, BY).state.attempt


def complete(store: EventStore, task: str, seconds: float = 0) -> None:
    attempt = start(store, task)
    time.sleep(seconds)
    command = CompleteRender(
        aggregate_id=UUID(task),
        account=owner(store, task),
        attempt=attempt,
        engine="test",
        files=files(task),
        ignored=("apparel_details.item_id",),
        measured={},
        fit=(garment_fit(),),
    )
    execute(command, store, BY)


def fail(store: EventStore, task: str) -> None:
    for _ in range(MAX_ATTEMPTS):
        command = FailAttempt(
            aggregate_id=UUID(task),
            account=owner(store, task),
            attempt=start(store, task),
            code="source_gone",
            message="it is too dark",
        )
        execute(command, store, BY)


def owner(store: EventStore, task: str) -> UUID | None:
    return store.load(UUID(task))[0].account


def test_the_contracts_example_makes_a_pending_vip_task(ada: Client):
    answer = ada.http.post(
        "/generate",
        content=example(),
        headers=ada.headers | {"Content-Type": "application/json"},
    )
    assert answer.status_code == 200
    assert set(answer.json()) == {"task_id"}
    state = ada.get(f"/generate/{answer.json()['task_id']}")
    assert state.status_code == 200
    assert state.json()["position"] >= 1
    assert state.json() == {
        "status": "PENDING",
        "type": "vip",
        "position": state.json()["position"],
        "progress": 0.0,
        "stage": None,
        "eta_seconds": 5.0,
        "error": None,
        "files": [],
        "ignored": [],
        "fit": [],
        "engine": None,
    }


def test_vip_tasks_go_first(ada: Client):
    normal = generate(ada)
    before = ada.get(f"/generate/{normal}").json()
    vip = ada.get(f"/generate/{generate(ada, vip=True)}").json()
    after = ada.get(f"/generate/{normal}").json()
    assert (before["type"], vip["type"]) == ("normal", "vip")
    assert vip["position"] <= before["position"]
    assert after["position"] == before["position"] + 1


def test_a_finished_task_names_its_files_by_url(ada: Client, store: EventStore):
    task = generate(ada)
    complete(store, task)
    state = ada.get(f"/generate/{task}").json()
    assert (state["status"], state["position"], state["error"]) == ("SUCCESS", 0, None)
    assert state["ignored"] == ["apparel_details.item_id"]
    assert msgspec.convert(state["fit"], list[GarmentFit]) == [garment_fit()]
    assert state["engine"] == "test"
    [file] = state["files"]
    assert f"/1/gallery/{task}.jpg?" in file["url"]
    assert f"/1/gallery/{task}_thumbnail.jpg?" in file["thumbnail_url"]
    assert (file["name"], file["content_type"], file["size"]) == (f"{task}.jpg", "image/jpeg", 3)


def test_a_failed_task_tells_why(ada: Client, store: EventStore):
    task = generate(ada)
    fail(store, task)
    state = ada.get(f"/generate/{task}").json()
    assert state["status"] == "FAILED"
    assert state["error"] == {"code": "source_gone", "message": "it is too dark"}


NOBODYS = "3aa38a43-631e-44f4-ae1a-de16d9843cad"


@pytest.mark.parametrize("name", ["nothing", NOBODYS, "%00", "é", "a" * 2_000])
def test_a_task_that_is_not_there_is_not_found(ada: Client, name: str):
    answer = ada.get(f"/generate/{name}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_somebody_elses_task_is_not_found(ada: Client):
    task = generate(ada)
    bob = ada.joined_by(new_email())
    assert bob.get(f"/generate/{task}").status_code == 404
    assert bob.get("/get_tasks").json()["tasks"] == []


def test_the_limit_of_unfinished_tasks_is_exact_under_concurrent_requests(ada: Client):
    with ThreadPoolExecutor(20) as threads:
        answers = list(
            threads.map(lambda _: ada.post("/generate", {"task_options": {"limit": 5}}), range(20))
        )
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 15
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == "too_many_tasks"
    assert "unfinished tasks" in refused.json()["message"]
    assert int(refused.headers["Retry-After"]) > 0
    assert len(ada.get("/get_tasks").json()["tasks"]) == 5


def test_nobody_may_have_more_tasks_than_the_server_allows(ada: Client):
    statuses = [
        ada.post("/generate", {"task_options": {"limit": 1000}}).status_code for _ in range(11)
    ]
    assert statuses == [200] * 10 + [429]


def test_an_ended_task_makes_room_for_another(ada: Client, store: EventStore):
    task = generate(ada, limit=1)
    assert ada.post("/generate", {"task_options": {"limit": 1}}).status_code == 429
    complete(store, task)
    assert ada.post("/generate", {"task_options": {"limit": 1}}).status_code == 200


def test_a_refused_request_leaves_no_task(ada: Client):
    answer = ada.post("/generate", {"render_mode": "4D", "user_details": {"skin_tone": -1}})
    assert answer.status_code == 422
    assert {each["field"] for each in answer.json()["details"]} == {
        "render_mode",
        "user_details.skin_tone",
    }
    assert ada.get("/get_tasks").json()["tasks"] == []


def test_when_too_many_changes_wait_a_client_is_asked_to_come_again(
    ada: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(appender, "MOST_WAITING", 0)
    answer = ada.post("/generate", {})
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert int(answer.headers["Retry-After"]) >= 1
    monkeypatch.undo()
    assert ada.get("/get_tasks").json()["tasks"] == []
