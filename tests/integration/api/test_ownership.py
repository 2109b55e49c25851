"""A second user walks by every endpoint and neither sees nor touches what the first one has."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from commands import execute
from commands.account import UploadAvatar
from commands.render import CompleteRender
from domain.account import AvatarFile
from domain.render import MediaFile
from infra.log.event_store import EventStore
from infra.postgres import connect
from infra.settings import Settings
from tests.integration.api.conftest import Client, new_email
from tests.integration.api.resources.test_render import BY, files, generate, start

SECRET = "what only Ada knows"

# What everybody may ask without a token. A new endpoint belongs here or in the walk.
OPEN = {
    "POST /register",
    "POST /login",
    "POST /upload_clothes",
    "POST /get_clothes",
    "GET /clothes",
    "GET /capabilities",
    "GET /health/live",
    "GET /health/ready",
    "POST /kling/callback",
    "GET /",
    "GET /assets/{file_path}",
}


class Estate(NamedTuple):
    """A person and what they have."""

    client: Client
    account: UUID
    email: str
    waiting: str
    done: str

    def marks(self) -> set[str]:
        """What nobody else may ever be told."""
        return {self.email, SECRET, str(self.account), self.waiting, self.done, "avatar_4711"}


class Step(NamedTuple):
    """A request by somebody else; ``names`` when it asks for a thing that is Ada's."""

    path: str
    body: Any = None
    names: bool = False


VIDEO = "http://127.0.0.1:1/atelier/{number}/gallery/{done}.mp4?X-Amz-Signature=0"
PICTURE = "http://127.0.0.1:1/atelier/{number}/gallery/{done}.jpg"
DETAILS = {"face_shape": "round"}

WALK = {
    "GET /get_user_info": [Step("/get_user_info")],
    "POST /update_user_info": [Step("/update_user_info", {"ethnicity": "other"})],
    "DELETE /account": [Step("/account")],
    "GET /get_user_details": [Step("/get_user_details")],
    "POST /update_user_details": [Step("/update_user_details", DETAILS)],
    "GET /get_avatar": [Step("/get_avatar")],
    "POST /upload_avatar": [Step("/upload_avatar", {})],
    "POST /generate": [Step("/generate", {})],
    "POST /generate_video": [Step("/generate_video", {})],
    "POST /upscale": [Step("/upscale", {"video_url": VIDEO}, names=True)],
    "POST /image_to_video": [
        Step("/image_to_video", {"image": PICTURE}, names=True),
        Step("/image_to_video", {"image": "{number}/avatar/avatar_4711.png"}, names=True),
    ],
    "GET /generate/{task_id}": [
        Step("/generate/{waiting}", names=True),
        Step("/generate/{done}?wait=60", names=True),
        Step("/generate/{account}", names=True),
    ],
    "DELETE /generate/{task_id}": [
        Step("/generate/{waiting}", names=True),
        Step("/generate/{done}", names=True),
        Step("/generate/{account}", names=True),
    ],
    "GET /generate/{task_id}/events": [
        Step("/generate/{waiting}/events", names=True),
        Step("/generate/{done}/events", names=True),
    ],
    "POST /generate/{task_id}/stream_token": [
        Step("/generate/{waiting}/stream_token", names=True),
        Step("/generate/{done}/stream_token", names=True),
    ],
    "GET /get_tasks": [Step("/get_tasks"), Step("/get_tasks?cursor=9000000000000000")],
    "GET /get_gallery": [Step("/get_gallery"), Step("/get_gallery?cursor=9000000000000000")],
    "DELETE /remove_gallery_file/{file_name}": [
        Step("/remove_gallery_file/{done}.jpg", names=True),
        Step("/remove_gallery_file/{done}.mp4", names=True),
        Step("/remove_gallery_file/{done}_thumbnail.jpg", names=True),
    ],
}
STEPS = [pytest.param(name, step, id=step.path) for name, steps in WALK.items() for step in steps]


