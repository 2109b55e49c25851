import threading
from uuid import uuid4

import pytest

from domain.account import AccountInfoUpdated
from domain.errors import Unavailable
from infra.migrate import migrate
from infra.postgres import connect
from projections import accounts, gallery, queue, tasks
from projections.reading import Behind, BeyondLog, Reader
from tests.support.scenario import ACCOUNT, completed, eventually_refused, make_read_models, started


@pytest.fixture
def late(models):
    """A projector that catches up once, some time after it was asked."""
    timers = []

    def projector(*projections):
        timers.append(threading.Timer(0.4, models.catch_up, projections))
        timers[-1].start()

    yield projector
    for timer in timers:
        timer.join()


def test_an_answer_waits_for_the_askers_own_newest_event(models, story, late):
    models.catch_up()
    story.tell(ACCOUNT, AccountInfoUpdated(full_name="Ada King"))
    late()
    answer = models.ask(accounts.account, ACCOUNT)
    assert answer.rows[0].full_name == "Ada King"
    assert answer.position == 2


def test_an_answer_waits_for_events_of_all_aggregates_of_the_asker(models, story, late):
    name = story.request()
    models.catch_up()
    story.tell(name, started(), completed())
    late()
    assert len(models.ask(gallery.page, ACCOUNT, limit=10, cursor=None).rows) == 1


def test_an_answer_waits_for_every_model_that_it_comes_from(models, story, late):
    name = story.request()
    models.catch_up(tasks.PROJECTION)
    late(queue.PROJECTION)
    (row,) = models.ask(tasks.task, ACCOUNT, name).rows
    assert (row.status, row.position) == ("PENDING", 1)


def test_nobody_is_answered_with_stale_rows(models, story):
    models.catch_up()
    story.tell(ACCOUNT, AccountInfoUpdated(full_name="Ada King"))
    with pytest.raises(Behind):
        models.ask(accounts.account, ACCOUNT)


def test_the_events_of_others_are_not_waited_for(models, story):
    models.catch_up()
    story.register(uuid4())
    assert len(models.ask(accounts.account, ACCOUNT).rows) == 1


def test_what_was_seen_is_waited_for_even_when_it_is_of_others(models, story, late):
    models.catch_up()
    seen = story.register(uuid4())
    late()
    assert models.ask(accounts.account, ACCOUNT, seen=seen).position == seen


def test_a_position_beyond_the_log_is_refused(models):
    models.catch_up()
    assert models.ask(accounts.account, ACCOUNT, seen=1).position == 1
    with pytest.raises(BeyondLog):
        models.ask(accounts.account, ACCOUNT, seen=2)


def test_a_parked_account_is_served_as_it_is_and_told(models, story):
    # The task is there already, so the gallery's insert of its file violates the primary key.
    name = story.request()
    story.tell(name, started(), completed())
    models.catch_up()
    story.tell(name, completed(2))
    other = uuid4()
    story.register(other)
    models.catch_up()
    answer = models.ask(gallery.page, ACCOUNT, limit=10, cursor=None)
    assert (len(answer.rows), answer.parked) == (1, True)
    assert not models.ask(gallery.page, other, limit=10, cursor=None).parked
    assert not models.ask(accounts.account, ACCOUNT).parked


def test_parked_events_of_a_generation_that_is_not_live_are_no_matter(models, story):
    models.catch_up()
    with connect(models.url) as connection:
        connection.execute(
            "INSERT INTO atelier_projections VALUES ('accounts', 2, false, 'of another build')"
        )
        connection.execute(
            "INSERT INTO atelier_parked VALUES ('accounts', 2, 1, %s, %s, %s, 'ValueError')",
            [ACCOUNT, ACCOUNT, uuid4()],
        )
    assert not models.ask(accounts.account, ACCOUNT).parked


def test_read_models_are_there_once_they_were_made(postgres_url, models):
    async def migrated(reader: Reader):
        return await reader.migrated()

    assert models.ask(migrated)
    with connect(postgres_url) as connection:
        connection.execute("DELETE FROM atelier_projections")
    assert not models.ask(migrated)
    with connect(postgres_url) as connection:
        connection.execute("DROP TABLE atelier_projections")
    assert not models.ask(migrated)


def test_making_the_read_models_again_changes_nothing(models, story):
    models.catch_up()
    migrate(models.url)
    make_read_models(models.url)
    assert models.position(accounts.PROJECTION) == 1
    assert len(models.rows(accounts.PROJECTION)) == 1


def test_a_postgres_that_is_away_is_told(models, postgres):
    postgres.kill()
    eventually_refused(Unavailable, lambda: models.ask(accounts.account, ACCOUNT))
