"""What may happen to an account."""

import msgspec

from commands.handling import Command
from domain import errors
from domain.account import (
    Account,
    AccountDetailsUpdated,
    AccountErased,
    AccountInfoUpdated,
    AccountRegistered,
    AvatarFile,
    AvatarUploaded,
    VipGranted,
    VipWithdrawn,
    merged,
)
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


class UpdateAccountDetails(Command, frozen=True, kw_only=True):
    """Change what is given; None leaves a field as it is."""

    face_shape: str | None = None
    skin_tone: int | None = None
    body_dimensions: str | None = None
    real_world_measurements: str | None = None
    hair_style: str | None = None
    hair_color: str | None = None


class UploadAvatar(Command, frozen=True, kw_only=True):
    """Show the person by another picture; both files are in the media store already."""

    picture: AvatarFile
    thumbnail: AvatarFile


class GrantVip(Command, frozen=True, kw_only=True):
    """Let a person use the vip lane of the queue."""


class WithdrawVip(Command, frozen=True, kw_only=True):
    """Let a person use the vip lane no more."""


class EraseAccount(Command, frozen=True, kw_only=True):
    """Forget a person for good."""


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
    _check_lives(state)
    given = msgspec.convert(command, AccountInfoUpdated, from_attributes=True)
    if merged(state.info, given) == state.info:
        return []
    return [given]


def update_details(command: UpdateAccountDetails, state: Account) -> list[Event]:
    """Only what differs is an event; an unchanged update is none."""
    _check_lives(state)
    given = msgspec.convert(command, AccountDetailsUpdated, from_attributes=True)
    if merged(state.details, given) == state.details:
        return []
    return [given]


def upload_avatar(command: UploadAvatar, state: Account) -> list[Event]:
    """The newest avatar counts, and the files of the one before are to go."""
    _check_lives(state)
    files = (command.picture, command.thumbnail)
    if files == state.avatar:
        return []
    kept = {file.key for file in files}
    replaced = tuple(file.key for file in state.avatar if file.key not in kept)
    return [AvatarUploaded(picture=command.picture, thumbnail=command.thumbnail, replaced=replaced)]


def grant_vip(_command: GrantVip, state: Account) -> list[Event]:
    """What is granted already is not granted once more."""
    _check_lives(state)
    return [] if state.vip else [VipGranted()]


def withdraw_vip(_command: WithdrawVip, state: Account) -> list[Event]:
    """Only what was granted can be withdrawn."""
    _check_lives(state)
    return [VipWithdrawn()] if state.vip else []


def erase(_command: EraseAccount, state: Account) -> list[Event]:
    """An account is erased once."""
    if not state.number:
        raise errors.NotFound("there is no such account")
    return [] if state.erased else [AccountErased(number=state.number)]


def _check_lives(state: Account) -> None:
    if state.erased:
        raise errors.AccountErased("the account has been erased")
    if not state.number:
        raise errors.NotFound("there is no such account")
