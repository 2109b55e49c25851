from uuid import uuid4

from api.pages.examples import OPERATIONS
from infra.access.tokens import Tokens
from infra.settings import Settings
from tests.integration.api.conftest import PERSON, Client, new_email


def test_what_a_person_registers_is_what_they_get(client: Client):
    email = new_email()
    person = PERSON | {"email": email.title()}
    registered = client.post("/register", person)
    assert registered.status_code == 200
    assert set(registered.json()) == {"message"}
    token = client.post("/login", {"email": email}).json()["token"]
    assert Client(client.http, token).get("/get_user_info").json() == person


def test_an_address_can_be_registered_once_however_it_is_written(client: Client):
    email = new_email()
    assert client.post("/register", PERSON | {"email": email}).status_code == 200
    again = client.post("/register", PERSON | {"email": f"  {email.upper()} "})
    assert again.status_code == 409
    shown = OPERATIONS["POST /register"].errors["email_taken"]
    assert again.json() == shown  # nothing of how addresses are stored


def test_the_two_spellings_of_a_domain_are_one_account(client: Client):
    name = new_email().partition("@")[0]
    assert client.post("/register", PERSON | {"email": f"{name}@bücher.example"}).status_code == 200

    other = client.post("/register", PERSON | {"email": f"{name}@xn--bcher-kva.example"})
    login = client.post("/login", {"email": f"{name}@xn--BCHER-kva.example"})

    assert (other.status_code, other.json()["code"]) == (409, "email_taken")
    token = login.json()["token"]
    info = Client(client.http, token).get("/get_user_info").json()
    assert info["email"] == f"{name}@bücher.example"


def test_an_address_that_no_mail_can_go_to_is_refused(client: Client):
    answer = client.post("/register", PERSON | {"email": "ada@exa\u200fmple.org"})

    assert answer.status_code == 422
    assert answer.json()["details"] == [
        {"field": "email", "message": "must be one that mail can go to, such as ada@example.org"}
    ]


def test_an_update_sets_what_is_given_and_leaves_the_rest(ada: Client):
    before = ada.get("/get_user_info").json()
    answer = ada.post("/update_user_info", {"full_name": "Ada Other", "date_of_birth": -86400})
    assert answer.status_code == 200
    assert ada.get("/get_user_info").json() == before | {
        "full_name": "Ada Other",
        "date_of_birth": -86400,
    }


def test_the_same_update_twice_writes_nothing_more(ada: Client):
    first = ada.post("/update_user_info", {"gender": "Other"})
    second = ada.post("/update_user_info", {"gender": "Other"})
    assert second.status_code == 200
    assert second.headers["X-Event-Position"] == first.headers["X-Event-Position"]


def test_an_unknown_address_cannot_log_in(client: Client):
    answer = client.post("/login", {"email": new_email()})
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_bare_token_is_as_good_as_the_bearer_form(ada: Client):
    bare = ada.headers["Authorization"].removeprefix("Bearer ")
    answer = ada.http.get("/get_user_info", headers={"Authorization": bare})
    assert answer.status_code == 200


def test_a_token_of_an_account_that_is_not_in_the_log_is_refused(client: Client, shared: Settings):
    stranger = Client(client.http, Tokens(shared.jwt_key).issue(uuid4()))
    assert stranger.get("/get_user_info").status_code == 401
    assert stranger.post("/update_user_info", {"gender": "x"}).status_code == 401
    assert stranger.post("/generate", {}).status_code == 401


def test_every_violation_of_a_registration_is_told_at_once(client: Client):
    answer = client.post(
        "/register",
        {
            "email": "not an address",
            "full_name": "  ",
            "date_of_birth": 99_999_999_999,
            "ethnicity": "x" * 65,
            "nickname": "Ada",
        },
    )
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid"
    assert {each["field"] for each in answer.json()["details"]} == {
        "email",
        "full_name",
        "date_of_birth",
        "ethnicity",
        "gender",
        "nickname",
    }


def test_the_address_cannot_be_updated(ada: Client):
    answer = ada.post("/update_user_info", {"email": "other@example.com"})
    assert answer.status_code == 422
    assert answer.json()["details"] == [{"field": "email", "message": "is unknown"}]
