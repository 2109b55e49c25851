from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from domain.picture import UserDetails
from domain.render import RenderRequested
from infra.log.event_store import EventStore
from tests.integration.api.conftest import Client, new_email
from tests.integration.api.resources.test_render import complete, generate

BODY = {"user_details": {"skin_tone": 3, "pose": "A-Pose"}, "render_mode": "3D"}
SAME = {"render_mode": "3D", "user_details": {"pose": "A-Pose", "skin_tone": 3}}


def post(client: Client, key: str, body: object = BODY):
    return client.post("/generate", body, **{"Idempotency-Key": key})


def listed(client: Client) -> list[str]:
    return [task["taskid"] for task in client.get("/get_tasks").json()["tasks"]]


def test_the_same_request_under_the_same_key_is_one_task(ada: Client):
    first, second = post(ada, "a"), post(ada, "a", SAME)
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert first.headers["X-Event-Position"] == second.headers["X-Event-Position"]
    assert listed(ada) == [first.json()["task_id"]]


def test_the_same_request_at_the_same_moment_is_one_task(ada: Client, store: EventStore):
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: post(ada, "a"), range(40)))
    assert {answer.status_code for answer in answers} == {200}
    [task] = {answer.json()["task_id"] for answer in answers}
    assert listed(ada) == [task]
    assert len(store.load(UUID(task))) == 1


def test_the_same_request_is_one_task_at_the_limit_too(ada: Client):
    body = {"task_options": {"limit": 1}}
    assert post(ada, "a", body).json() == post(ada, "a", body).json()
    assert post(ada, "b", body).status_code == 429


def test_the_same_key_with_another_body_is_refused_for_ever(ada: Client, store: EventStore):
    task = post(ada, "a").json()["task_id"]
    other = BODY | {"render_mode": "2D_Kling"}

    def refused() -> bool:
        answer = post(ada, "a", other)
        return (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")

    assert refused()
    complete(store, task)
    assert post(ada, "a").json() == {"task_id": task}
    assert refused()
    assert listed(ada) == [task]


def test_of_different_requests_at_the_same_moment_one_wins(ada: Client):
    with ThreadPoolExecutor(10) as threads:
        bodies = [BODY | {"user_details": {"skin_tone": n}} for n in range(10)]
        answers = list(threads.map(lambda body: post(ada, "a", body), bodies))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert len(listed(ada)) == 1


def test_other_keys_other_accounts_and_no_key_are_other_tasks(ada: Client):
    bob = ada.joined_by(new_email())
    answers = [
        post(ada, "a"),
        post(ada, "b"),
        post(bob, "a"),
        ada.post("/generate", BODY),
        ada.post("/generate", BODY),
    ]
    assert len({answer.json()["task_id"] for answer in answers}) == 5
    assert (len(listed(ada)), len(listed(bob))) == (4, 1)


def test_the_log_holds_a_hash_that_two_accounts_do_not_share(ada: Client, store: EventStore):
    bob = ada.joined_by(new_email())
    hashes = set()
    for client in (ada, bob):
        event = store.load(UUID(post(client, "a").json()["task_id"]))[0].event
        assert isinstance(event, RenderRequested)
        assert event.user_details == UserDetails(skin_tone=3, pose="A-Pose")
        assert event.request_hash is not None
        assert len(event.request_hash) == 64
        hashes.add(event.request_hash)
    assert len(hashes) == 2


def test_a_refused_request_does_not_use_up_its_key(ada: Client):
    assert post(ada, "a", {"render_mode": "4D"}).status_code == 422
    assert post(ada, "a").status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_a_key_that_cannot_be_is_refused(ada: Client, key: str):
    answer = post(ada, key)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert [each["field"] for each in answer.json()["details"]] == ["Idempotency-Key"]
    assert listed(ada) == []


def test_long_keys_are_taken(ada: Client):
    assert post(ada, str(uuid4()) * 7).status_code == 200


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_body_that_cannot_be_read_is_refused_as_without_a_key(ada: Client, content: bytes):
    headers = ada.headers | {"Content-Type": "application/json"}
    plain = ada.http.post("/generate", content=content, headers=headers)
    keyed = ada.http.post("/generate", content=content, headers=headers | {"Idempotency-Key": "a"})
    assert plain.status_code == keyed.status_code == 400
    assert plain.json() == keyed.json()


def test_the_same_request_is_the_same_task_after_its_source_has_gone(
    ada: Client, store: EventStore
):
    picture = generate(ada)
    complete(store, picture)
    body = {"image": f"https://media.example/1/gallery/{picture}.jpg"}
    first = ada.post("/image_to_video", body, **{"Idempotency-Key": "a"})
    assert first.status_code == 200
    ada.delete(f"/remove_gallery_file/{picture}.jpg")
    again = ada.post("/image_to_video", body, **{"Idempotency-Key": "a"})
    assert (again.status_code, again.json()) == (200, first.json())
    assert ada.post("/image_to_video", body, **{"Idempotency-Key": "b"}).status_code == 404


def test_every_endpoint_has_keys_of_its_own(ada: Client):
    key = {"Idempotency-Key": "a"}
    picture, video, again = (
        ada.post(path, {}, **key) for path in ("/generate", "/generate_video", "/generate_video")
    )
    assert picture.status_code == video.status_code == 200
    assert video.json() == again.json() != picture.json()
