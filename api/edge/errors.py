"""What goes wrong, as clients see it: one body, and one table from our errors to statuses."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example
from litestar.types import ExceptionHandlersMap

from api.edge import origin
from api.edge.words import expected_parameter
from domain.errors import AtelierError

log = structlog.get_logger("atelier.api")

STATUSES: Final[dict[str, int]] = {
    "account_erased": 401,
    "damaged_image": 422,
    "email_taken": 409,
    "history_replaced": 503,
    "idempotency_key_reused": 409,
    "image_too_large": 413,
    "internal": 500,
    "invalid": 422,
    "malformed": 400,
    "malformed_json": 400,
    "not_claimable": 409,
    "not_found": 404,
    "outcome_unknown": 504,
    "overloaded": 503,
    "position_beyond_log": 400,
    "read_model_behind": 503,
    "stale_attempt": 409,
    "state_too_large": 413,
    "task_ended": 409,
    "too_many_requests": 429,
    "too_many_tasks": 429,
    "unauthorized": 401,
    "unavailable": 503,
    "unknown_event": 503,
    "unreadable_workbook": 422,
    "unsupported_media_type": 415,
    "unsupported_workbook": 415,
    "version_conflict": 503,
    "workbook_too_large": 413,
    "wrong_keys": 503,
}
# What Litestar refuses by itself.
CODES: Final[dict[int, str]] = {
    400: "malformed",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}
STATUS_OF: Final = {code: status for status, code in CODES.items()} | STATUSES
RETRY_AFTER_S: Final = {429: 2, 503: 1}


def one_of(codes: Iterable[str]) -> msgspec.Meta:
    """What the API's description says of a code: there are these, and a page on them."""
    told = "docs/errors.md tells what it means, and what to do"
    return msgspec.Meta(description=told, extra_json_schema={"extra": {"enum": sorted(codes)}})


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong; ``field`` is its path, such as ``user_details.skin_tone``."""

    field: str
    message: str


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is not a success."""

    message: str
    code: Annotated[str, one_of(STATUS_OF)]
    details: list[Violation]


class Refused(AtelierError):
    """The request itself is at fault; ``details`` names every violation."""

    code: ClassVar[str] = "malformed"

    def __init__(self, message: str, details: Iterable[Violation] = ()) -> None:
        super().__init__(message)
        self.details = list(details)


class Invalid(Refused):
    """The request can be read, but not all of its values are allowed."""

    code = "invalid"


class MalformedJson(Refused):
    """The body is not JSON."""

    code = "malformed_json"


class UnsupportedMediaType(Refused):
    """The body says that it is something that this path does not take."""

    code = "unsupported_media_type"


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[ErrorBody]:
    """The answer to any error; nothing of an unexpected one but the request's id gets out."""
    match error:
        case ValidationException():
            return _response(_of_parameters(request, error))
        case HTTPException(status_code=status) if status < 500:
            code = CODES.get(status, "malformed")
            body = ErrorBody(message=error.detail, code=code, details=[])
            return _respond(status, body, error.headers)
        case AtelierError() if STATUSES.get(error.code, 500) != 500:
            return _response(error)
        case _:
            return _unexpected(request, error)


HANDLERS: Final[ExceptionHandlersMap] = {Exception: answer}

# What endpoints of a kind may answer.
OF_TOKEN: Final = ("unauthorized", "account_erased")
OF_JSON: Final = ("malformed_json", "too_large", "unsupported_media_type", "invalid")
OF_READ: Final = ("malformed", "position_beyond_log", "read_model_behind", "unavailable")
OF_COMMAND: Final = ("unavailable", "overloaded", "version_conflict", "outcome_unknown")
OF_TASK: Final = (
    *OF_TOKEN,
    *OF_JSON,
    *("malformed", "idempotency_key_reused", "too_many_tasks"),
    *OF_COMMAND,
)


def documented(*codes: str) -> dict[int, ResponseSpec]:
    """The errors that an endpoint may answer, for its OpenAPI description, by their codes."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(STATUS_OF[code], []).append(code)
    return {status: _described(status, by_status[status]) for status in sorted(by_status)}


def _described(status: int, codes: list[str]) -> ResponseSpec:
    named = " or ".join(f"`{code}`" for code in codes)
    return ResponseSpec(
        ErrorBody,
        description=f"{HTTPStatus(status).phrase}: {named}",
        generate_examples=False,
        examples=[Example(summary=code) for code in codes],  # `pages.description` has the bodies
    )


def _response(error: AtelierError) -> Response[ErrorBody]:
    status = STATUSES[error.code]
    details = error.details if isinstance(error, Refused) else []
    body = ErrorBody(message=str(error), code=error.code, details=details)
    return _respond(status, body)


def _respond(
    status: int, body: ErrorBody, headers: dict[str, str] | None = None
) -> Response[ErrorBody]:
    headers = dict(headers or {})
    if status in RETRY_AFTER_S:
        headers["Retry-After"] = str(RETRY_AFTER_S[status])
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def _of_parameters(request: Request[Any, Any, Any], error: ValidationException) -> Invalid:
    """What Litestar refuses, in our words: its own are those of Python's types."""
    refused = error.extra if isinstance(error.extra, list) else []
    kinds = request.route_handler.signature_model.__annotations__
    return Invalid(
        "some parameters are invalid",
        [
            Violation(field=name, message=f"must be {expected_parameter(kinds[name])}")
            for name in (each["key"] for each in refused)
        ],
    )


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[ErrorBody]:
    request_id = origin.request_id(request.scope)
    log.error("failed", request_id=request_id, method=request.method, exc_info=error)
    body = ErrorBody(
        message=f"something went wrong on our side; tell us the request id {request_id}",
        code="internal",
        details=[],
    )
    return _respond(500, body)
