"""Which request it is, who sent it, and the headers that every answer carries."""

import re
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

from litestar import Request
from litestar.datastructures import Headers
from litestar.types import Message, Scope

from api.pages import docs
from commands import Origin
from domain.ids import new_id

REQUEST_ID: Final = "X-Request-Id"
KNOWN_AS: Final = "atelier_request_id"
WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")

# Answers are data for one client: nobody keeps them, frames them or guesses their type.
ALWAYS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
POLICY: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
PAGE_POLICY: Final = (b"content-security-policy", docs.POLICY.encode())


def request_id(scope: Scope) -> str:
    """The id that the client gave the request, if it is well-formed, else one of our own."""
    state: dict[str, Any] = scope["state"]
    if KNOWN_AS not in state:
        given = Headers.from_scope(scope).get(REQUEST_ID, "")
        state[KNOWN_AS] = given if WELL_FORMED.fullmatch(given) else str(new_id())
    known: str = state[KNOWN_AS]
    return known


def of(request: Request[Any, Any, Any]) -> Origin:
    """Who sent the command, for the event's envelope."""
    account = request.scope.get("user")
    actor = f"account:{account}" if account else "anonymous"
    return Origin(actor=actor, correlation_id=correlation_id(request_id(request.scope)))


def correlation_id(request_id: str) -> UUID:
    """The request's id as events carry it: itself if it is a UUID, else its UUID 5 (OID)."""
    try:
        return UUID(request_id)
    except ValueError:
        return uuid5(NAMESPACE_OID, request_id)


async def add_headers(message: Message, scope: Scope) -> None:
    """Complete an answer's headers just before it is sent, a refusal's as well."""
    if message["type"] == "http.response.start":
        headers = list(message["headers"])
        given = dict(headers)
        is_page = given.get(b"content-type", b"").startswith(b"text/html")
        known = (REQUEST_ID.lower().encode(), request_id(scope).encode())
        ours = (known, PAGE_POLICY if is_page else POLICY, *ALWAYS)
        headers += [(name, value) for name, value in ours if name not in given]
        message["headers"] = headers
