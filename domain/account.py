"""The account: who a person is to Atelier."""

from typing import Annotated, TypeVar

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


class AccountDetailsUpdated(Event, frozen=True, kw_only=True):
    """A person changed the details of their looks; None leaves a field as it was."""

    stored_name = "account.details_updated.v1"
    personal = (
        "face_shape",
        "skin_tone",
        "body_dimensions",
        "real_world_measurements",
        "hair_style",
        "hair_color",
    )

    face_shape: str | None = None
    skin_tone: int | None = None
    body_dimensions: str | None = None
    real_world_measurements: str | None = None
    hair_style: str | None = None
    hair_color: str | None = None


class AvatarFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of an avatar; ``key`` is its name in the media store, ``size`` in bytes."""

    key: str
    content_type: str
    size: int
    sha256: str


class AvatarUploaded(Event, frozen=True, kw_only=True):
    """A person has a new avatar, which is in the media store already.

    ``replaced`` are the keys of the one before, which the media store shall delete.
    """

    stored_name = "account.avatar_uploaded.v1"

    picture: AvatarFile
    thumbnail: AvatarFile
    replaced: tuple[str, ...] = ()


class VipGranted(Event, frozen=True, kw_only=True):
    """A person may use the vip lane of the queue, where `ATELIER_VIP` asks for that."""

    stored_name = "account.vip_granted.v1"


class VipWithdrawn(Event, frozen=True, kw_only=True):
    """A person may no longer use the vip lane; what they have asked for stays in its lane."""

    stored_name = "account.vip_withdrawn.v1"


class AccountErased(Event, frozen=True, kw_only=True):
    """A person is forgotten; ``number`` names the folder that the media store shall delete.

    The database deletes the account's key, reservations and login codes in the transaction that
    stores this event, so that no crash can come between.
    """

    stored_name = "account.erased.v1"

    number: int


EVENTS: tuple[type[Event], ...] = (
    AccountRegistered,
    AccountInfoUpdated,
    AccountDetailsUpdated,
    AvatarUploaded,
    VipGranted,
    VipWithdrawn,
    AccountErased,
)


# State.


class AccountInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has told about themselves."""

    email: str | None = None
    full_name: str | None = None
    date_of_birth: int | None = None
    ethnicity: str | None = None
    gender: str | None = None


class AccountDetails(msgspec.Struct, frozen=True, kw_only=True):
    """How a person looks, in the words of their client."""

    face_shape: str | None = None
    skin_tone: int | None = None
    body_dimensions: str | None = None
    real_world_measurements: str | None = None
    hair_style: str | None = None
    hair_color: str | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account as its events have made it; ``number`` is 0 before it is registered.

    ``vip`` tells that the vip lane was granted to it.
    """

    number: int = 0
    info: AccountInfo = AccountInfo()
    details: AccountDetails = AccountDetails()
    avatar: tuple[AvatarFile, ...] = ()
    vip: bool = False
    erased: bool = False


Told = TypeVar("Told", AccountInfo, AccountDetails)

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
        case AccountDetailsUpdated():
            return msgspec.structs.replace(state, details=merged(state.details, event))
        case AvatarUploaded():
            return msgspec.structs.replace(state, avatar=(event.picture, event.thumbnail))
        case VipGranted():
            return msgspec.structs.replace(state, vip=True)
        case VipWithdrawn():
            return msgspec.structs.replace(state, vip=False)
        case AccountErased():
            return Account(number=state.number, erased=True)
        case _:
            return state


def merged(told: Told, update: AccountInfoUpdated | AccountDetailsUpdated) -> Told:
    """What was told, with the fields that the update gives."""
    given = {k: v for k, v in msgspec.structs.asdict(update).items() if v is not None}
    return msgspec.structs.replace(told, **given)
