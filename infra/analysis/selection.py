"""Which events somebody wants to see."""

from typing import Final
from uuid import UUID

import msgspec
from psycopg import sql

from infra.log.recorder import StoredRecord

END: Final = 2**63 - 1


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Events from position ``first`` to ``last``, both included, that are all that is named here.

    ``types`` are stored names, of which an event has one; no names are all names.
    """

    first: int = 1
    last: int = END
    types: tuple[str, ...] = ()
    aggregate: UUID | None = None
    account: UUID | None = None

    def between(self, first: int, last: int) -> "Selection":
        """What of it lies between two positions, both included."""
        first, last = max(first, self.first), min(last, self.last)
        return msgspec.structs.replace(self, first=first, last=last)

    def has(self, event: StoredRecord) -> bool:
        """Whether the event is among them."""
        return (
            self.first <= event.id <= self.last
            and (not self.types or event.topic in self.types)
            and (self.aggregate is None or event.originator_id == self.aggregate)
            and (self.account is None or event.account == self.account)
        )

    def condition(self) -> sql.Composed:
        """The same as a condition on the log's columns, with every value written out."""
        terms = [sql.SQL("position BETWEEN {} AND {}").format(self.first, self.last)]
        if self.types:
            terms.append(sql.SQL("type = ANY({})").format(list(self.types)))
        if self.aggregate is not None:
            terms.append(sql.SQL("aggregate_id = {}").format(self.aggregate))
        if self.account is not None:
            terms.append(sql.SQL("account = {}").format(self.account))
        return sql.SQL(" AND ").join(terms)
