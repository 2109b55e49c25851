"""Asking the read models, never behind what the asker has already done."""

import asyncio
import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Generic, LiteralString, NamedTuple, TypeVar
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import DictRow, dict_row

from domain.errors import AccountErased, AtelierError

Row = TypeVar("Row")
Connection = psycopg.AsyncConnection[tuple[Any, ...]]

WAIT_S = 2.0
WORKERS = 4  # statements at a time; while they run, new asks gather for the next ones
MOST_TOGETHER = 2_000  # as many as may watch their tasks: the log grows for all at once
LOOK_AGAIN_S = (0.002, 0.004, 0.008, 0.016, 0.025)  # then the last one again and again

# One statement, hence one snapshot: the rows, where the live generation of every model that they
# come from stands, and the newest event of the account, or of nobody's (a garment's). A model that
# is ahead of the log shows a past that is lost, and stands nowhere. Asks that wait at the same
# moment share the statement, each as a row of `ask`: that is what makes reads cheap. OFFSET 0 has
# what is asked of an account looked up once, and not for each row of its answer.
FRESH: LiteralString = """
WITH standing AS MATERIALIZED (
    SELECT CASE WHEN max(p.position) <= h.position THEN min(p.position) END AS at,
           h.position AS head
      FROM atelier_head h LEFT JOIN atelier_projections p
           ON p.live AND p.projection = ANY(%(models)s)
     GROUP BY h.position
)
SELECT ask.n, standing.at, coalesce(own.newest, 0) AS newest, standing.head, own.parked, own.known,
       answer.*
  FROM unnest({arrays}) WITH ORDINALITY AS ask ({columns}, n)
       CROSS JOIN standing
       CROSS JOIN LATERAL (
           SELECT (SELECT max(e.position) FROM atelier_events e WHERE {theirs}) AS newest,
                  ask.account IS NULL OR EXISTS (
                      SELECT FROM atelier_keys y WHERE y.account = ask.account) AS known,
                  EXISTS (SELECT FROM atelier_parked k JOIN atelier_projections q
                              USING (projection, generation)
                           WHERE q.live AND k.projection = ANY(%(models)s)
                             AND k.account IS NOT DISTINCT FROM ask.account) AS parked
           OFFSET 0) own
       LEFT JOIN LATERAL (SELECT true AS found, asked.* FROM ({question}) asked) answer ON true"""

OF_ACCOUNT: LiteralString = "e.account = ask.account"
OF_NOBODY: LiteralString = "e.account IS NULL"  # each of the two has an index


class Behind(AtelierError):
    """The projector has not caught up with the asker's own writes in time."""

    code = "read_model_behind"
    retriable = True


class BeyondLog(AtelierError):
    """The asker claims to have seen a position that the log has not reached."""

    code = "position_beyond_log"


class Question(msgspec.Struct, Generic[Row], frozen=True, kw_only=True, eq=False):
    """A query over the views of `models`; its parameters include ``account``.

    ``types`` are the SQL types of its other parameters. Asks at the same moment share a statement
    when all of their parameters have a type here, and take one each otherwise.
    """

    models: tuple[str, ...]
    row: type[Row]
    sql: LiteralString
    types: Mapping[str, LiteralString] = {}


class Answer(msgspec.Struct, Generic[Row], frozen=True, kw_only=True):
    """The rows, the position that they show, and whether a parked event is missing from them."""

    rows: list[Row]
    position: int
    parked: bool


