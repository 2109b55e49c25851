"""Who is this account?"""

from typing import LiteralString
from uuid import UUID

import msgspec

from domain.account import (
    AccountDetailsUpdated,
    AccountInfoUpdated,
    AccountRegistered,
    AvatarUploaded,
)
from domain.events import Recorded
from projections.model import Projection, Statement
from projections.reading import Answer, Question, Reader

TABLES: LiteralString = """
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

INSERT: LiteralString = """-- A new account.
INSERT INTO {table} (account, number, email, full_name, date_of_birth, ethnicity, gender)
VALUES (%(account)s, %(number)s, %(email)s, %(full_name)s,
        %(date_of_birth)s, %(ethnicity)s, %(gender)s)"""

UPDATE: LiteralString = """-- What an account tells about itself; null leaves a column as it is.
UPDATE {table} SET full_name = coalesce(%(full_name)s, full_name),
                   date_of_birth = coalesce(%(date_of_birth)s, date_of_birth),
                   ethnicity = coalesce(%(ethnicity)s, ethnicity),
                   gender = coalesce(%(gender)s, gender)
 WHERE account = %(account)s"""


UPDATE_DETAILS: LiteralString = """-- How an account looks; null leaves a column as it is.
UPDATE {table} SET face_shape = coalesce(%(face_shape)s, face_shape),
                   skin_tone = coalesce(%(skin_tone)s, skin_tone),
                   body_dimensions = coalesce(%(body_dimensions)s, body_dimensions),
                   real_world_measurements =
                       coalesce(%(real_world_measurements)s, real_world_measurements),
                   hair_style = coalesce(%(hair_style)s, hair_style),
                   hair_color = coalesce(%(hair_color)s, hair_color)
 WHERE account = %(account)s"""

SHOW: LiteralString = """-- The avatar of an account.
UPDATE {table} SET avatar_key = %(picture)s, avatar_thumbnail_key = %(thumbnail)s
 WHERE account = %(account)s"""


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


def apply(recorded: Recorded) -> list[Statement]:
    """How an event changes the accounts."""
    event, account = recorded.event, recorded.aggregate_id
    match event:
        case AccountRegistered():
            return [Statement(INSERT, {"account": account, **msgspec.structs.asdict(event)})]
        case AccountInfoUpdated():
            return [Statement(UPDATE, {"account": account, **msgspec.structs.asdict(event)})]
        case AccountDetailsUpdated():
            details = msgspec.structs.asdict(event)
            opaque = {name: _utf8(details[name]) for name in OPAQUE}
            return [Statement(UPDATE_DETAILS, {"account": account, **details, **opaque})]
        case AvatarUploaded():
            keys = {"picture": event.picture.key, "thumbnail": event.thumbnail.key}
            return [Statement(SHOW, {"account": account, **keys})]
        case _:
            return []


def _utf8(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


OPAQUE = ("body_dimensions", "real_world_measurements")

PROJECTION = Projection(
    name="accounts",
    tables=TABLES,
    uses=(AccountRegistered, AccountInfoUpdated, AccountDetailsUpdated, AvatarUploaded),
    personal=True,
    apply=apply,
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
