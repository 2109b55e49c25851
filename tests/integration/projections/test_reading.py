import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from domain.account import AccountInfoUpdated
from domain.errors import AccountErased, Unavailable
from infra.log.migrate import migrate
from infra.postgres import borrowed_async, connect, make_async_pool
from projections import accounts, gallery, queue, tasks
from projections.accounts import AccountRow
from projections.reading import MOST_TOGETHER, Answer, Behind, BeyondLog, Question, Reader
from tests.support.scenario import (
    ACCOUNT,
    completed,
    eventually_refused,
    make_read_models,
    restore_older_backup,
    source,
    started,
    thumbnail,
)

UNFIT = (source("a\x00.jpg"), thumbnail())  # a column of text takes no NUL


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
    (row,) = models.ask(tasks.task, ACCOUNT, name, max_wait=None).rows
    assert (row.status, row.position) == ("PENDING", 1)


def test_nobody_is_answered_with_stale_rows(models, story):
    models.catch_up()
    story.tell(ACCOUNT, AccountInfoUpdated(full_name="Ada King"))
    with pytest.raises(Behind):
        models.ask(accounts.account, ACCOUNT)


def test_a_past_that_the_log_has_lost_is_not_shown(models, story):
    name = story.request()
    models.catch_up()
    restore_older_backup(models.url, 1)
    with connect(models.url) as connection:  # but of one read model
        connection.execute("UPDATE atelier_projections SET position = 2 WHERE projection = 'tasks'")
    with pytest.raises(Behind):
        models.ask(tasks.task, ACCOUNT, name, max_wait=None)


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
    name = story.request()
    story.tell(name, started(), completed())
    models.catch_up()
    story.tell(name, completed(2, files=UNFIT))
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
        connection.execute("DROP TABLE atelier_projections CASCADE")
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


# Asks at the same moment.


class Counting(Reader):
    """Counts its statements."""

    statements = 0

    async def _fetch(self, *statement: Any) -> Any:
        self.statements += 1
        return await super()._fetch(*statement)


@pytest.fixture
def together(models):
    """Tell a story with one reader in one event loop; gives the number of its statements."""

    def told(story: Callable[[Reader], Awaitable[None]]) -> int:
        async def tell() -> int:
            async with make_async_pool(models.url, 2) as pool:
                reader = Counting(functools.partial(borrowed_async, pool))
                await story(reader)
                return reader.statements

        return asyncio.run(tell())

    return told


def people(story, number: int) -> list[UUID]:
    """Accounts that differ in their names."""
    accounts = [uuid4() for _ in range(number)]
    for n, account in enumerate(accounts):
        story.register(account, full_name=f"Person {n}")
    return accounts


def test_askers_of_many_accounts_share_a_statement_and_each_gets_their_own_rows(
    models, story, together
):
    everybody = people(story, 12)
    expected = []
    for n, account in enumerate(everybody):
        tasks_of = [story.request(account) for _ in range(n % 3)]
        for task in tasks_of:
            files = source(f"{task}.jpg"), thumbnail(f"{task}_thumbnail.jpg")
            story.tell(task, started(), completed(files=files), account=account)
        expected.append([f"33/gallery/{task}.jpg" for task in reversed(tasks_of)])
    models.catch_up()

    async def ask(reader: Reader) -> None:
        answers = await asyncio.gather(
            *(gallery.page(reader, each, limit=10, cursor=None) for each in everybody)
        )
        assert [[row.source_key for row in answer.rows] for answer in answers] == expected

    assert together(ask) == 1


def test_more_askers_than_a_statement_takes_are_all_answered(models, story, together):
    everybody = people(story, 3) * MOST_TOGETHER
    models.catch_up()

    async def ask(reader: Reader) -> None:
        answers = await asyncio.gather(*(accounts.account(reader, each) for each in everybody))
        assert [answer.rows[0].account for answer in answers] == everybody

    assert together(ask) == 3


def test_who_is_behind_waits_alone(models, story, together):
    [ahead, behind] = people(story, 2)
    models.catch_up()
    story.tell(behind, AccountInfoUpdated(full_name="Ada King"), account=behind)

    async def ask(reader: Reader) -> None:
        waiting = asyncio.create_task(accounts.account(reader, behind))
        answer = await accounts.account(reader, ahead)
        assert answer.rows[0].full_name == "Person 0"
        assert not waiting.done()
        await asyncio.to_thread(models.catch_up)
        assert (await waiting).rows[0].full_name == "Ada King"

    together(ask)


def test_of_all_who_ask_at_once_only_the_parked_one_is_told(models, story, together):
    [whole, parked] = people(story, 2)
    task = story.request(parked)
    story.tell(task, started(), completed(), account=parked)
    models.catch_up()
    story.tell(task, completed(2, files=UNFIT), account=parked)
    models.catch_up()

    async def ask(reader: Reader) -> None:
        answers = await asyncio.gather(
            *(gallery.page(reader, each, limit=10, cursor=None) for each in (whole, parked))
        )
        assert [answer.parked for answer in answers] == [False, True]

    assert together(ask) == 1


def test_an_unknown_account_is_refused_alone(models, story, together):
    [known] = people(story, 1)
    models.catch_up()

    async def ask(reader: Reader) -> None:
        nobody, somebody = await asyncio.gather(
            *(accounts.account(reader, each) for each in (uuid4(), known)), return_exceptions=True
        )
        assert isinstance(nobody, AccountErased)
        assert isinstance(somebody, Answer)
        assert somebody.rows[0].account == known

    assert together(ask) == 1


def test_an_error_reaches_all_who_asked_at_once_and_the_next_are_answered(models, story, together):
    everybody = people(story, 5)
    models.catch_up()
    broken = Question(models=("accounts",), row=AccountRow, sql="SELECT 1 / 0 AS number")

    async def ask(reader: Reader) -> None:
        errors = await asyncio.gather(
            *(reader.ask(broken, each) for each in everybody), return_exceptions=True
        )
        assert [type(error) for error in errors] == [psycopg.errors.DivisionByZero] * 5
        answers = await asyncio.gather(*(accounts.account(reader, each) for each in everybody))
        assert len(answers) == 5

    assert together(ask) == 2


def test_who_goes_before_the_answer_comes_disturbs_nobody(models, story, together):
    everybody = people(story, 3)
    models.catch_up()

    async def ask(reader: Reader) -> None:
        asks = [asyncio.create_task(accounts.account(reader, each)) for each in everybody]
        await asyncio.sleep(0)  # they have asked
        asks[1].cancel()
        first, gone, third = await asyncio.gather(*asks, return_exceptions=True)
        assert isinstance(gone, asyncio.CancelledError)
        assert isinstance(first, Answer)
        assert isinstance(third, Answer)
        assert [first.rows[0].account, third.rows[0].account] == everybody[::2]

    together(ask)
