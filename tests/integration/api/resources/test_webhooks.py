"""Asking to be told of a task's end."""

from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import UUID

import jsonschema_rs
import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api.app import create_app
from domain.render import WebhookRequested
from infra.log.event_store import EventStore
from infra.media.store import MediaStore
from infra.postgres import connect
from infra.settings import Settings
from render_consumers.loop.webhooks import payload
from tests.integration.api.conftest import Client, new_email
from tests.integration.api.resources.test_render import complete, fail, generate
from tests.integration.api.resources.test_video import picture, text

URL = "https://shop.example.com/atelier?order=7"


@pytest.fixture
def asking(shared: Settings, server: TestClient[Litestar]) -> Iterator[Client]:
    """Somebody, on a server that sends webhooks to one host; `server` has the projector."""
    settings = msgspec.structs.replace(shared, webhook_hosts=("shop.example.com",))
    with TestClient(create_app(settings), raise_server_exceptions=False) as http:
        yield Client(http).joined_by(new_email())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", {}),
        ("/generate_video", {}),
        ("/image_to_video", {"image": text(picture())}),
        ("/upscale", {"video_url": "https://media.example.org/1/gallery/a.mp4"}),
    ],
)
def test_wherever_a_task_is_asked_for_a_host_that_is_not_named_is_refused(
    asking: Client, path: str, body: dict[str, str]
):
    options = {"webhook_url": "https://evil.example.com/"}
    answer = asking.post(path, body | {"task_options": options})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["details"] == [
        {
            "field": "task_options.webhook_url",
            "message": "must have a host, and a port, that this server allows",
        }
    ]


def test_a_server_that_names_no_host_says_so(ada: Client):
    answer = ada.post("/generate", {"task_options": {"webhook_url": URL}})
    assert answer.status_code == 422
    assert "this server allows no host" in answer.json()["message"]


@pytest.mark.parametrize("path", ["/generate", "/generate_video"])
def test_where_it_is_to_be_told_is_stored_sealed(
    asking: Client, store: EventStore, shared: Settings, path: str
):
    task = UUID(asking.post(path, {"task_options": {"webhook_url": URL}}).json()["task_id"])
    assert store.load(task)[1].event == WebhookRequested(url=URL)
    with connect(shared.postgres_url) as connection:
        stored = "SELECT state FROM atelier_events WHERE aggregate_id = %s"
        rows = connection.execute(stored, [task]).fetchall()
    assert "shop.example.com" not in str(rows)


def test_none_is_as_good_as_nothing(asking: Client, store: EventStore):
    task = generate(asking, webhook_url=None)
    assert len(store.load(UUID(task))) == 1


def test_the_same_request_with_another_webhook_is_another(asking: Client):
    def send(order: int):
        body = {"task_options": {"webhook_url": f"https://shop.example.com/{order}"}}
        return asking.post("/generate", body, **{"Idempotency-Key": "7"})

    assert send(1).json() == send(1).json()
    assert send(2).status_code == 409


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_what_is_told_is_what_the_api_answers(
    asking: Client, store: EventStore, shared: Settings, end: str
):
    task = generate(asking, webhook_url=URL, vip=True)
    END[end](asking, store, task)
    answer = asking.get(f"/generate/{task}").json()
    media = MediaStore(shared)
    sent = msgspec.json.encode(payload(store.load(UUID(task)), media.url))
    told = msgspec.json.decode(sent)
    described(asking).validate(told)
    assert told["type"] == ("task.completed" if end == "completed" else "task.failed")
    assert without_signatures(told["data"]) == {"task_id": task, **without_signatures(answer)}


def described(client: Client) -> jsonschema_rs.Draft202012Validator:
    """What the API's description says of the body of a webhook."""
    document = client.http.get("/schema/openapi.json").json()
    sent = document["webhooks"]["task_ended"]["post"]["requestBody"]["content"]
    schema = {**sent["application/json"]["schema"], "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(schema)


END = {
    "completed": lambda client, store, task: complete(store, task),
    "failed": lambda client, store, task: fail(store, task),
    "cancelled": lambda client, store, task: client.delete(f"/generate/{task}"),
}


def without_signatures(answer):
    """Links are signed at another second."""
    for file in answer["files"]:
        for name in ("url", "thumbnail_url"):
            file[name] = urlsplit(file[name])._replace(query="").geturl()
    return answer
