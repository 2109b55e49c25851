"""The rows of a read model in memory, while a batch of events is folded into them."""

import functools
from collections.abc import Callable, Collection, Iterable
from operator import attrgetter
from typing import Any, Generic, LiteralString, TypeVar
from uuid import UUID

import msgspec
import psycopg

Row = TypeVar("Row", bound=msgspec.Struct)
Key = tuple[Any, ...]
Connection = psycopg.Connection[tuple[Any, ...]]

# Rows travel as JSON: one parameter for any number of them, whatever the types of the columns.
LOAD: LiteralString = """-- Which of these rows are there?
SELECT coalesce(json_agg(t), '[]')::text
  FROM json_populate_recordset(NULL::{table}, %s::json) k JOIN {table} t USING ({key})"""

KNOWN: LiteralString = """-- Which of these accounts have not been erased?
SELECT account FROM atelier_keys WHERE account = ANY(%s)"""

FORGET: LiteralString = """-- Whoever is erased leaves no rows behind.
DELETE FROM {table} WHERE account = ANY(%s)"""

REMOVE: LiteralString = """-- These rows are no more.
DELETE FROM {table} t USING json_populate_recordset(NULL::{table}, %s::json) k
 WHERE {same_key}"""

PUT: LiteralString = """-- These rows are new, or have changed.
INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s::json)
    ON CONFLICT ({key}) DO UPDATE SET {columns}"""


class Table(msgspec.Struct, Generic[Row], frozen=True, kw_only=True):
    """What a read model's rows are: a struct with a member for each column, and the key.

    ``sql`` makes one generation of the table and its indexes; it names it ``{table}``. Bytes are
    told as hexadecimal text, ``\\\\x…``, as Postgres does.
    """

    row: type[Row]
    key: tuple[LiteralString, ...]
    sql: LiteralString

    @functools.cache  # noqa: B019 - there are as many as read models
    def statement(self, text: LiteralString, name: str) -> LiteralString:
        """A statement about the generation of this name."""
        others = [each for each in self.row.__struct_fields__ if each not in self.key]
        return (
            text.replace("{same_key}", " AND ".join(f"t.{each} = k.{each}" for each in self.key))
            .replace("{columns}", ", ".join(f"{each} = EXCLUDED.{each}" for each in others))
            .replace("{key}", ", ".join(self.key))
            .replace("{table}", name)
        )


class Rows(Generic[Row]):
    """The rows that a batch may change: a fold reads and changes them here, and nowhere else.

    What a fold reads must have been loaded, hence be named by the projection's ``needs``.
    """

    def __init__(self, table: Table[Row]) -> None:
        self._table = table
        self._key_of: Callable[[Row], Any] = attrgetter(*table.key)
        self._rows: dict[Any, Row | None] = {}
        self._changed: dict[Any, None] = {}
        self._forgotten: list[UUID] = []
        self._known: set[UUID] = set()
        self._before: list[tuple[Any, Row | None, bool, bool]] = []

    # What folds use.

    def get(self, *key: Any) -> Row | None:
        """The row of a key, or None."""
        return self._rows[_bare(key)]

    def put(self, row: Row) -> None:
        """Store a row in place of the one with its key, if there is one."""
        self._set(self._key_of(row), row)

    def remove(self, *key: Any) -> None:
        """Have no row of this key."""
        self._set(_bare(key), None)

    def forget(self, account: UUID | None) -> None:
        """Have no row of this account: it has been erased."""
        assert account is not None, "who is erased has an account"
        self._forgotten.append(account)
        for key, row in list(self._rows.items()):
            if row is not None and row.account == account:  # type: ignore[attr-defined]
                self._set(key, None)

    def knows(self, account: UUID | None) -> bool:
        """Whether the account has not been erased; what comes late for one that has is dropped."""
        return account in self._known

    # What the runner uses.

    def load(
        self,
        connection: Connection,
        name: str,
        keys: Collection[Key],
        new: Collection[Key],
        accounts: Collection[UUID],
    ) -> None:
        """Read the rows of these keys, and which of these accounts are known, in one exchange.

        Of `new` keys there can be no rows yet.
        """
        wanted = [dict(zip(self._table.key, key, strict=True)) for key in keys]
        load = self._table.statement(LOAD, name)
        with connection.pipeline():
            found = connection.execute(load, [_json(wanted)]) if wanted else None
            known = connection.execute(KNOWN, [list(accounts)]) if accounts else ()
        self._rows = dict.fromkeys(_bare(key) for key in (*keys, *new))
        self._known = {account for (account,) in known}
        if found is not None:
            ((text,),) = found
            for row in msgspec.json.decode(text, type=list[self._table.row]):  # type: ignore[name-defined]
                self._rows[self._key_of(row)] = row

    def keep(self) -> None:
        """Whatever was changed so far stays."""
        self._before.clear()

    def undo(self) -> None:
        """Take back what was changed since the last `keep`."""
        while self._before:
            key, row, was_there, was_changed = self._before.pop()
            if was_there:
                self._rows[key] = row
            else:
                del self._rows[key]
            if not was_changed:
                del self._changed[key]

    def write(self, connection: Connection, name: str) -> None:
        """Store what has changed, in the connection's transaction."""
        table = self._table
        if self._forgotten:
            connection.execute(table.statement(FORGET, name), [self._forgotten])
        put, removed = [], []
        for key in self._changed:
            row = self._rows[key]
            if row is not None:
                put.append(row)
            else:
                parts = key if len(table.key) > 1 else (key,)
                removed.append(dict(zip(table.key, parts, strict=True)))
        if removed:
            connection.execute(table.statement(REMOVE, name), [_json(removed)])
        if put:
            connection.execute(table.statement(PUT, name), [_json(put)])

    def _set(self, key: Any, row: Row | None) -> None:
        self._before.append((key, self._rows.get(key), key in self._rows, key in self._changed))
        self._rows[key] = row
        self._changed[key] = None


def _bare(key: Key) -> Any:
    """What `attrgetter` gives for the key's columns."""
    return key if len(key) > 1 else key[0]


def _json(rows: Iterable[Any]) -> str:
    return msgspec.json.encode(rows).decode()
