"""Which request it is, who sent it, and the headers that every answer carries."""

from typing import Any, Final
from uuid import UUID, uuid4

from litestar import Request
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.types import Message, Scope

from commands import Origin

REQUEST_ID: Final = "X-Request-Id"
KNOWN_AS: Final = "atelier_request_id"

# Answers are data for one client: nobody keeps them, frames them or guesses their type.
ALWAYS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def request_id(scope: Scope) -> UUID:
    """The id that the client gave the request, if it is a UUID, else one of our own."""
    state: dict[str, Any] = scope["state"]
    if KNOWN_AS not in state:
        state[KNOWN_AS] = _as_uuid(Headers.from_scope(scope).get(REQUEST_ID, "")) or uuid4()
    known: UUID = state[KNOWN_AS]
    return known


def of(request: Request[Any, Any, Any]) -> Origin:
    """Who sent the command, for the event's envelope."""
    account = request.scope.get("user")
    actor = f"account:{account}" if account else "anonymous"
    return Origin(actor=actor, correlation_id=request_id(request.scope))


async def add_headers(message: Message, scope: Scope) -> None:
    """Complete an answer's headers just before it is sent, a refusal's as well."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        headers[REQUEST_ID] = str(request_id(scope))
        for name, value in ALWAYS.items():
            headers[name] = value


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
