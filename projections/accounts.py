"""Who is this account?"""

from typing import LiteralString
from uuid import UUID

import msgspec

from domain.account import AccountInfoUpdated, AccountRegistered
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
    gender        text
)"""

INSERT: LiteralString = """-- A new account.
INSERT INTO {table} VALUES (%(account)s, %(number)s, %(email)s, %(full_name)s,
                            %(date_of_birth)s, %(ethnicity)s, %(gender)s)"""

UPDATE: LiteralString = """-- What an account tells about itself; null leaves a column as it is.
UPDATE {table} SET full_name = coalesce(%(full_name)s, full_name),
                   date_of_birth = coalesce(%(date_of_birth)s, date_of_birth),
                   ethnicity = coalesce(%(ethnicity)s, ethnicity),
                   gender = coalesce(%(gender)s, gender)
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


def apply(recorded: Recorded) -> list[Statement]:
    """How an event changes the accounts."""
    event, account = recorded.event, recorded.aggregate_id
    match event:
        case AccountRegistered():
            return [Statement(INSERT, {"account": account, **msgspec.structs.asdict(event)})]
        case AccountInfoUpdated():
            return [Statement(UPDATE, {"account": account, **msgspec.structs.asdict(event)})]
        case _:
            return []


PROJECTION = Projection(name="accounts", tables=TABLES, apply=apply)

ACCOUNT = Question(
    models=("accounts",),
    row=AccountRow,
    sql="""-- What is known of one account?
SELECT account, number, email, full_name, date_of_birth, ethnicity, gender
  FROM atelier_accounts WHERE account = %(account)s""",
)


async def account(reader: Reader, account: UUID, *, seen: int = 0) -> Answer[AccountRow]:
    """The account, or no row."""
    return await reader.ask(ACCOUNT, account, seen=seen)
