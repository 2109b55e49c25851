import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from cryptography.exceptions import InvalidTag

from domain.errors import AccountErased
from infra.log.event_store import EventStore
from infra.log.fingerprints import WrongKeys
from infra.log.keys import KeyRing, email_key
from infra.postgres import connect
from tests.support.scenario import (
    ACCOUNT,
    MASTER_KEY,
    Story,
    enveloped,
    erased,
    eventually,
    opened_pool,
    registered,
)

PLACE = b"account.registered.v1:1"


@pytest.fixture
def pool(postgres_url):
    with opened_pool(postgres_url, 8) as opened:
        yield opened


@pytest.fixture
def ring(pool):
    made = KeyRing(pool, MASTER_KEY)
    made.create(ACCOUNT)
    return made


def test_what_was_sealed_is_opened(ring):
    sealed = ring.seal(ACCOUNT, b"Ada", PLACE)
    assert "Ada" not in sealed
    assert ring.open(ACCOUNT, sealed, PLACE) == b"Ada"


def test_the_same_text_is_never_sealed_the_same_way(ring):
    assert ring.seal(ACCOUNT, b"Ada", PLACE) != ring.seal(ACCOUNT, b"Ada", PLACE)


def test_another_process_opens_it_under_the_same_master_key(ring, pool):
    sealed = ring.seal(ACCOUNT, b"Ada", PLACE)
    assert KeyRing(pool, MASTER_KEY).open(ACCOUNT, sealed, PLACE) == b"Ada"


def test_under_another_master_key_nothing_is_opened_sealed_or_made(ring, pool):
    sealed = ring.seal(ACCOUNT, b"Ada", PLACE)
    other = KeyRing(pool, secrets.token_bytes(32))
    assert other.open(ACCOUNT, sealed, PLACE) is None
    with pytest.raises(WrongKeys):
        other.seal(ACCOUNT, b"Ada", PLACE)
    with pytest.raises(WrongKeys, match="ATELIER_MASTER_KEY is not the key"):
        other.create(uuid4())


def test_it_opens_in_its_own_place_only(ring):
    sealed = ring.seal(ACCOUNT, b"Ada", PLACE)
    with pytest.raises(InvalidTag):
        ring.open(ACCOUNT, sealed, b"account.registered.v1:2")


def test_no_account_opens_what_another_sealed(ring):
    other = uuid4()
    ring.create(other)
    with pytest.raises(InvalidTag):
        ring.open(other, ring.seal(ACCOUNT, b"Ada", PLACE), PLACE)


def test_a_key_is_made_once(ring, pool):
    sealed = ring.seal(ACCOUNT, b"Ada", PLACE)
    ring.create(ACCOUNT)
    assert KeyRing(pool, MASTER_KEY).open(ACCOUNT, sealed, PLACE) == b"Ada"


def test_of_many_who_make_a_key_all_hold_the_same(pool):
    def seal(_):
        ring = KeyRing(pool, MASTER_KEY)
        ring.create(ACCOUNT)
        return ring.seal(ACCOUNT, b"Ada", PLACE)

    with ThreadPoolExecutor(8) as threads:
        sealed = list(threads.map(seal, range(8)))
    late = KeyRing(pool, MASTER_KEY)
    assert [late.open(ACCOUNT, text, PLACE) for text in sealed] == [b"Ada"] * 8


def test_without_its_key_nothing_is_opened_and_nothing_sealed(ring, pool):
    sealed = ring.seal(ACCOUNT, b"Ada", PLACE)
    with pool.connection() as connection:
        connection.execute("DELETE FROM atelier_keys")
    ring.forget(ACCOUNT)
    for one in (ring, KeyRing(pool, MASTER_KEY)):
        assert one.open(ACCOUNT, sealed, PLACE) is None
        with pytest.raises(AccountErased):
            one.seal(ACCOUNT, b"Ada", PLACE)


def test_an_erasure_elsewhere_is_heard_of_at_once(ring, pool):
    stop = threading.Event()
    watcher = threading.Thread(target=ring.watch, args=(stop,))
    watcher.start()
    try:
        store = EventStore(pool, KeyRing(pool, MASTER_KEY), b"secret")
        Story(store).tell(ACCOUNT, registered())
        eventually(lambda: is_heard(pool))
        eventually(lambda: ring.seal(ACCOUNT, b"Ada", PLACE) and ring.remembers(ACCOUNT))
        store.append([enveloped(erased(), ACCOUNT, 2)])
        eventually(lambda: not ring.remembers(ACCOUNT))
        with pytest.raises(AccountErased):
            ring.seal(ACCOUNT, b"Ada", PLACE)
    finally:
        stop.set()
        watcher.join()


def test_who_cannot_hear_of_erasures_forgets_all_keys(ring, pool):
    stop = threading.Event()
    watcher = threading.Thread(target=ring.watch, args=(stop,))
    watcher.start()
    try:
        eventually(lambda: is_heard(pool))
        ring.seal(ACCOUNT, b"Ada", PLACE)
        with pool.connection() as connection:
            connection.execute(f"SELECT pg_terminate_backend(pid) {LISTENING}")
        eventually(lambda: not ring.remembers(ACCOUNT))
    finally:
        stop.set()
        watcher.join()


def test_a_key_that_was_being_loaded_while_it_was_erased_is_not_kept(ring, monkeypatch):
    load = ring._load

    def erased_meanwhile(account):
        key = load(account)
        ring.forget(account)
        return key

    monkeypatch.setattr(ring, "_load", erased_meanwhile)
    ring.seal(ACCOUNT, b"Ada", PLACE)
    assert not ring.remembers(ACCOUNT)


def is_heard(pool):
    """Whether somebody listens for erasures."""
    with pool.connection() as connection:
        return connection.execute(f"SELECT pid {LISTENING}").fetchone()


LISTENING = """FROM pg_stat_activity
 WHERE query = 'LISTEN atelier_erased' AND datname = current_database()"""


def test_the_table_holds_no_key_that_opens_anything_by_itself(ring, postgres_url):
    sealed = ring.seal(ACCOUNT, b"Ada", PLACE)
    with connect(postgres_url) as connection:
        ((wrapped,),) = connection.execute("SELECT wrapped FROM atelier_keys").fetchall()
        other = uuid4()  # nor is one account's key of use in another's row
        connection.execute("INSERT INTO atelier_keys VALUES (%s, %s)", [other, wrapped])
    assert len(wrapped) == 12 + 32 + 16
    assert ring.open(other, sealed, PLACE) is None


@pytest.mark.parametrize(
    "spelling",
    ["ada@example.org", "  ada@example.org\n", "ADA@Example.org", "\uff21da@example.org"],
)
def test_an_address_has_one_key_however_it_is_spelt(spelling):
    assert email_key(spelling, b"secret") == email_key("ada@example.org", b"secret")


def test_the_key_of_an_address_depends_on_address_and_secret():
    key = email_key("ada@example.org", b"secret")
    assert key != email_key("bea@example.org", b"secret")
    assert key != email_key("ada@example.org", b"another")