@pytest.fixture(scope="module")
def ada(server: TestClient[Litestar], store: EventStore) -> Estate:
    """Ada, who has one of everything."""
    email = new_email()
    client = Client(server).joined_by(email)
    waiting, done = generate(client), generate(client)
    account = store.load(UUID(done))[0].account
    assert account is not None
    client.post("/update_user_info", {"full_name": SECRET})
    client.post("/update_user_details", {"body_dimensions": SECRET})
    avatar = [
        AvatarFile(key=f"1/avatar/avatar_4711{end}", content_type="image/png", size=3, sha256="00")
        for end in (".png", "_thumbnail.jpg")
    ]
    picture = UploadAvatar(
        aggregate_id=account, account=account, picture=avatar[0], thumbnail=avatar[1]
    )
    execute(picture, store, BY)
    video = MediaFile(
        name=f"{done}.mp4",
        key=f"1/gallery/{done}.mp4",
        role="source",
        content_type="video/mp4",
        size=3,
        sha256="00",
    )
    completion = CompleteRender(
        aggregate_id=UUID(done),
        account=account,
        attempt=start(store, done),
        engine="test",
        files=(*files(done), video),
        ignored=(),
        measured={},
    )
    execute(completion, store, BY)
    return Estate(client, account, email, waiting, done)


@pytest.fixture
def bob(server: TestClient[Litestar]) -> Client:
    """Somebody else."""
    return Client(server).joined_by(new_email())


def filled(template: Any, ada: Estate) -> Any:
    """With what is Ada's in place of its names."""
    if isinstance(template, dict):
        return {name: filled(value, ada) for name, value in template.items()}
    things = {"waiting": ada.waiting, "done": ada.done, "account": ada.account, "number": 1}
    return template.format(**things) if isinstance(template, str) else template


def ask(client: Client, name: str, step: Step, ada: Estate):
    method = name.partition(" ")[0]
    path = filled(step.path, ada)
    if method == "POST":
        return client.post(path, filled(step.body, ada))
    return client.delete(path) if method == "DELETE" else client.get(path)


def newest(settings: Settings, account: UUID) -> int:
    """Where the newest event of an account is."""
    with connect(settings.postgres_url) as connection:
        row = connection.execute(
            "SELECT max(position) FROM atelier_events WHERE account = %s", [account]
        ).fetchone()
    assert row is not None
    return int(row[0])


def endpoints(app: Litestar) -> Iterator[str]:
    for route in app.routes:
        if isinstance(route, HTTPRoute) and not route.path.startswith("/schema"):
            path = route.path_format
            yield from (f"{method} {path}" for method in route.methods - {"OPTIONS", "HEAD"})


def test_the_walk_comes_by_every_endpoint(server: TestClient[Litestar]):
    assert set(endpoints(server.app)) == OPEN | WALK.keys()


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_nobody_comes_in_without_a_token(ada: Estate, server: TestClient[Litestar], name, step):
    assert ask(Client(server), name, step, ada).status_code == 401
    assert ask(Client(server, "x.y.z"), name, step, ada).status_code == 401


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_a_second_user_sees_and_touches_nothing(
    ada: Estate, bob: Client, shared: Settings, name: str, step: Step
):
    before = newest(shared, ada.account)
    answer = ask(bob, name, step, ada)
    if step.names:
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    else:
        assert answer.status_code < 500 or name == "POST /upload_avatar"  # the store is away
    shown = answer.text + str(answer.headers)
    asked = filled(step.path, ada) + str(filled(step.body, ada))
    assert [mark for mark in ada.marks() if mark in shown and mark not in asked] == []
    assert newest(shared, ada.account) == before


@pytest.mark.parametrize(
    "path",
    [
        *("/get_user_info", "/get_user_details", "/get_avatar", "/get_tasks", "/get_gallery"),
        *("/generate/{done}", "/generate/{done}/events"),
    ],
)
def test_the_first_user_does_see_it(ada: Estate, path: str):
    answer = ada.client.get(filled(path, ada))
    assert answer.status_code == 200
    assert any(mark in answer.text for mark in ada.marks())


@pytest.mark.parametrize(
    ("path", "body"), [("/upscale", {"video_url": VIDEO}), ("/image_to_video", {"image": PICTURE})]
)
def test_the_first_user_may_use_it(ada: Estate, path: str, body: dict[str, str]):
    assert ada.client.post(path, filled(body, ada)).status_code == 200
