"""The rows of a read model in memory, while a batch of events is folded into them."""

import functools
from collections.abc import Callable, Collection, Iterable
from operator import attrgetter
from typing import Any, Final, Generic, LiteralString, TypeVar
from uuid import UUID

import msgspec
import psycopg

from domain.events import Recorded

Row = TypeVar("Row", bound=msgspec.Struct)
Key = Any  # the value of the key's column; of several columns, a tuple of theirs
Connection = psycopg.Connection[tuple[Any, ...]]
Cursor = psycopg.Cursor[tuple[Any, ...]]

# Rows travel as JSON: one parameter for any number of them, whatever the types of the columns.
LOAD: LiteralString = """-- Which of these rows are there?
SELECT coalesce(json_agg(t), '[]')::text
  FROM json_populate_recordset(NULL::{table}, %s::json) k JOIN {table} t USING ({key})"""

LOAD_OF: LiteralString = """-- Which rows have these accounts?
SELECT coalesce(json_agg(t), '[]')::text FROM {table} t WHERE t.account = ANY(%s)"""

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


def ask_known(connection: Connection, events: Iterable[Recorded]) -> Callable[[], set[UUID]]:
    """Ask which accounts of these events have not been erased; gives a function that waits."""
    accounts = {recorded.account for recorded in events if recorded.account}
    if not accounts:
        return set
    found = connection.execute(KNOWN, [list(accounts)], prepare=True)
    return lambda: {account for (account,) in found}


class Table(msgspec.Struct, Generic[Row], frozen=True, kw_only=True):
    """What a read model's rows are: a struct with a member for each column, and the key.

    ``sql`` makes one generation of the table and its indexes; it names it ``{table}``. What it
    makes ``beside`` that, as ``{table}_name``, queries read as ``atelier_…_name``; ``drop`` undoes
    all of it. Bytes are told as hexadecimal text, ``\\\\x…``, as Postgres does. A fold of
    one that is ``by_account`` has all rows of the event's account at hand.
    """

    row: type[Row]
    key: tuple[LiteralString, ...]
    sql: LiteralString
    beside: tuple[LiteralString, ...] = ()
    drop: LiteralString = "DROP TABLE IF EXISTS {table}"
    by_account: bool = False

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

    What a fold reads must have been loaded: the row of the event's aggregate is, unless the
    projection's ``needs`` says otherwise.
    """

    def __init__(self, table: Table[Row]) -> None:
        self._table = table
        self._key_of: Callable[[Row], Key] = attrgetter(*table.key)
        self._rows: dict[Key, Row | None] = {}  # None for keys of which there is no row
        self._of: dict[UUID, dict[Key, Row]] = {}  # by account, where the table is
        self._changes: list[tuple[Key, Row | _Unknown | None]] = []  # with what was before
        self._kept = 0  # of the changes
        self._forgotten: list[UUID] = []
        self._known: Collection[UUID] = ()
        self._found: Cursor | None = None

    # What folds use.

    def get(self, key: Key) -> Row | None:
        """The row of a key, or None."""
        try:
            return self._rows[key]
        except KeyError:
            raise LookupError(
                "a fold reads a row that the projection's `needs` does not name"
            ) from None

    def of(self, account: UUID) -> list[Row]:
        """All rows of the event's account, in no order; only of tables ``by_account``."""
        return list(self._of.get(account, {}).values())

    def put(self, row: Row) -> None:
        """Store a row in place of the one with its key, if there is one."""
        self._set(self._key_of(row), row)

    def remove(self, key: Key) -> None:
        """Have no row of this key."""
        self._set(key, None)

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

    def ask(
        self,
        connection: Connection,
        name: str,
        keys: Collection[Key],
        accounts: Collection[UUID],
    ) -> None:
        """Ask for the rows of these keys, or of these accounts; then `take`."""
        self._rows.update(dict.fromkeys(keys))
        if self._table.by_account and accounts:
            load = self._table.statement(LOAD_OF, name)
            self._found = connection.execute(load, [list(accounts)], prepare=True)
        elif keys:
            load = self._table.statement(LOAD, name)
            self._found = connection.execute(load, [self._as_json(keys)], prepare=True)

    def take(self, new: Collection[Key], known: Collection[UUID]) -> None:
        """Have what was asked for. Of `new` keys there can be no rows yet; `known` are accounts."""
        self._rows.update(dict.fromkeys(new))
        self._known = known
        if self._found is not None:
            ((text,),) = self._found
            for row in _decoder(self._table.row).decode(text):
                self._hold(self._key_of(row), row)

    def keep(self) -> None:
        """Whatever was changed so far stays."""
        self._kept = len(self._changes)

    def undo(self) -> None:
        """Take back what was changed since the last `keep`."""
        while len(self._changes) > self._kept:
            key, row = self._changes.pop()
            if isinstance(row, _Unknown):
                self._hold(key, None)
                del self._rows[key]
            else:
                self._hold(key, row)

    def write(self, connection: Connection, name: str) -> None:
        """Store what has changed, in the connection's transaction."""
        table = self._table
        before: dict[Key, Row | _Unknown | None] = {}
        for key, row in self._changes:
            before.setdefault(key, row)
        put = [row for key in before if (row := self._rows[key]) is not None]
        # What came and went within the batch has never been stored.
        removed = [k for k, row in before.items() if row is not None and self._rows[k] is None]
        if self._forgotten:
            connection.execute(table.statement(FORGET, name), [self._forgotten])
        if removed:
            remove = table.statement(REMOVE, name)
            connection.execute(remove, [self._as_json(removed)], prepare=True)
        if put:
            rows = msgspec.json.encode(put).decode()
            connection.execute(table.statement(PUT, name), [rows], prepare=True)

    def _set(self, key: Key, row: Row | None) -> None:
        self._changes.append((key, self._rows.get(key, UNKNOWN)))
        self._hold(key, row)

    def _hold(self, key: Key, row: Row | None) -> None:
        if self._table.by_account:
            if row is not None:
                self._of.setdefault(row.account, {})[key] = row  # type: ignore[attr-defined]
            elif (gone := self._rows.get(key)) is not None:
                del self._of[gone.account][key]  # type: ignore[attr-defined]
        self._rows[key] = row

    def _as_json(self, keys: Iterable[Key]) -> str:
        names = self._table.key
        if len(names) == 1:
            objects = [{names[0]: key} for key in keys]
        else:
            objects = [dict(zip(names, key, strict=True)) for key in keys]
        return msgspec.json.encode(objects).decode()


class _Unknown:
    """What is told of a key that was not asked for."""


UNKNOWN: Final = _Unknown()


@functools.cache
def _decoder(row: type[Row]) -> "msgspec.json.Decoder[list[Row]]":
    return msgspec.json.Decoder(list[row])  # type: ignore[valid-type]
