import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.access import tokens
from infra.access.tokens import AUDIENCE, CLAIMS, ISSUER, STREAM, Tokens, Unauthorized

KEY = b"k" * 32
TOKENS = Tokens(KEY)


def forged(*, key: Any = KEY, algorithm: str = "HS256", without: str = "", **changes: Any) -> str:
    now = datetime.now(UTC)
    claims = {
        "sub": str(uuid4()),
        "iat": now,
        "exp": now + timedelta(hours=1),
        "jti": str(uuid4()),
        "iss": ISSUER,
        "aud": AUDIENCE,
    } | changes
    claims.pop(without, None)
    return jwt.encode(claims, key, algorithm, headers={"kid": TOKENS.key_id})


def test_a_token_names_the_account_that_it_was_given_to():
    account = uuid4()
    assert TOKENS.account(TOKENS.issue(account)) == account


def test_a_well_made_token_is_accepted_so_that_the_refusals_below_mean_something():
    assert TOKENS.account(forged())


def test_two_tokens_of_one_account_differ():
    account = uuid4()
    assert TOKENS.issue(account) != TOKENS.issue(account)


def test_a_token_that_nobody_signed_is_refused():
    with pytest.raises(Unauthorized):
        TOKENS.account(forged(key=None, algorithm="none"))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_token_signed_in_another_way_is_refused(algorithm: str):
    with pytest.raises(Unauthorized):
        TOKENS.account(forged(algorithm=algorithm))


def test_a_token_of_another_key_is_refused_even_under_our_key_id():
    with pytest.raises(Unauthorized):
        TOKENS.account(forged(key=b"x" * 32))


def test_a_token_of_a_key_that_was_replaced_is_refused():
    with pytest.raises(Unauthorized):
        Tokens(b"n" * 32).account(TOKENS.issue(uuid4()))


def test_after_a_change_of_keys_earlier_tokens_still_count_and_new_ones_have_the_new_key():
    account = uuid4()
    changed = Tokens(b"n" * 32, [KEY])
    assert changed.account(TOKENS.issue(account)) == account
    assert Tokens(b"n" * 32).account(changed.issue(account)) == account
    with pytest.raises(Unauthorized):
        TOKENS.account(changed.issue(account))


def test_a_token_of_an_old_key_under_the_new_keys_id_is_refused():
    now = datetime.now(UTC)
    claims = jwt.decode(TOKENS.issue(uuid4()), KEY, ["HS256"], audience=AUDIENCE)
    mixed = jwt.encode(
        claims | {"iat": now}, KEY, "HS256", headers={"kid": Tokens(b"n" * 32).key_id}
    )
    with pytest.raises(Unauthorized):
        Tokens(b"n" * 32, [KEY]).account(mixed)


@pytest.mark.parametrize("kid", [None, "", 7, "../../etc/passwd"])
def test_a_token_of_an_unknown_key_id_is_refused(kid: Any):
    claims = jwt.decode(TOKENS.issue(uuid4()), KEY, ["HS256"], audience=AUDIENCE)
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": kid}).encode())
    _, body, signature = jwt.encode(claims, KEY, "HS256").split(".")
    with pytest.raises(Unauthorized):
        TOKENS.account(f"{header.decode().rstrip('=')}.{body}.{signature}")


def test_where_codes_are_asked_for_only_tokens_given_for_one_count():
    account, by_code = uuid4(), Tokens(KEY, codes=True)
    assert by_code.account(by_code.issue(account)) == account
    assert TOKENS.account(by_code.issue(account)) == account
    with pytest.raises(Unauthorized):
        by_code.account(TOKENS.issue(account))


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_token_that_lacks_a_claim_is_refused(claim: str):
    with pytest.raises(Unauthorized):
        TOKENS.account(forged(without=claim))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "somebody else"},
        {"iss": "somebody else"},
        {"sub": "not an account"},
        {"exp": datetime.now(UTC) - timedelta(minutes=7)},
        {"iat": datetime.now(UTC) + timedelta(hours=1)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_token_with_a_wrong_claim_is_refused(changes: dict[str, Any]):
    with pytest.raises(Unauthorized):
        TOKENS.account(forged(**changes))


def test_a_token_whose_claims_were_exchanged_is_refused():
    header, claims, signature = TOKENS.issue(uuid4()).split(".")
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=="))
    other = json.dumps(decoded | {"sub": str(uuid4())}).encode()
    exchanged = base64.urlsafe_b64encode(other).decode().rstrip("=")
    with pytest.raises(Unauthorized):
        TOKENS.account(f"{header}.{exchanged}.{signature}")


@pytest.mark.parametrize("minutes", [-5.5, 5.5])
def test_a_token_holds_where_the_clock_is_more_than_five_minutes_off(monkeypatch, minutes: float):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=minutes)

    account, task = uuid4(), str(uuid4())
    with monkeypatch.context() as issuing:
        issuing.setattr(tokens, "datetime", Clock)
        token, (for_stream, _) = TOKENS.issue(account), TOKENS.issue_for_stream(account, UUID(task))
    assert TOKENS.account(token) == account
    assert TOKENS.account_of_stream(for_stream, task) == account


@given(st.text())
def test_no_text_does_worse_than_being_refused(text: str):
    with pytest.raises(Unauthorized):
        TOKENS.account(text)


def test_a_stream_token_opens_the_stream_that_it_was_given_for_and_nothing_else():
    account, task = uuid4(), uuid4()
    token, expires = TOKENS.issue_for_stream(account, task)
    assert TOKENS.account_of_stream(token, str(task)) == account
    assert 0 < expires - datetime.now(UTC).timestamp() <= 300
    with pytest.raises(Unauthorized):
        TOKENS.account_of_stream(token, str(uuid4()))
    with pytest.raises(Unauthorized):
        TOKENS.account(token)


def test_a_token_of_a_login_is_no_stream_token():
    with pytest.raises(Unauthorized):
        TOKENS.account_of_stream(TOKENS.issue(uuid4()), str(uuid4()))


def test_a_stream_token_expires(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tokens, "STREAM_LIFETIME", -timedelta(minutes=7))
    task = uuid4()
    token, _ = TOKENS.issue_for_stream(uuid4(), task)
    with pytest.raises(Unauthorized):
        TOKENS.account_of_stream(token, str(task))


@pytest.mark.parametrize("claim", [*CLAIMS, "task"])
def test_a_stream_token_that_lacks_a_claim_is_refused(claim: str):
    task = str(uuid4())
    assert TOKENS.account_of_stream(forged(aud=STREAM, task=task), task)
    with pytest.raises(Unauthorized):
        TOKENS.account_of_stream(forged(aud=STREAM, task=task, without=claim), task)


def test_where_codes_are_asked_for_a_stream_token_is_of_a_code_too():
    account, task, by_code = uuid4(), uuid4(), Tokens(KEY, codes=True)
    token, _ = by_code.issue_for_stream(account, task)
    assert by_code.account_of_stream(token, str(task)) == account
    with pytest.raises(Unauthorized):
        by_code.account_of_stream(TOKENS.issue_for_stream(account, task)[0], str(task))
