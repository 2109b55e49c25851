"""Who asks: the token in the Authorization header."""

from typing import Any, Final
from uuid import UUID

from litestar import Request
from litestar.datastructures import Headers
from litestar.types import ASGIApp, Receive, Scope, Send

from api.services import Services
from infra.access.tokens import Unauthorized

SCHEME: Final = "token"

SignedIn = Request[UUID, Any, Any]  # its user is the account


def signed_in(app: ASGIApp) -> ASGIApp:
    """Middleware that lets only those in who show a valid token, and notes whose it is.

    Clients send `Bearer <token>`, or the bare token, since their contract names no scheme. A guard
    would do the same, but Litestar copies the whole route handler for each call of one.
    """

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "OPTIONS":  # browsers ask that without a token
            scope["user"] = _account(scope)
        await app(scope, receive, send)

    return checked


def _account(scope: Scope) -> UUID:
    header = Headers.from_scope(scope).get("Authorization", "").strip()
    scheme, _, rest = header.partition(" ")
    token = rest.strip() if scheme.lower() == "bearer" else header
    if not token:
        raise Unauthorized("log in first, and send the token as Authorization: Bearer <token>")
    services: Services = scope["litestar_app"].state.services
    return services.tokens.account(token)
