"""No read grows with the number of people, tasks or files: every query's plan, over millions."""

import asyncio
import functools
import importlib
import pkgutil
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

import projections
from infra.postgres import borrowed_async, connect, make_async_pool
from projections import accounts, gallery, queue, tasks, wardrobe
from projections.gallery import FILES_PER_EVENT, ITEM
from projections.pace import PaceMeter
from projections.reading import MOST_TOGETHER, Question, Reader
from tests.conftest import own_database
from tests.support.scenario import make_read_models
from tests.support.servers import Server

FIRST: Final = UUID("c4ca4238-a0b9-2382-0dcc-509a6f75849b")  # the oldest task
ONE: Final = UUID(int=0)  # whose tasks are a fifth of all, each fiftieth of them a failed one
LAST: Final = UUID("52c69e3a-5733-1081-8233-31c4e69d3f2e")  # of all that wait, after 80,000
OTHER: Final = UUID(int=0x99999)  # whose it is
BEGAN: Final = 1_767_225_600  # and each second brings another task
MIDDLE: Final = 450_000  # a task of theirs, with more than 100,000 before it and after it

ROWS_MOST: Final = 4_000  # the pace is measured over 2,000 events, and the queue counted in blocks
DEEPER: Final = 20  # blocks that a page may take more than the first one

# A task has three positions: for its request, its start and its end. The newest 100,000 are
# pending but for those of the one account; those of the others belong to 80,000 accounts.
FILL: Final[Sequence[LiteralString]] = (
    """CREATE UNLOGGED TABLE filling AS
       SELECT n, task, account, at, 3 * n - 2 AS place, extract(epoch FROM at)::bigint AS second,
              CASE WHEN n > 900000 AND n % 5 > 0 THEN 'PENDING'
                   WHEN n % 250 = 0 THEN 'FAILED' ELSE 'SUCCESS' END AS status
         FROM (SELECT n, md5(n::text)::uuid AS task, to_timestamp(1767225600 + n) AS at,
                      ('00000000-0000-0000-0000-' || lpad(CASE WHEN n % 5 = 0 THEN '0'
                           ELSE (n % 100000)::text END, 12, '0'))::uuid AS account
                 FROM generate_series(1::bigint, 1000000) AS n) AS numbered""",
    """INSERT INTO atelier_events
       SELECT place, gen_random_uuid(), 'render.requested.v1', task, 1, at, 'test', account, task,
              NULL, '{}'
         FROM filling""",
    """INSERT INTO atelier_events
       SELECT place + step, gen_random_uuid(), type, task, step + 1, at, 'test', account, task,
              NULL, '{}'
         FROM filling, (VALUES (1, 'render.started.v1'), (2, 'render.completed.v1'))
                       AS steps (step, type)
        WHERE n > 990000 AND status = 'SUCCESS'""",
    """INSERT INTO atelier_tasks_g1 (task, account, place, vip, status, attempt, files, ignored,
                                     requested_at)
       SELECT task, account, place, n % 10 = 1, status, 1, '[]', '[]', second FROM filling""",
    """INSERT INTO atelier_gallery_g1
       SELECT task, account, n || '.jpg', n || '.jpg', n || '.png', second, place + 2, 0
         FROM filling""",
    """INSERT INTO atelier_queue_g1
       SELECT task, account, n % 10 = 1, place, at, false, 0, NULL, 1, place FROM filling
        WHERE status = 'PENDING'""",
    """INSERT INTO atelier_queue_g1_blocks
       SELECT vip, place / 256, count(*) FROM atelier_queue_g1 GROUP BY 1, 2""",
    """INSERT INTO atelier_queue_g1_rounds
       SELECT vip, rank, turn / 256, count(*) FROM atelier_queue_g1 GROUP BY 1, 2, 3""",
    "INSERT INTO atelier_keys SELECT DISTINCT account, ''::bytea FROM filling",
    """INSERT INTO atelier_accounts_g1 (account, number, email, avatar_key, avatar_thumbnail_key)
       SELECT account, row_number() OVER (), account || '@example.org', 'a.png', 'b.jpg'
         FROM atelier_keys""",
    """INSERT INTO atelier_wardrobe_g1
       SELECT task, 'https://' || n, 'Brand' || n % 5000, '', 'Cloth' || n, '3D', '{}', '{}', '{}',
              'https://' || n, 'brand' || n % 5000, 'cloth' || n, place, place,
              ARRAY['brand' || n % 5000, 'cloth' || n]
         FROM filling WHERE n <= 50000""",
    "UPDATE atelier_head SET position = 3000000",
    "UPDATE atelier_projections SET position = 3000000",
)
TABLES: Final = [f"atelier_{each.name}_g1" for each in projections.PROJECTIONS] + [
    "atelier_events",
    "atelier_keys",
]

INDEXES: LiteralString = """-- How is each index dropped, and made again?
SELECT CASE WHEN c.oid IS NULL THEN format('DROP INDEX %%s', i.indexrelid::regclass)
            ELSE format('ALTER TABLE %%s DROP CONSTRAINT %%I', i.indrelid::regclass, c.conname) END,
       CASE WHEN c.oid IS NULL THEN pg_get_indexdef(i.indexrelid)
            ELSE format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', i.indrelid::regclass, c.conname,
                        pg_get_constraintdef(c.oid)) END
  FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid
 WHERE i.indrelid::regclass::text = ANY(%s)"""