class Reader:
    """Asks over connections of one event loop.

    `borrow` lends one, and raises `Unavailable` when Postgres cannot serve, also amid its use.
    """

    def __init__(self, borrow: Callable[[], AbstractAsyncContextManager[Connection]]) -> None:
        self._borrow = borrow
        self._waiting: dict[_Statement, list[_Ask]] = {}
        self._workers: set[asyncio.Task[None]] = set()

    async def ask(
        self, question: Question[Row], account: UUID | None, *, seen: int = 0, **parameters: Any
    ) -> Answer[Row]:
        """Answer once the models have reached the account's newest event and `seen`.

        Without an account it is the newest event of no account, which is a garment's.
        Waits up to 2 s. Raises `Behind` then, `BeyondLog` when `seen` is in the future,
        `AccountErased` when nobody has this account (any more), so that its tokens die with it,
        and `Unavailable` when Postgres does not answer.
        """
        statement = _statement(question, account is None, frozenset(parameters))
        values = {"account": account, **parameters}
        deadline = asyncio.get_running_loop().time() + WAIT_S
        for n in range(10_000):
            rows = await self._in_turn(statement, values)
            if rows and seen > rows[0]["head"]:
                raise BeyondLog(f"the log has not reached position {seen}")
            if rows and not rows[0]["known"]:
                raise AccountErased("there is no such account; log in again")
            if rows and _reached(rows[0], seen):
                return _answer(question, rows)
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(LOOK_AGAIN_S[min(n, len(LOOK_AGAIN_S) - 1)])
        raise Behind("your last change is still being prepared; try again in a moment")

    async def migrated(self) -> bool:
        """Whether the read models are there to be asked."""
        try:
            return bool(await self._in_turn(LIVE, {}))
        except psycopg.errors.UndefinedTable:
            return False

    async def _in_turn(self, statement: "_Statement", values: dict[str, Any]) -> list[DictRow]:
        answer = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(statement, []).append(_Ask(values, answer))
        if len(self._workers) < WORKERS:
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        rows: list[DictRow] = await answer
        return rows

    async def _work(self) -> None:
        while self._waiting:
            statement, asks = self._next()
            try:
                rows = await self._fetch(statement.sql, statement.values(asks))
            except Exception as error:
                _refuse(asks, error)
            else:
                _hand_out(asks, rows)

    def _next(self) -> "tuple[_Statement, list[_Ask]]":
        """The asks that have waited longest and what shares their statement."""
        statement = next(iter(self._waiting))
        asks = self._waiting.pop(statement)
        most = MOST_TOGETHER if statement.shared else 1
        if asks[most:]:
            self._waiting[statement] = asks[most:]  # behind the others
        return statement, asks[:most]

    async def _fetch(self, sql: LiteralString, values: dict[str, Any]) -> list[DictRow]:
        async with self._borrow() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            return await (await cursor.execute(sql, values)).fetchall()


class _Ask(NamedTuple):
    """What somebody asks, and where the rows go."""

    values: dict[str, Any]
    answer: asyncio.Future[list[DictRow]]


class _Statement(NamedTuple):
    """SQL that answers one ask, or many when it is shared; ``columns`` are those of `ask`."""

    sql: LiteralString
    models: tuple[str, ...]
    columns: tuple[str, ...]
    shared: bool

    def values(self, asks: "list[_Ask]") -> dict[str, Any]:
        """The parameters for these asks."""
        arrays = {name: [ask.values[name] for ask in asks] for name in self.columns}
        alone = {} if self.shared else asks[0].values
        return {**alone, **arrays, "models": list(self.models)}


LIVE: Final = _Statement(
    """-- Is there a live read model?
SELECT 1 AS n FROM atelier_projections WHERE live LIMIT 1""",
    models=(),
    columns=(),
    shared=False,
)


@functools.cache
def _statement(question: Question[Any], of_nobody: bool, given: frozenset[str]) -> _Statement:
    shared = given <= question.types.keys()
    types = {"account": "uuid"} | (dict(question.types) if shared else {})
    asked = question.sql
    for name in types:
        asked = asked.replace(f"%({name})s", f'ask."{name}"')
    sql = (
        FRESH.replace("{theirs}", OF_NOBODY if of_nobody else OF_ACCOUNT)
        .replace("{arrays}", ", ".join(f"%({name})s::{kind}[]" for name, kind in types.items()))
        .replace("{columns}", ", ".join(f'"{name}"' for name in types))
        .replace("{question}", asked)
    )
    return _Statement(sql, question.models, tuple(types), shared)


def _hand_out(asks: list[_Ask], rows: list[DictRow]) -> None:
    of: dict[int, list[DictRow]] = {}
    for row in rows:
        of.setdefault(row["n"], []).append(row)
    for n, ask in enumerate(asks, start=1):
        if not ask.answer.done():  # whoever asked may have gone
            ask.answer.set_result(of.get(n, []))


def _refuse(asks: list[_Ask], error: Exception) -> None:
    for ask in asks:
        if not ask.answer.done():
            ask.answer.set_exception(error)


def _reached(row: DictRow, seen: int) -> bool:
    return row["at"] is not None and row["at"] >= max(row["newest"], seen)


def _answer(question: Question[Row], rows: list[DictRow]) -> Answer[Row]:
    found = [msgspec.convert(row, question.row) for row in rows if row["found"]]
    return Answer(rows=found, position=rows[0]["at"], parked=rows[0]["parked"])
