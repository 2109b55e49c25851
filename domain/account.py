"""The account: who a person is to Atelier."""

from typing import Annotated
from uuid import UUID

import msgspec

from domain.events import Event

Email = Annotated[str, msgspec.Meta(max_length=254, description="An email address")]
FullName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
BirthDate = Annotated[int, msgspec.Meta(description="Unix seconds, negative before 1970")]
FreeText = Annotated[str, msgspec.Meta(max_length=64)]


# Events. Their stored names are stored for ever.


class AccountRegistered(Event, frozen=True, kw_only=True):
    """A person opened an account; ``number`` names their folder in the media store."""

    stored_name = "account.registered.v1"
    personal = ("email", "full_name", "date_of_birth", "ethnicity", "gender")

    number: int
    email: str | None
    full_name: str | None
    date_of_birth: int | None
    ethnicity: str | None
    gender: str | None


class AccountInfoUpdated(Event, frozen=True, kw_only=True):
    """A person changed what they had told about themselves; None leaves a field as it was."""

    stored_name = "account.info_updated.v1"
    personal = ("full_name", "date_of_birth", "ethnicity", "gender")

    full_name: str | None = None
    date_of_birth: int | None = None
    ethnicity: str | None = None
    gender: str | None = None


EVENTS: tuple[type[Event], ...] = (AccountRegistered, AccountInfoUpdated)


# State.


class AccountInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has told about themselves."""

    email: str | None = None
    full_name: str | None = None
    date_of_birth: int | None = None
    ethnicity: str | None = None
    gender: str | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account as its events have made it; ``number`` is 0 before it is registered."""

    number: int = 0
    info: AccountInfo = AccountInfo()


initial = Account()


def evolve(state: Account, event: Event) -> Account:
    """Apply one event to the account."""
    match event:
        case AccountRegistered():
            return Account(
                number=event.number, info=msgspec.convert(event, AccountInfo, from_attributes=True)
            )
        case AccountInfoUpdated():
            return msgspec.structs.replace(state, info=merged(state.info, event))
        case _:
            return state


def merged(info: AccountInfo, update: AccountInfoUpdated) -> AccountInfo:
    """The info with the fields that the update gives."""
    given = {k: v for k, v in msgspec.structs.asdict(update).items() if v is not None}
    return msgspec.structs.replace(info, **given)


AccountId = UUID
