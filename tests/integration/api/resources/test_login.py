"""Logging in by one-time codes, on a server of its own with a mail server that keeps the mails."""

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default

import msgspec
import pytest
from litestar.testing import TestClient

from api.app import create_app
from infra.access.tokens import Tokens
from infra.postgres import connect
from infra.settings import Settings
from tests.integration.api.conftest import PERSON, Client, new_email
from tests.support.mail import MailServer
from tests.support.scenario import eventually

ASKED = {"token": None, "code_required": True}


@pytest.fixture(scope="module")
def mails() -> Iterator[MailServer]:
    """A mail server."""
    with MailServer() as server:
        yield server


@pytest.fixture(scope="module")
def by_code(shared: Settings, mails: MailServer) -> Settings:
    """The settings of a server where logging in takes a code."""
    return msgspec.structs.replace(
        shared,
        login="code",
        smtp_host="127.0.0.1",
        smtp_port=mails.port,
        smtp_tls="none",
        mail_from="Atelier <atelier@example.org>",
    )


@pytest.fixture(scope="module")
def strict(by_code: Settings) -> Iterator[Client]:
    """Nobody yet, where logging in takes a code."""
    with TestClient(create_app(by_code), raise_server_exceptions=False) as http:
        yield Client(http)


@pytest.fixture
def email(strict: Client) -> str:
    """The address of somebody registered."""
    address = new_email()
    assert strict.post("/register", PERSON | {"email": address}).status_code == 200
    return address


def mailed(mails: MailServer, email: str) -> list[str]:
    """The codes that were sent to the address."""
    texts = [
        message_from_bytes(raw, policy=default).get_content() for raw in mails.received_by(email)
    ]
    return [re.findall(r"^ +(\d{4} \d{4})\r?$", text, re.MULTILINE)[0] for text in texts]


def ask(strict: Client, mails: MailServer, email: str) -> str:
    """Have a code sent, and give it."""
    answer = strict.post("/login", {"email": email})
    assert (answer.status_code, answer.json()) == (200, ASKED)
    eventually(lambda: mailed(mails, email))
    return mailed(mails, email)[-1]


def forget_the_pause(settings: Settings) -> None:
    with connect(settings.postgres_url) as connection:
        connection.execute("UPDATE atelier_login_codes SET sent_at = sent_at - interval '1 hour'")


def wrong(code: str) -> str:
    return f"{(int(code.replace(' ', '')) + 1) % 10**8:08}"


def test_a_mailed_code_gives_a_token_once(
    strict: Client, server: TestClient, mails: MailServer, email: str
):
    code = ask(strict, mails, email)
    answer = strict.post("/login", {"email": email.upper(), "code": code})
    assert answer.status_code == 200
    assert answer.json().keys() == {"token"}
    ada = Client(strict.http, answer.json()["token"])
    assert ada.get("/get_user_info").json()["email"] == email  # `server` projects the same log
    assert strict.post("/login", {"email": email, "code": code}).status_code == 401


def test_a_code_may_be_typed_without_its_blank(strict: Client, mails: MailServer, email: str):
    code = ask(strict, mails, email).replace(" ", "")
    assert strict.post("/login", {"email": email, "code": code}).status_code == 200


def test_an_unknown_address_is_answered_as_a_known_one_is(
    strict: Client, mails: MailServer, email: str
):
    unknown = new_email()
    answers = [strict.post("/login", {"email": address}) for address in (email, unknown)]
    assert [(each.status_code, each.json()) for each in answers] == [(200, ASKED)] * 2
    tried = [
        strict.post("/login", {"email": address, "code": "0000 0000"})
        for address in (email, unknown, new_email())
    ]
    assert {(each.status_code, each.text) for each in tried} == {(401, tried[0].text)}
    eventually(lambda: mailed(mails, email))
    assert mailed(mails, unknown) == []


def test_known_and_unknown_addresses_leave_the_same_traces(
    strict: Client, by_code: Settings, email: str
):
    unknown = new_email()
    with connect(by_code.postgres_url) as connection:
        for address in (email, unknown):
            connection.execute("DELETE FROM atelier_login_codes")
            strict.post("/login", {"email": address})
            strict.post("/login", {"email": address, "code": "1"})
            rows = connection.execute(
                "SELECT attempts, expires_at > now(), account IS NULL FROM atelier_login_codes"
            ).fetchall()
            assert rows == [(1, True, address == unknown)]


def test_after_five_wrong_codes_the_right_one_counts_no_more(
    strict: Client, by_code: Settings, mails: MailServer, email: str
):
    code = ask(strict, mails, email)
    for _ in range(4):
        tried = strict.post("/login", {"email": email, "code": wrong(code)})
        assert tried.status_code == 401
    assert strict.post("/login", {"email": email, "code": wrong(code)}).status_code == 401
    assert strict.post("/login", {"email": email, "code": code}).text == tried.text
    forget_the_pause(by_code)
    strict.post("/login", {"email": email})
    eventually(lambda: len(mailed(mails, email)) == 2)
    again = mailed(mails, email)[-1]
    assert strict.post("/login", {"email": email, "code": again}).status_code == 200


def test_a_code_expires(strict: Client, by_code: Settings, mails: MailServer, email: str):
    code = ask(strict, mails, email)
    with connect(by_code.postgres_url) as connection:
        connection.execute("UPDATE atelier_login_codes SET expires_at = now()")
    assert strict.post("/login", {"email": email, "code": code}).status_code == 401


def test_a_second_mail_is_not_sent_at_once_and_the_first_code_stays_good(
    strict: Client, mails: MailServer, email: str
):
    code = ask(strict, mails, email)
    for _ in range(3):
        assert strict.post("/login", {"email": email}).json() == ASKED
    assert strict.post("/login", {"email": email, "code": code}).status_code == 200
    assert len(mailed(mails, email)) == 1


def test_the_code_of_one_address_is_not_good_for_another(
    strict: Client, mails: MailServer, email: str
):
    code, other = ask(strict, mails, email), new_email()
    strict.post("/register", PERSON | {"email": other})
    strict.post("/login", {"email": other})
    assert strict.post("/login", {"email": other, "code": code}).status_code == 401


def test_codes_and_addresses_are_not_kept_in_plain_text(
    strict: Client, by_code: Settings, mails: MailServer, email: str
):
    code = ask(strict, mails, email)
    with connect(by_code.postgres_url) as connection:
        kept = str(connection.execute("SELECT * FROM atelier_login_codes").fetchall())
        kept += str(connection.execute("SELECT * FROM atelier_rate_counts").fetchall())
    assert code not in kept
    assert code.replace(" ", "") not in kept
    assert email not in kept


def test_a_token_that_was_given_for_an_address_alone_opens_nothing(
    strict: Client, ada: Client, by_code: Settings
):
    assert ada.get("/get_user_info").status_code == 200
    same = Client(strict.http)
    same.headers = ada.headers
    assert same.get("/get_user_info").status_code == 401
    account = Tokens(by_code.jwt_key).account(ada.headers["Authorization"].split()[1])
    proven = Client(strict.http, Tokens(by_code.jwt_key, codes=True).issue(account))
    assert proven.get("/get_user_info").status_code == 200


def test_a_mail_server_that_is_away_is_no_answer_to_the_client(by_code: Settings):
    away = msgspec.structs.replace(by_code, smtp_port=1)
    with TestClient(create_app(away), raise_server_exceptions=False) as http:
        client, email = Client(http), new_email()
        client.post("/register", PERSON | {"email": email})
        assert client.post("/login", {"email": email}).json() == ASKED
