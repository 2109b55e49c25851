"""Who is this account?"""

from typing import Any, LiteralString
from uuid import UUID

import msgspec
from msgspec.structs import asdict, replace

from domain.account import (
    AccountDetailsUpdated,
    AccountErased,
    AccountInfoUpdated,
    AccountRegistered,
    AvatarUploaded,
)
from domain.events import Event, Recorded
from projections.model import Projection
from projections.reading import Answer, Question, Reader
from projections.rows import Rows, Table

TABLE: LiteralString = """
CREATE TABLE {table} (
    account       uuid PRIMARY KEY,
    number        integer NOT NULL,
    email         text,
    full_name     text,
    date_of_birth bigint,
    ethnicity     text,
    gender        text,
    face_shape    text,
    skin_tone     bigint,
    body_dimensions         bytea,  -- opaque UTF-8: text could not hold a NUL
    real_world_measurements bytea,
    hair_style    text,
    hair_color    text,
    avatar_key           text,
    avatar_thumbnail_key text
)"""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table."""

    account: UUID
    number: int
    email: str | None
    full_name: str | None
    date_of_birth: int | None
    ethnicity: str | None
    gender: str | None
    face_shape: str | None = None
    skin_tone: int | None = None
    body_dimensions: str | None = None
    real_world_measurements: str | None = None
    hair_style: str | None = None
    hair_color: str | None = None
    avatar_key: str | None = None
    avatar_thumbnail_key: str | None = None


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """An account as `/get_user_info` shows it; personal fields are None once it is erased."""

    account: UUID
    number: int
    email: str | None
    full_name: str | None
    date_of_birth: int | None
    ethnicity: str | None
    gender: str | None


class DetailsRow(msgspec.Struct, frozen=True, kw_only=True):
    """What an account has told of its looks; None where it has told nothing."""

    face_shape: str | None
    skin_tone: int | None
    body_dimensions: bytes | None
    real_world_measurements: bytes | None
    hair_style: str | None
    hair_color: str | None


class AvatarRow(msgspec.Struct, frozen=True, kw_only=True):
    """The media store's keys of an avatar."""

    avatar_key: str
    avatar_thumbnail_key: str


def fold(rows: Rows[Account], recorded: Recorded) -> None:
    """How an event changes the accounts."""
    event = recorded.event
    if isinstance(event, AccountRegistered):
        rows.put(Account(account=recorded.aggregate_id, **asdict(event)))
    elif isinstance(event, AccountErased):
        rows.remove(recorded.aggregate_id)
    elif row := rows.get(recorded.aggregate_id):
        rows.put(replace(row, **_changes(event)))


def _changes(event: Event) -> dict[str, Any]:
    """The columns that an event sets; what it does not tell stays as it is."""
    match event:
        case AccountInfoUpdated():
            return _told(asdict(event))
        case AccountDetailsUpdated():
            details = asdict(event)
            return _told(details | {name: _hexadecimal(details[name]) for name in OPAQUE})
        case AvatarUploaded():
            picture, thumbnail = event.picture.key, event.thumbnail.key
            return {"avatar_key": picture, "avatar_thumbnail_key": thumbnail}
        case _:
            return {}


def _told(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _hexadecimal(text: str | None) -> str | None:
    return None if text is None else "\\x" + text.encode().hex()


OPAQUE = ("body_dimensions", "real_world_measurements")

PROJECTION = Projection(
    name="accounts",
    table=Table(row=Account, key=("account",), sql=TABLE),
    uses=(
        AccountRegistered,
        AccountInfoUpdated,
        AccountDetailsUpdated,
        AvatarUploaded,
        AccountErased,
    ),
    personal=True,
    fold=fold,
)

ACCOUNT = Question(
    models=("accounts",),
    row=AccountRow,
    sql="""-- What is known of one account?
SELECT account, number, email, full_name, date_of_birth, ethnicity, gender
  FROM atelier_accounts WHERE account = %(account)s""",
)


DETAILS = Question(
    models=("accounts",),
    row=DetailsRow,
    sql="""-- How does this account look?
SELECT face_shape, skin_tone, body_dimensions, real_world_measurements, hair_style, hair_color
  FROM atelier_accounts WHERE account = %(account)s""",
)

AVATAR = Question(
    models=("accounts",),
    row=AvatarRow,
    sql="""-- By which picture is this account shown?
SELECT avatar_key, avatar_thumbnail_key
  FROM atelier_accounts WHERE account = %(account)s AND avatar_key IS NOT NULL""",
)


async def account(reader: Reader, account: UUID, *, seen: int = 0) -> Answer[AccountRow]:
    """The account, or no row."""
    return await reader.ask(ACCOUNT, account, seen=seen)


async def details(reader: Reader, account: UUID, *, seen: int = 0) -> Answer[DetailsRow]:
    """What the account has told of its looks, or no row."""
    return await reader.ask(DETAILS, account, seen=seen)


async def avatar(reader: Reader, account: UUID, *, seen: int = 0) -> Answer[AvatarRow]:
    """The account's avatar, or no row."""
    return await reader.ask(AVATAR, account, seen=seen)
