"""What an event reserves: derived from the event alone, so the log can make it all again."""

from collections.abc import Callable
from typing import Literal
from uuid import UUID

import msgspec

from domain.account import AccountRegistered
from domain.events import NewEvent
from domain.render import RenderCancelled, RenderCompleted, RenderFailed, Requested

EMAIL = "email"
UNFINISHED_TASK = "unfinished_task"


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that is checked and applied in the transaction of the append.

    ``take`` refuses the save when somebody holds ``key`` in ``scope``; ``release`` gives it back;
    ``at_most`` refuses the save when the owner then holds more than ``limit`` keys in the scope.
    """

    kind: Literal["release", "take", "at_most"]
    scope: str
    owner: UUID
    key: str | None = None
    limit: int | None = None


def guards(new: NewEvent, email_key: Callable[[str], str]) -> list[Guard]:
    """The guards of one event; `email_key` hides the address (an HMAC)."""
    match new.event:
        case AccountRegistered(email=str(email)):
            key = email_key(email)
            return [Guard(kind="take", scope=EMAIL, owner=new.aggregate_id, key=key)]
        case Requested(limit=limit) if new.account:
            task = str(new.aggregate_id)
            return [
                Guard(kind="take", scope=UNFINISHED_TASK, owner=new.account, key=task),
                Guard(kind="at_most", scope=UNFINISHED_TASK, owner=new.account, limit=limit),
            ]
        case RenderCompleted() | RenderFailed() | RenderCancelled() if new.account:
            task = str(new.aggregate_id)
            return [Guard(kind="release", scope=UNFINISHED_TASK, owner=new.account, key=task)]
        case _:
            return []
