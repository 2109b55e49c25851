"""The details of people's looks, in the words of their clients."""

from typing import Annotated, Final

import msgspec
from litestar import Response, get, post
from litestar.params import JSONBody

from api.edge import origin
from api.edge.auth import SignedIn
from api.edge.errors import OF_COMMAND, OF_JSON, OF_READ, OF_TOKEN, documented
from api.edge.positions import Seen, shown, written
from api.edge.wire import Check, Opaque, StrictRequest
from api.resources.account import Message
from api.services import Provided, Services
from commands import Origin, Outcome, execute
from commands.account import UpdateAccountDetails
from domain.account import FreeText
from infra.access.tokens import Unauthorized
from projections import accounts
from projections.accounts import DetailsRow

MOST_BYTES: Final = 16 * 1024  # of an opaque text in UTF-8
LARGEST_BODY: Final = 256 * 1024  # bytes; two such texts, each byte of them escaped as \u0000

Words = Annotated[
    str,
    msgspec.Meta(
        max_length=MOST_BYTES,
        description=f"text of at most {MOST_BYTES} bytes, which comes back as it was",
    ),
    Check(lambda text: len(text.encode()) <= MOST_BYTES, f"text of at most {MOST_BYTES} bytes"),
    Opaque,
]
Tone = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class DetailsUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; fields that are left out stay as they are."""

    face_shape: FreeText | None = None
    skin_tone: Tone | None = None
    body_dimensions: Words | None = None
    real_world_measurements: Words | None = None
    hair_style: FreeText | None = None
    hair_color: FreeText | None = None


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """How the person looks; null where they have told nothing."""

    face_shape: str | None
    skin_tone: int | None
    body_dimensions: str | None
    real_world_measurements: str | None
    hair_style: str | None
    hair_color: str | None


@get(
    "/get_user_details",
    tags=["User Detail"],
    responses=documented(*OF_TOKEN, *OF_READ),
)
async def get_user_details(request: SignedIn, services: Provided, seen: Seen) -> Response[Details]:
    """How the person looks."""
    answer = await services.in_time(accounts.details(services.reader, request.user, seen=seen))
    if not answer.rows:
        raise Unauthorized("there is no such account; log in again")
    return shown(_details(answer.rows[0]), answer)


@post(
    "/update_user_details",
    status_code=200,
    tags=["User Detail"],
    request_class=StrictRequest,
    request_max_body_size=LARGEST_BODY,
    responses=documented(*OF_TOKEN, *OF_JSON, *OF_COMMAND),
)
async def update_user_details(
    data: JSONBody[DetailsUpdate], request: SignedIn, services: Provided
) -> Response[Message]:
    """Change how the person looks."""
    command = UpdateAccountDetails(
        aggregate_id=request.user, account=request.user, **msgspec.structs.asdict(data)
    )
    outcome = await services.in_thread(_update, command, services, origin.of(request))
    changed = "have been updated" if outcome.events else "were up to date already"
    return written(Message(message=f"The details {changed}."), outcome)


def _update(command: UpdateAccountDetails, services: Services, by: Origin) -> Outcome:
    services.account(command.aggregate_id)
    return execute(command, services.store, by)


def _details(row: DetailsRow) -> Details:
    return Details(
        face_shape=row.face_shape,
        skin_tone=row.skin_tone,
        body_dimensions=_text(row.body_dimensions),
        real_world_measurements=_text(row.real_world_measurements),
        hair_style=row.hair_style,
        hair_color=row.hair_color,
    )


def _text(utf8: bytes | None) -> str | None:
    return None if utf8 is None else utf8.decode()


PRIVATE: Final = [get_user_details, update_user_details]
