"""Asking the read models, never behind what the asker has already done."""

import asyncio
from typing import Any, Generic, LiteralString, TypeVar
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from domain.errors import AtelierError, Unavailable

Row = TypeVar("Row")

WAIT_S = 2.0
LOOK_AGAIN_S = (0.002, 0.004, 0.008, 0.016, 0.025)  # then the last one again and again

# One statement, hence one snapshot: the rows, where the live generation of every model that they
# come from stands, and the newest event of the account.
FRESH: LiteralString = """
WITH standing AS MATERIALIZED (
    SELECT min(p.position) AS at,
           coalesce((SELECT max(e.position) FROM atelier_events e
                      WHERE e.account = %(account)s), 0) AS newest,
           (SELECT h.position FROM atelier_head h) AS head,
           EXISTS (SELECT FROM atelier_parked k JOIN atelier_projections q
                       USING (projection, generation)
                    WHERE q.live AND k.projection = ANY(%(models)s)
                      AND k.account = %(account)s) AS parked
      FROM atelier_projections p WHERE p.live AND p.projection = ANY(%(models)s)
)
SELECT standing.at, standing.newest, standing.head, standing.parked, answer.*
  FROM standing LEFT JOIN LATERAL (SELECT true AS found, asked.* FROM ({question}) asked) answer
    ON true"""


class Behind(AtelierError):
    """The projector has not caught up with the asker's own writes in time."""

    code = "read_model_behind"
    retriable = True


class BeyondLog(AtelierError):
    """The asker claims to have seen a position that the log has not reached."""

    code = "position_beyond_log"


class Question(msgspec.Struct, Generic[Row], frozen=True, kw_only=True):
    """A query over the views of `models`; its parameters include ``account``."""

    models: tuple[str, ...]
    row: type[Row]
    sql: LiteralString


class Answer(msgspec.Struct, Generic[Row], frozen=True, kw_only=True):
    """The rows, the position that they show, and whether a parked event is missing from them."""

    rows: list[Row]
    position: int
    parked: bool


class Reader:
    """Asks over a pool of connections of one event loop."""

    def __init__(self, pool: AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]) -> None:
        self._pool = pool

    async def ask(
        self, question: Question[Row], account: UUID, *, seen: int = 0, **parameters: Any
    ) -> Answer[Row]:
        """Answer once the models have reached the account's newest event and `seen`.

        Waits up to 2 s. Raises `Behind` then, `BeyondLog` when `seen` is in the future, and
        `Unavailable` when Postgres does not answer.
        """
        sql = FRESH.replace("{question}", question.sql)
        values = {"account": account, "models": list(question.models), **parameters}
        deadline = asyncio.get_running_loop().time() + WAIT_S
        for n in range(10_000):
            rows = await self._fetch(sql, values)
            if rows and seen > rows[0]["head"]:
                raise BeyondLog(f"the log has not reached position {seen}")
            if rows and _reached(rows[0], seen):
                return _answer(question, rows)
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(LOOK_AGAIN_S[min(n, len(LOOK_AGAIN_S) - 1)])
        raise Behind("your last change is still being prepared; try again in a moment")

    async def migrated(self) -> bool:
        """Whether the read models are there to be asked."""
        try:
            return bool(await self._fetch("SELECT 1 FROM atelier_projections WHERE live", {}))
        except psycopg.errors.UndefinedTable:
            return False

    async def _fetch(self, sql: LiteralString, values: dict[str, Any]) -> list[DictRow]:
        try:
            async with self._pool.connection() as connection:
                cursor = connection.cursor(row_factory=dict_row)
                return await (await cursor.execute(sql, values)).fetchall()
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
            raise Unavailable("Postgres does not answer; try again in a moment") from error


def _reached(row: DictRow, seen: int) -> bool:
    return row["at"] is not None and row["at"] >= max(row["newest"], seen)


def _answer(question: Question[Row], rows: list[DictRow]) -> Answer[Row]:
    found = [msgspec.convert(row, question.row) for row in rows if row["found"]]
    return Answer(rows=found, position=rows[0]["at"], parked=rows[0]["parked"])
