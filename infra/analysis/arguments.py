"""What people write, on the command line and in Python, turned into what it selects."""

import argparse
import difflib
import fnmatch
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from psycopg import sql

from domain.account import AccountRegistered
from domain.catalogue import CATALOGUE
from domain.errors import AtelierError
from domain.events import Event
from domain.reservations import EMAIL
from infra.analysis.access import Access
from infra.analysis.reading import first_at
from infra.analysis.selection import END, Selection
from infra.log.event_store import EventLog
from infra.log.keys import email_key

Place = int | datetime
GivenPlace = str | int | date  # what a place is made of
GivenTypes = str | type[Event] | Sequence[str | type[Event]]

AGO: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

REGISTERED: Final = sql.SQL("""-- Which account has this number?
SELECT aggregate_id FROM atelier_events
 WHERE type = {} AND (state::json ->> 'number')::integer = {}""")

RESERVED: Final = sql.SQL("""-- Whose is this address?
SELECT owner FROM atelier_reservations WHERE scope = {} AND key = {}""")


class BadArgument(AtelierError):
    """An argument does not say what it should."""

    code = "bad_argument"


def place(given: GivenPlace, option: str) -> Place:
    """A position (or offset), or a moment: a time, a day by its name, or how long ago."""
    if isinstance(given, int):
        return given
    text = str(given)
    if re.fullmatch(r"\d{1,18}", text):
        return int(text)
    try:
        return _moment(text)
    except (ValueError, OverflowError) as error:
        raise BadArgument(
            f"{option} {text} is neither a position (1200), nor a time (now, today, yesterday,"
            " 2026-11-22 or 2026-11-22T10:30:00, in UTC unless it ends in an offset such as"
            " +01:00), nor how long ago (90s, 15m, 2h, 3d)"
        ) from error


def _moment(text: str) -> datetime:
    now = datetime.now(UTC)
    today = datetime.combine(now, time(), UTC)
    named = {"now": now, "today": today, "yesterday": today - timedelta(days=1)}
    if text in named:
        return named[text]
    if ago := re.fullmatch(r"(\d+)([smhd])", text):
        return now - timedelta(**{AGO[ago[2]]: int(ago[1])})
    if text.isdecimal():
        raise ValueError("too large for a position")
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def places(
    begin: GivenPlace | None, end: GivenPlace | None, options: tuple[str, str] = ("--from", "--to")
) -> tuple[Place | None, Place | None]:
    """Both ends of a span. Raises `BadArgument` when it ends before it begins."""
    first = None if begin is None else place(begin, options[0])
    last = None if end is None else place(end, options[1])
    backwards = isinstance(first, int) and isinstance(last, int) and first > last
    # A span ends before the time that ends it, so that between equal ones there is nothing either.
    empty = isinstance(first, datetime) and isinstance(last, datetime) and first >= last
    if backwards or empty:
        raise BadArgument(
            f"{options[0]} {begin} does not come before {options[1]} {end}:"
            " there is nothing between them"
        )
    return first, last


def first_position(log: EventLog, given: GivenPlace | None, option: str = "--from") -> int:
    """The first position that is meant: from a time on, or from a position on."""
    if given is None:
        return 1
    found = place(given, option)
    return first_at(log, found) if isinstance(found, datetime) else max(found, 1)


def last_position(
    log: EventLog, given: GivenPlace | None, option: str = "--to", *, inclusive: bool = False
) -> int:
    """The last position that is meant: up to a position, or before a time (`inclusive`: at it)."""
    if given is None:
        return END
    found = place(given, option)
    if isinstance(found, int):
        return found
    return first_at(log, found + timedelta(microseconds=1) if inclusive else found) - 1


def types(given: GivenTypes, option: str = "--type") -> tuple[str, ...]:
    """The stored names that are meant; `*` stands for anything, and a name may lack its version."""
    found: list[str] = []
    for each in [given] if isinstance(given, str | type) else given:
        text = each if isinstance(each, str) else each.stored_name
        matching = [name for name in CATALOGUE if _is_meant(name, text)]
        if not matching:
            near = difflib.get_close_matches(text, CATALOGUE, n=1, cutoff=0.4)
            meant = f"did you mean {near[0]}? " if near else ""
            raise BadArgument(
                f"{option} {text} is no event: {meant}`atelier events catalog --names` lists them"
                " all"
            )
        found += matching
    return tuple(dict.fromkeys(found))


def _is_meant(name: str, text: str) -> bool:
    return fnmatch.fnmatchcase(name, text) or name.rpartition(".v")[0] == text


def identifier(given: UUID | str, option: str) -> UUID:
    """A UUID."""
    try:
        return UUID(str(given))
    except ValueError as error:
        raise BadArgument(
            f"{option} {given} is no id: an aggregate has one such as"
            " 8f14e45f-ceea-467f-a3c1-d7e4f5b6a789, as `atelier events tail` shows it"
        ) from error


def user(access: Access, given: UUID | str | int, option: str = "--user") -> UUID:
    """The account that is meant: by its id, its number or its email address."""
    text = str(given)
    if "@" in text:
        access.settings.require("hash_key")
        key = email_key(text, access.settings.hash_key)
        found = access.rows(RESERVED.format(EMAIL, key))
    elif text.isdecimal():
        found = access.rows(REGISTERED.format(AccountRegistered.stored_name, int(text)))
    else:
        return identifier(text, option)
    if not found:
        raise BadArgument(f"{option} {text}: there is no such account (any more)")
    account: UUID = found[0][0]
    return account


def filters(access: Access, given: argparse.Namespace) -> Selection:
    """What a command's options select, wherever it lies in the log."""
    return Selection(
        types=types(given.type),
        aggregate=given.aggregate and identifier(given.aggregate, "--aggregate"),
        account=given.user and user(access, given.user),
    )


def span(log: EventLog, given: argparse.Namespace) -> tuple[int, int]:
    """The first and the last position that a command's options name."""
    first, last = places(given.first, given.last)
    return first_position(log, first), last_position(log, last)
