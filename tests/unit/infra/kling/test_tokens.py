import jwt

from infra.kling.tokens import Tokens

SECRET = "a-secret-key-of-more-than-32-bytes"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_says_who_asks_and_how_long_it_holds():
    token = Tokens("an-access-key", SECRET, Clock()).current()
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(
        token, SECRET, ["HS256"], options={"verify_exp": False, "verify_nbf": False}
    )
    assert claims == {
        "iss": "an-access-key",
        "exp": 1_001_800,
        "nbf": 999_995,
    }


def test_a_token_is_used_for_25_minutes():
    clock = Clock()
    tokens = Tokens("an-access-key", SECRET, clock)
    first = tokens.current()
    clock.now += 1_499
    assert tokens.current() == first
    clock.now += 1
    assert tokens.current() != first


def test_a_token_that_was_not_taken_is_replaced():
    clock = Clock()
    tokens = Tokens("an-access-key", SECRET, clock)
    first = tokens.current()
    tokens.forget()
    clock.now += 1
    assert tokens.current() != first
