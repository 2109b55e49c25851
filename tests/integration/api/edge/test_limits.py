"""How often somebody may ask; each test has limits of its own over the same database."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_network

import msgspec
import pytest
from litestar.testing import TestClient
from litestar.types import ASGIApp, Receive, Scope, Send

from api.app import create_app
from infra.postgres import connect
from infra.settings import Settings
from tests.integration.api.conftest import PERSON, Client, new_email

Start = Callable[..., Client]
PROXY = ip_network("10.0.0.0/8")


@pytest.fixture
def start(shared: Settings) -> Iterator[Start]:
    """Starts a server with these settings; nobody has asked anything yet."""
    with connect(shared.postgres_url) as connection:
        connection.execute("DELETE FROM atelier_rate_counts")
    with ExitStack() as stack:

        def started(peer: str = "192.0.2.7", **changes: object) -> Client:
            app = create_app(msgspec.structs.replace(shared, **changes))
            app.asgi_handler = _coming_from(peer, app.asgi_handler)
            http = TestClient(app, raise_server_exceptions=False)
            return Client(stack.enter_context(http))

        yield started


def _coming_from(peer: str, app: ASGIApp) -> ASGIApp:
    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        scope["client"] = (peer, 1234)
        await app(scope, receive, send)

    return handle


def log_in(client: Client, email: str = "", **headers: str):
    return client.post("/login", {"email": email or new_email()}, **headers)


def test_a_network_address_may_log_in_so_often_and_is_told_where_it_stands(start: Start):
    client = start(login_limit=3)
    for left in (2, 1, 0):
        answer = log_in(client)
        assert answer.status_code == 401
        assert answer.headers["RateLimit-Limit"] == "3"
        assert answer.headers["RateLimit-Remaining"] == str(left)
        assert 0 < int(answer.headers["RateLimit-Reset"]) <= 60
    answer = log_in(client)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
    assert answer.headers["RateLimit-Remaining"] == "0"
    assert answer.headers["Retry-After"] == answer.headers["RateLimit-Reset"]


def test_every_server_sees_the_same_counts(start: Start):
    one, other = start(login_limit=2), start(login_limit=2)
    assert [log_in(client).status_code for client in (one, other, one)] == [401, 401, 429]


def test_another_network_address_is_another_asker(start: Start):
    one, other = start(login_limit=1), start("192.0.2.8", login_limit=1)
    assert [log_in(client).status_code for client in (one, other, one)] == [401, 401, 429]


def test_an_email_address_may_be_tried_so_often_from_anywhere(start: Start):
    email = new_email()
    clients = [start(f"192.0.2.{n}", login_limit=2) for n in range(3)]
    tries = [
        log_in(client, spelt).status_code
        for client, spelt in zip(clients, (email, f" {email.upper()}", email), strict=True)
    ]
    assert tries == [401, 401, 429]


def test_after_the_span_the_count_begins_anew(start: Start, shared: Settings):
    client = start(login_limit=1)
    assert [log_in(client).status_code for _ in range(2)] == [401, 429]
    with connect(shared.postgres_url) as connection:
        connection.execute("UPDATE atelier_rate_counts SET ends_at = now() - interval '1 s'")
    assert [log_in(client).status_code for _ in range(2)] == [401, 429]


def test_counts_that_are_over_are_thrown_away(start: Start, shared: Settings):
    client = start()
    for _ in range(5):
        log_in(client)
    with connect(shared.postgres_url) as connection:
        connection.execute("UPDATE atelier_rate_counts SET ends_at = now() - interval '1 s'")
        log_in(client)
        kept = connection.execute("SELECT ends_at > now() FROM atelier_rate_counts").fetchall()
    assert kept == [(True,), (True,)]  # its network and its email address


def test_registrations_have_a_limit_of_their_own(start: Start):
    client = start(register_limit=2, login_limit=1)
    email = new_email()
    person = PERSON | {"email": email}
    answers = [client.post("/register", person).status_code for _ in range(3)]
    assert answers == [200, 409, 429]
    assert log_in(client, email).status_code == 200


def test_uploads_are_counted_by_account_before_their_bodies_are_read(start: Start):
    here, there = start(upload_limit=2), start("192.0.2.8", upload_limit=2)
    ada = here.joined_by(new_email())
    roaming = Client(there.http, ada.headers["Authorization"].split()[1])
    tries = [
        client.http.post("/upload_avatar", headers=client.headers) for client in (ada, roaming, ada)
    ]
    assert [each.status_code for each in tries] == [400, 400, 429]
    assert tries[0].headers["RateLimit-Remaining"] == "1"


def test_nobody_counts_without_a_token(start: Start):
    client = start(upload_limit=1)
    assert [client.http.post("/upload_avatar").status_code for _ in range(2)] == [401, 401]


def test_what_a_client_says_of_its_address_counts_for_nothing(start: Start):
    client = start(login_limit=1)
    tries = [log_in(client, **{"X-Forwarded-For": f"198.51.100.{n}"}) for n in range(2)]
    assert [each.status_code for each in tries] == [401, 429]


def test_what_a_trusted_proxy_says_counts(start: Start):
    client = start("10.1.2.3", login_limit=1, trusted_proxies=(PROXY,))
    told = ["198.51.100.1", "198.51.100.2", "203.0.113.9, 198.51.100.1"]
    tries = [log_in(client, **{"X-Forwarded-For": each}) for each in told]
    assert [each.status_code for each in tries] == [401, 401, 429]


def test_other_answers_say_nothing_of_limits(start: Start):
    assert "RateLimit-Limit" not in start().get("/health/live").headers