def fill(url: str) -> None:
    """Tables first, and indexes when all of it is there: which takes a third of the time."""
    make_read_models(url)
    with connect(
        url,
        statement_timeout=0,
        synchronous_commit="off",
        maintenance_work_mem="256MB",
        session_replication_role="replica",  # without triggers
    ) as connection:
        indexes = connection.execute(INDEXES, [TABLES]).fetchall()
        for table in TABLES:
            connection.execute(f"ALTER TABLE {table} SET UNLOGGED".encode())
        for statement in (*(drop for drop, _ in indexes), *FILL, *(make for _, make in indexes)):
            connection.execute(statement.encode())
        connection.execute("VACUUM ANALYZE")


@pytest.fixture(scope="module")
def millions(postgres: Server, template: str) -> Iterator[str]:
    """A database of a million tasks and a million files, which no test changes."""
    with own_database(postgres, template) as url:
        fill(url)
        yield url


Ask = Callable[[Reader], Awaitable[Any]]
ITEM_OF_TASK: Final = ITEM + (3 * MIDDLE - 2) * FILES_PER_EVENT
ITEM_OF_FILE: Final = ITEM + 3 * MIDDLE * FILES_PER_EVENT


def pages(page: Callable[..., Awaitable[Any]], name: str, **cursors: int) -> dict[str, Ask]:
    """The first page and those after the cursors."""
    asked = functools.partial(page, limit=100)
    first = {f"{name}: first": functools.partial(asked, cursor=None)}
    return first | {
        f"{name}: after {kind}": functools.partial(asked, cursor=cursor)
        for kind, cursor in cursors.items()
    }


GARMENTS: Final[Sequence[dict[str, Any]]] = (
    {},
    {"brand": "Brand1"},
    {"text": "cloth"},
    {"brand": "Brand1", "text": "cloth"},
)
PAGES: Final[dict[str, Ask]] = {
    **pages(
        functools.partial(gallery.page, account=ONE),
        "gallery",
        second=BEGAN + MIDDLE,
        item=ITEM_OF_FILE,
    ),
    **{
        name: page
        for status in (None, "PENDING", "STARTED", "SUCCESS", "FAILED")
        for name, page in pages(
            functools.partial(tasks.page, account=ONE, status=status),
            f"tasks {status}",
            second=BEGAN + MIDDLE,
            item=ITEM_OF_TASK,
            rest=ITEM_OF_TASK + tasks.REST,
        ).items()
    },
    **{
        name: page
        for given in GARMENTS
        for name, page in pages(
            functools.partial(wardrobe.page, **given), f"wardrobe {given}", place=75_000
        ).items()
    },
}
ASKS: Final[dict[str, Ask]] = PAGES | {
    "account": lambda reader: accounts.account(reader, ONE),
    "details": lambda reader: accounts.details(reader, ONE),
    "avatar": lambda reader: accounts.avatar(reader, ONE),
    "overview": lambda reader: tasks.overview(reader, ONE),
    "the last that waits": lambda reader: tasks.task(reader, OTHER, LAST, max_wait=None),
    "the last that waits, with others who have waited too long": lambda reader: tasks.task(
        reader, OTHER, LAST, max_wait=86_400.0
    ),
    **{
        f"the last that waits, in rounds, {max_wait}": functools.partial(
            tasks.task, account=OTHER, task=LAST, max_wait=max_wait, fair=True
        )
        for max_wait in (None, 86_400.0)
    },
    "kind and pace": lambda reader: PaceMeter(reader).eta(ONE, FIRST, 0, 0.0),
    "kind and pace, in rounds": lambda reader: PaceMeter(reader, fair=True).eta(ONE, FIRST, 0, 0.0),
    "garment by url": lambda reader: wardrobe.garment(reader, url="https://25000"),
    "garment by name": lambda reader: wardrobe.garment(reader, name="Cloth25000"),
    "garment by brand": lambda reader: wardrobe.garment(reader, brand="Brand1"),
}


class Asked(NamedTuple):
    """A statement as the api sends it."""

    question: Question[Any]
    sql: str
    values: dict[str, Any]


