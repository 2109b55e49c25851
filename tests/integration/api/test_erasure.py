"""Erasing an account over HTTP: its token dies everywhere, its address is free."""

from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api.app import create_app
from api.cli import accounts
from domain.errors import NotFound
from infra.log.event_store import EventStore
from infra.postgres import connect
from infra.settings import Settings
from tests.integration.api.conftest import PERSON, Client, Held, new_email
from tests.integration.api.resources.test_events import statuses, stream
from tests.integration.api.resources.test_render import generate
from tests.integration.api.test_ownership import STEPS, Estate, Step, ask
from tests.support.scenario import eventually


@pytest.fixture(scope="module")
def gone(server: TestClient[Litestar], store: EventStore) -> Estate:
    """Somebody who has been erased, and what they had."""
    email = new_email()
    client = Client(server).joined_by(email)
    task = generate(client)
    account = store.load(UUID(task))[0].account
    assert account is not None
    assert client.delete("/account").status_code == 200
    return Estate(client, account, email, task, task)


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_the_token_of_somebody_erased_opens_nothing(gone: Estate, name: str, step: Step):
    answer = ask(gone.client, name, step, gone)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_an_erasure_is_one_event_and_says_where_it_is(ada: Client, store: EventStore):
    task = generate(ada)
    account = store.load(UUID(task))[0].account
    assert account is not None
    erased = ada.delete("/account")
    assert erased.status_code == 200
    assert ada.delete("/account").status_code == 401
    history = store.load(account)
    assert [each.event.stored_name for each in history] == [
        "account.registered.v1",
        "account.erased.v1",
    ]
    assert history[-1].position == int(erased.headers["X-Event-Position"])
    assert history[-1].actor == f"account:{account}"


def test_the_address_is_free_for_somebody_new(client: Client):
    email = new_email()
    before = client.joined_by(email)
    before.post("/update_user_details", {"face_shape": "round"})
    assert before.delete("/account").status_code == 200
    assert client.post("/login", {"email": email}).status_code == 401
    after = client.joined_by(email)
    assert after.get("/get_user_info").json() == PERSON | {"email": email}
    assert after.get("/get_user_details").json()["face_shape"] != "round"
    assert after.get("/get_tasks").json()["tasks"] == []
    assert before.get("/get_user_info").status_code == 401


def test_another_process_that_knew_the_account_refuses_it_soon(ada: Client, shared: Settings):
    with TestClient(create_app(shared)) as elsewhere:
        there = Client(elsewhere)
        there.headers = ada.headers
        eventually(lambda: listeners(shared) >= 2)
        task = generate(there)  # it knows number and key now
        assert ada.delete("/account").status_code == 200
        eventually(lambda: there.post("/generate", {}).status_code == 401)
        eventually(lambda: there.delete(f"/generate/{task}").status_code == 401)


def listeners(settings: Settings) -> int:
    """How many processes listen for erasures."""
    with connect(settings.postgres_url) as connection:
        return connection.execute(
            "SELECT FROM pg_stat_activity"
            " WHERE query = 'LISTEN atelier_erased' AND datname = current_database()"
        ).rowcount


def test_a_stream_ends_when_its_listener_is_erased(ada: Client, held: Held):
    task = generate(ada)
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(stream, ada, task)
        held.another_waits()
        assert ada.delete("/account").status_code == 200
        assert statuses(future.result(30)) == ["PENDING"]


def test_only_an_account_can_be_erased_by_its_id(ada: Client, store: EventStore):
    task = generate(ada)
    for named in (task, "nobody@example.com", "no id"):
        with pytest.raises(NotFound):
            accounts._found(named, store)


def test_somebody_whose_key_does_not_open_can_be_erased_all_the_same(
    ada: Client, store: EventStore, shared: Settings, capsys: pytest.CaptureFixture[str]
):
    account = store.load(UUID(generate(ada)))[0].account
    assert account is not None
    with connect(shared.postgres_url) as connection:
        connection.execute(
            "UPDATE atelier_keys SET wrapped = set_byte(wrapped, 20, get_byte(wrapped, 20) # 1)"
            " WHERE account = %s",
            [account],
        )
    store.keys.forget(account)
    assert store.load(account)[0].event.email is None  # type: ignore[attr-defined]
    accounts.erase(shared, Namespace(account=str(account), yes=True))
    assert "Erased account" in capsys.readouterr().out
    assert store.load(account)[-1].event.stored_name == "account.erased.v1"
