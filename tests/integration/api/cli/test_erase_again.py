"""Who was erased after the backup is back in the restored log, until Kafka is asked."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from api.cli import accounts, backup
from api.cli.confirm import NotConfirmed
from domain.errors import Unavailable
from infra.log.event_store import store_for_a_while
from infra.postgres import connect
from infra.settings import Settings
from tests.support.relaying import Log, Relays, events
from tests.support.scenario import Story, erased
from tests.support.servers import Server

ADA, BEA, CLEO, DORA = (uuid4() for _ in range(4))


@pytest.fixture
def log(migrated: Settings) -> Iterator[Log]:
    log = Log(migrated.postgres_url)
    yield log
    log.close()


@pytest.fixture
def restored(migrated: Settings, log: Log, kafka: Server, tmp_path: Path) -> Settings:
    """A log from before Bea's erasure, and a topic with all that came after it."""
    folder = tmp_path / "backup"
    with store_for_a_while(migrated.postgres_url, migrated.master_key, migrated.hash_key) as store:
        story = Story(store)
        for account in (ADA, BEA, CLEO):
            story.register(account)
        story.tell(ADA, erased(), account=ADA)
        backup.back_up(migrated, Namespace(folder=folder, without_media=True))
        story.register(DORA)
        for account in (BEA, DORA):
            story.tell(account, erased(), account=account)
    relays = Relays(log, kafka.url, tmp_path)
    relays.start()
    assert len(events(kafka, log)) == 7
    relays.close()
    backup.restore(migrated, Namespace(folder=folder, yes=True))
    return migrated


def known(settings: Settings) -> set[UUID]:
    """Whose data can be read."""
    with connect(settings.postgres_url) as connection:
        return {account for (account,) in connection.execute("SELECT account FROM atelier_keys")}


def test_whose_erasure_only_kafka_holds_is_erased_again(
    restored: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert known(restored) == {BEA, CLEO}
    with pytest.raises(NotConfirmed):
        accounts.erase_again(restored, Namespace(yes=False))
    listed = told(capsys)
    assert [each for each in (ADA, BEA, CLEO, DORA) if str(each) in listed] == [BEA]
    assert known(restored) == {BEA, CLEO}

    accounts.erase_again(restored, Namespace(yes=True))
    assert "Erased 1 account again" in told(capsys)
    assert known(restored) == {CLEO}
    keys = (restored.master_key, restored.hash_key)
    with store_for_a_while(restored.postgres_url, *keys) as store:
        assert [type(each.event) for each in store.load(BEA)][1:] == [type(erased())]
        head = store.head()

        accounts.erase_again(restored, Namespace(yes=True))
        assert "holds 3 erasures, and the log lacks none" in told(capsys)
        assert store.head() == head


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_without_a_topic_nothing_can_be_told(migrated: Settings) -> None:
    with pytest.raises(Unavailable, match="no topic"):
        accounts.erase_again(migrated, Namespace(yes=True))
