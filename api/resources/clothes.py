"""The catalogue: uploading its spreadsheet, looking a garment up, and leafing through all."""

import asyncio
import hmac
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import OpenAPIType, Operation, Parameter, Schema
from litestar.params import JSONBody, QueryParameter

from api.edge import limits, origin, uploads
from api.edge.errors import OF_COMMAND, OF_JSON, OF_READ, Invalid, documented
from api.edge.positions import WRITTEN, Seen, shown
from api.edge.wire import StrictRequest
from api.resources.account import Message
from api.resources.gallery import LARGEST_CURSOR, Pagination
from api.resources.garment_rows import LONGEST_URL, read_catalogue
from api.services import Provided, Services
from commands import Origin, execute_all, preview
from commands.garment import ListGarment
from domain.errors import NotFound
from domain.events import Event
from domain.garment import GarmentListed, GarmentRevised, garment_id
from domain.picture import LONGEST_GARMENT_NAME, GarmentName, RenderMode
from infra.access.tokens import Unauthorized
from projections import wardrobe

LARGEST_FILE: Final = 8 * 1024 * 1024  # bytes, with what multipart puts around it
PER_SAVE: Final = 500  # garments; a crash between two saves is mended by sending the file again
UPLOAD_S: Final = 60.0
WORKBOOKS: Final = (
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.ms-excel",
)
KEY: Final = "X-Catalog-Key"

DryRun = Annotated[bool, QueryParameter(description="Store nothing, only report")]
Brand = Annotated[
    str,
    QueryParameter(
        max_length=LONGEST_GARMENT_NAME,
        description="Only garments of this brand, whatever the case",
    ),
]
Text = Annotated[
    str,
    QueryParameter(
        max_length=LONGEST_GARMENT_NAME,
        description="Only garments whose brand or name has words that begin with these",
    ),
]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="How many garments at most")]
Cursor = Annotated[
    int | None,
    QueryParameter(ge=0, le=LARGEST_CURSOR, description="The next_cursor of the page before"),
]
Url = Annotated[str, msgspec.Meta(max_length=LONGEST_URL)]


class Upload(Message, frozen=True, kw_only=True):
    """What the file changed, or with ``dry_run`` would change, in numbers of garments."""

    listed: int
    revised: int
    unchanged: int
    dry_run: bool


class GarmentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whatever is not empty must match, but for case and blanks around it."""

    url: Url = ""
    brand: GarmentName = ""
    name: GarmentName = ""


class GarmentShown(msgspec.Struct, frozen=True, kw_only=True):
    """A garment; its colours and their hex codes are in the same order."""

    gender: str
    colors: list[str]
    sizes: list[str]
    name: str
    render_mode: RenderMode
    brand: str
    colors_hex: list[str]


class Clothes(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the catalogue, the garment that was listed last first."""

    clothes: list[GarmentShown]
    pagination: Pagination


@dataclass
class TakesWorkbook(Operation):
    """The description of a body that Litestar knows nothing of."""

    def __post_init__(self) -> None:
        """Describe it."""
        self.request_body = uploads.described(*WORKBOOKS)
        key = Schema(type=OpenAPIType.STRING)
        told = "The catalogue's key, where it has one"
        self.parameters = [
            *(self.parameters or []),
            Parameter(name=KEY, param_in="header", schema=key, description=told),
        ]


async def may_change_catalogue(
    connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
) -> None:
    """Let only the holder of the catalogue's key in, when there is one.

    It comes as `X-Catalog-Key`, or as `Authorization: Bearer <key>`.
    """
    services: Services = connection.app.state.services
    key = services.settings.catalog_key
    scheme, _, bearer = connection.headers.get("Authorization", "").strip().partition(" ")
    shown = connection.headers.get(KEY) or (bearer if scheme.lower() == "bearer" else "")
    if key and not hmac.compare_digest(shown.strip().encode("latin-1"), key.encode()):
        raise Unauthorized(f"send the catalogue's key in the header {KEY}")


