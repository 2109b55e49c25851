"""What may happen to an account."""

import msgspec

from commands.handling import Command
from domain.account import Account, AccountInfoUpdated, AccountRegistered, merged
from domain.errors import NotFound
from domain.events import Event


class RegisterAccount(Command, frozen=True, kw_only=True):
    """Open an account; `number` is one that no account has had."""

    number: int
    email: str
    full_name: str
    date_of_birth: int
    ethnicity: str
    gender: str


class UpdateAccountInfo(Command, frozen=True, kw_only=True):
    """Change what is given; None leaves a field as it is."""

    full_name: str | None = None
    date_of_birth: int | None = None
    ethnicity: str | None = None
    gender: str | None = None


def register(command: RegisterAccount, state: Account) -> list[Event]:
    """An account is registered once."""
    if state.number:
        return []
    return [
        AccountRegistered(
            number=command.number,
            email=command.email,
            full_name=command.full_name,
            date_of_birth=command.date_of_birth,
            ethnicity=command.ethnicity,
            gender=command.gender,
        )
    ]


def update_info(command: UpdateAccountInfo, state: Account) -> list[Event]:
    """Only what differs is an event; an unchanged update is none."""
    if not state.number:
        raise NotFound("there is no such account")
    given = msgspec.convert(command, AccountInfoUpdated, from_attributes=True)
    if merged(state.info, given) == state.info:
        return []
    return [given]