class Recording(Reader):
    """Notes what it asks."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: list[Asked] = []
        self._question: Any = None

    async def ask(self, question: Question[Any], *arguments: Any, **named: Any) -> Any:
        self._question = question
        return await super().ask(question, *arguments, **named)

    async def _fetch(self, sql: LiteralString, values: dict[str, Any]) -> Any:
        self.asked.append(Asked(self._question, sql, values))
        return await super()._fetch(sql, values)


@pytest.fixture(scope="module")
def asked(millions: str) -> dict[str, list[Asked]]:
    """What the api asks Postgres, by the names of `ASKS`."""

    async def ask_all() -> dict[str, list[Asked]]:
        found = {}
        async with make_async_pool(millions, 2) as pool:
            for name, ask in ASKS.items():
                reader = Recording(functools.partial(borrowed_async, pool))
                await ask(reader)
                found[name] = reader.asked
        return found

    return asyncio.run(ask_all())


class Cost(NamedTuple):
    """What a plan took: the tables that it went through from end to end, rows, and blocks."""

    scanned: set[str]
    rows: int
    blocks: int


def costs(
    connection: psycopg.Connection[Any], query: str, values: dict[str, Any]
) -> Iterator[Cost]:
    """Of the first time, and of when Postgres may have settled for a plan for all values."""
    names = list(values)
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", query)
    statement = sql.SQL("PREPARE asked AS {}").format(sql.SQL(numbered.replace("%%", "%")))
    connection.execute(statement)
    given = sql.SQL(", ").join(map(sql.Literal, values.values()))
    call = sql.SQL("EXECUTE asked ({})" if values else "EXECUTE asked").format(given)
    for n in range(7):
        explain = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}").format(call)
        ((((explained,),)),) = connection.execute(explain)
        if n in (0, 6):
            yield _cost(explained["Plan"])
    connection.execute("DEALLOCATE asked")


def _cost(plan: dict[str, Any]) -> Cost:
    reads = [node for node in _nodes(plan) if "Relation Name" in node]
    removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    return Cost(
        scanned={
            node["Relation Name"]
            for node in reads
            if node["Node Type"] == "Seq Scan" and node["Actual Loops"]
        }
        & set(TABLES),
        rows=sum(
            int(node["Actual Loops"] * (node["Actual Rows"] + sum(node.get(r, 0) for r in removed)))
            for node in reads
        ),
        blocks=plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
    )


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)


@pytest.fixture(scope="module")
def taken(millions: str, asked: dict[str, list[Asked]]) -> dict[str, list[Cost]]:
    """What each of them costs."""
    with connect(millions) as connection:
        return {
            name: [cost for each in several for cost in costs(connection, each.sql, each.values)]
            for name, several in asked.items()
        }


@pytest.mark.parametrize("name", ASKS)
def test_a_read_takes_a_bounded_number_of_rows_by_an_index(
    name: str, taken: dict[str, list[Cost]]
) -> None:
    for cost in taken[name]:
        assert not cost.scanned
        assert cost.rows <= ROWS_MOST


@pytest.mark.parametrize("name", PAGES)
def test_a_page_deep_in_takes_no_more_than_the_first(
    name: str, taken: dict[str, list[Cost]]
) -> None:
    first = taken[f"{name.rpartition(': ')[0]}: first"]
    for one, other in zip(first, taken[name], strict=True):
        assert other.blocks <= one.blocks + DEEPER


@pytest.mark.parametrize("fair", [False, True])
def test_the_last_that_waits_knows_its_place(millions: str, fair: bool) -> None:
    async def ask() -> int:
        async with make_async_pool(millions, 2) as pool:
            reader = Reader(functools.partial(borrowed_async, pool))
            (row,) = (await tasks.task(reader, OTHER, LAST, max_wait=None, fair=fair)).rows
            return row.position

    assert asyncio.run(ask()) == 80_000


def test_many_who_ask_at_once_take_as_much_each(millions: str) -> None:
    everybody = [UUID(int=int(str(n), 16)) for n in range(1, 90) if n % 5][:MOST_TOGETHER]
    each = 25  # ten files with what they show, and who asks

    async def ask() -> list[Asked]:
        async with make_async_pool(millions, 2) as pool:
            reader = Recording(functools.partial(borrowed_async, pool))
            await asyncio.gather(
                *(gallery.page(reader, account, limit=100, cursor=None) for account in everybody)
            )
            return reader.asked

    [together] = asyncio.run(ask())
    with connect(millions) as connection:
        for cost in costs(connection, together.sql, together.values):
            assert not cost.scanned
            assert cost.rows <= each * len(everybody)


QUEUE: Final = {
    name: value
    for name, value in vars(queue).items()
    if isinstance(value, str) and value.startswith("--") and name != "FIRST"
}


@pytest.mark.parametrize("max_wait", [None, 86_400.0])
@pytest.mark.parametrize("name", QUEUE)
def test_consumers_look_at_the_head_of_the_queue_only(
    name: str, max_wait: float | None, millions: str
) -> None:
    values = {"limit": 5, "max_wait": max_wait} if name.startswith("NEXT") else {}
    with connect(millions) as connection:
        for cost in costs(connection, QUEUE[name], values):
            assert not cost.scanned
            assert cost.rows <= ROWS_MOST


def questions() -> Iterator[Question[Any]]:
    """Every one that a read model's file names, by itself or in a dict."""
    for found in pkgutil.iter_modules(projections.__path__):
        for value in vars(importlib.import_module(f"projections.{found.name}")).values():
            for each in value.values() if isinstance(value, dict) else (value,):
                if isinstance(each, Question):
                    yield each


def test_no_question_is_left_out(asked: dict[str, list[Asked]]) -> None:
    known = {each.question.sql for several in asked.values() for each in several}
    left = {each.sql for each in questions()} - known
    assert left == set()
