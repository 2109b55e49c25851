"""A key that is well-formed and wrong is refused before it does harm."""

import secrets

import msgspec
import pytest
from structlog.testing import capture_logs

from infra.log import fingerprints
from infra.log.fingerprints import KeyCheck, WrongKeys
from infra.log.keys import KeyRing
from infra.postgres import connect
from infra.settings import Settings
from projections.main import migrate
from tests.support.scenario import ACCOUNT, opened_pool


@pytest.fixture
def settings(postgres_url: str) -> Settings:
    return Settings(
        postgres_url=postgres_url,
        master_key=secrets.token_bytes(32),
        hash_key=secrets.token_bytes(32),
        jwt_key=secrets.token_bytes(32),
    )


def other(settings: Settings, **keys: object) -> Settings:
    return msgspec.structs.replace(settings, **keys)


def test_in_a_database_of_before_a_master_key_counts_only_if_it_opens_what_is_there(
    settings: Settings,
):
    with opened_pool(settings.postgres_url) as pool:
        KeyRing(pool, settings.master_key).create(ACCOUNT)
        with pool.connection() as connection:
            connection.execute("TRUNCATE atelier_key_fingerprints")
    with pytest.raises(WrongKeys, match="ATELIER_MASTER_KEY"):
        fingerprints.check(other(settings, master_key=secrets.token_bytes(32)))
    fingerprints.check(settings)


@pytest.mark.parametrize("name", ["master_key", "hash_key"])
def test_the_first_key_counts_and_another_one_is_refused_by_name(settings: Settings, name: str):
    fingerprints.check(settings)
    fingerprints.check(settings)
    wrong = other(settings, **{name: secrets.token_bytes(32)})
    for start in (fingerprints.check, migrate):
        with pytest.raises(WrongKeys, match=f"ATELIER_{name.upper()} is not the key that this"):
            start(wrong)
    fingerprints.check(settings)


def test_another_signing_key_is_a_warning_unless_the_one_before_still_counts(settings: Settings):
    fingerprints.check(settings)
    new = secrets.token_bytes(32)
    with capture_logs() as told:
        fingerprints.check(other(settings, jwt_key=new, jwt_old_keys=(settings.jwt_key,)))
        fingerprints.check(other(settings, jwt_key=new))
    assert told == []
    with capture_logs() as told:
        fingerprints.check(other(settings, jwt_key=secrets.token_bytes(32)))
    assert "ATELIER_JWT_OLD_KEYS" in told[0]["event"]


def test_the_database_holds_nothing_of_which_the_key_could_be_made(settings: Settings):
    fingerprints.check(settings)
    with connect(settings.postgres_url) as connection:
        rows = connection.execute("SELECT fingerprint FROM atelier_key_fingerprints").fetchall()
    assert len(rows) == 3
    assert all(len(noted) == 16 for (noted,) in rows)
    assert fingerprints.fingerprint(settings.master_key) in {noted for (noted,) in rows}


def test_a_database_that_is_away_or_empty_is_left_to_those_who_use_the_keys(settings: Settings):
    fingerprints.check(other(settings, postgres_url="postgresql://nobody@127.0.0.1:1/nothing"))
    with connect(settings.postgres_url) as connection:
        connection.execute("DROP TABLE atelier_key_fingerprints")
    fingerprints.check(settings)


def test_a_reader_who_may_not_write_is_told_the_same(settings: Settings):
    fingerprints.check(settings)
    read_only = f"{settings.postgres_url}&options=-c%20default_transaction_read_only%3Don"
    with opened_pool(read_only) as pool:
        KeyCheck(pool, fingerprints.MASTER, settings.master_key)()
        with pytest.raises(WrongKeys):
            KeyCheck(pool, fingerprints.MASTER, settings.hash_key)()