@post(
    "/upload_clothes",
    status_code=200,
    tags=["Clothes"],
    guards=[limits.uploads, may_change_catalogue],  # so that guesses at the key count, too
    operation_class=TakesWorkbook,
    request_max_body_size=LARGEST_FILE,
    responses=documented(
        "malformed",
        "unauthorized",
        "too_large",
        "workbook_too_large",
        "unsupported_workbook",
        "unreadable_workbook",
        "invalid",
        "too_many_requests",
        *OF_COMMAND,
    ),
)
async def upload_clothes(
    request: Request[Any, Any, Any], services: Provided, dry_run: DryRun = False
) -> Response[Upload]:
    """Bring the garments of an Excel file (.xlsx or .xls) into the catalogue.

    The file is the body itself, or the one file of a multipart form. One of the first 20 rows of
    a visible sheet names the columns URL, Brand, Gender, Name, Render Mode, Colors, Colors Hex and
    Sizes, in any order.
    Nothing is stored unless all rows are good. Where the catalogue has a key, it comes in the
    header `X-Catalog-Key`.
    """
    data = await uploads.read(request)
    return await services.in_time(
        asyncio.to_thread(_upload, data, dry_run, services, origin.of(request)), UPLOAD_S
    )


@post(
    "/get_clothes",
    status_code=200,
    tags=["Clothes"],
    request_class=StrictRequest,
    responses=documented(*OF_JSON, *OF_READ, "not_found"),
)
async def get_clothes(
    data: JSONBody[GarmentQuery], services: Provided, seen: Seen
) -> Response[GarmentShown]:
    """Look a garment up by its url, or by brand and name, or by all of them."""
    wanted = msgspec.structs.asdict(data)
    if not any(text.strip() for text in wanted.values()):
        raise Invalid("give a url, or a brand and a name")
    answer = await services.in_time(wardrobe.garment(services.reader, **wanted, seen=seen))
    if not answer.rows:
        raise NotFound("the catalogue has no such garment")
    return shown(msgspec.convert(answer.rows[0], GarmentShown, from_attributes=True), answer)


@get(
    "/clothes",
    tags=["Clothes"],
    responses=documented(*OF_READ, "invalid"),
)
async def browse_clothes(
    services: Provided,
    seen: Seen,
    brand: Brand = "",
    q: Text = "",
    limit: Limit = 10,
    cursor: Cursor = None,
) -> Response[Clothes]:
    """List the garments of the catalogue, the newest first, or those after the cursor."""
    question = wardrobe.page(
        services.reader, brand=brand, text=q, limit=limit, cursor=cursor, seen=seen
    )
    answer = await services.in_time(question)
    following = wardrobe.next_cursor(answer.rows, limit)
    page = Clothes(
        clothes=msgspec.convert(answer.rows[:limit], list[GarmentShown], from_attributes=True),
        pagination=Pagination(limit=limit, next_cursor=following, has_next=following is not None),
    )
    return shown(page, answer)


def _upload(data: bytes, dry_run: bool, services: Services, by: Origin) -> Response[Upload]:
    details = {garment_id(each.brand, each.name): each for each in read_catalogue(data)}
    commands = [
        ListGarment(aggregate_id=garment, account=None, details=each)
        for garment, each in details.items()
    ]
    kinds: Counter[type[Event] | None] = Counter()
    position = 0
    for start in range(0, len(commands), PER_SAVE):
        some = commands[start : start + PER_SAVE]
        if dry_run:
            decided = preview(some, services.store)
        else:
            outcomes = execute_all(some, services.store, by)
            decided, position = list(outcomes.events), max(position, outcomes.position)
        kinds.update(type(events[0]) if events else None for events in decided)
    return _reported(kinds, dry_run, position)


def _reported(kinds: Counter[type[Event] | None], dry_run: bool, position: int) -> Response[Upload]:
    listed, revised, unchanged = kinds[GarmentListed], kinds[GarmentRevised], kinds[None]
    counts = f"{listed} added, {revised} updated, {unchanged} unchanged"
    upload = Upload(
        message=f"Dry run, nothing was stored: {counts}." if dry_run else f"Garments: {counts}.",
        listed=listed,
        revised=revised,
        unchanged=unchanged,
        dry_run=dry_run,
    )
    return Response(upload, headers={} if dry_run else {WRITTEN: str(position)})


OPEN: Final = [upload_clothes, get_clothes, browse_clothes]
