"""`ATELIER_VIP=granted`: who gets into the vip lane."""

from argparse import Namespace
from collections.abc import Iterator
from uuid import UUID

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api.app import create_app
from api.cli import accounts
from domain.errors import NotFound
from infra.log.event_store import EventStore
from infra.settings import Settings
from tests.integration.api.conftest import Client, new_email
from tests.integration.api.resources.test_video import HOST, made, requests

GRANTED = ["vip"] * 4
REFUSED = ["normal"] * 4


@pytest.fixture
def granting(shared: Settings, server: TestClient[Litestar]) -> Iterator[Client]:
    """Nobody yet, on a server that lets in only whom it was granted to."""
    settings = msgspec.structs.replace(shared, vip="granted")
    with TestClient(create_app(settings), raise_server_exceptions=False) as http:
        yield Client(http)


def lanes(client: Client, store: EventStore) -> list[str]:
    """Where a task of each kind gets to, for which the vip lane is asked; it is cancelled then."""
    _, still, turn = made(client, store)
    found = []
    for path, body in (
        ("/generate", {}),
        ("/generate_video", {}),
        ("/upscale", {"video_url": f"{HOST}/{turn}"}),
        ("/image_to_video", {"image": f"{HOST}/{still}"}),
    ):
        answer = client.post(path, body | {"task_options": {"vip": True}})
        task = f"/generate/{answer.json()['task_id']}"
        found.append(client.get(task).json()["type"])
        assert (found[-1] == "vip") == requests(store, answer).vip
        assert client.delete(task).status_code == 200
    return found


def test_only_whom_it_was_granted_to_gets_into_the_vip_lane(
    granting: Client,
    store: EventStore,
    shared: Settings,
    capsys: pytest.CaptureFixture[str],
):
    email = new_email()
    ada = granting.joined_by(email)
    assert lanes(ada, store) == REFUSED
    settings = msgspec.structs.replace(shared, vip="granted")
    accounts.grant_vip(settings, Namespace(account=email))
    assert capsys.readouterr().out == "Granted.\n"
    assert lanes(ada, store) == GRANTED
    assert lanes(granting.joined_by(new_email()), store) == REFUSED
    task = ada.post("/generate", {}).json()["task_id"]
    assert ada.get(f"/generate/{task}").json()["type"] == "normal"
    account = store.load(UUID(task))[0].account
    for told in ("Withdrawn:", "It was not granted;"):
        accounts.revoke_vip(settings, Namespace(account=str(account)))
        assert capsys.readouterr().out.startswith(told)
    assert lanes(ada, store) == REFUSED


def test_without_the_setting_everybody_is_taken_at_their_word(
    ada: Client, store: EventStore, shared: Settings, capsys: pytest.CaptureFixture[str]
):
    assert lanes(ada, store) == GRANTED
    account = store.load(UUID(ada.post("/generate", {}).json()["task_id"]))[0].account
    accounts.grant_vip(shared, Namespace(account=str(account)))
    assert "makes no difference" in capsys.readouterr().out
    with pytest.raises(NotFound):
        accounts.grant_vip(shared, Namespace(account="nobody@example.com"))
