"""Who asks: the token in the Authorization header."""

from typing import Any, Final
from uuid import UUID

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from api.services import Services
from infra.tokens import Unauthorized

SCHEME: Final = "token"

SignedIn = Request[UUID, Any, Any]  # its user is the account


async def signed_in(
    connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
) -> None:
    """Let only those in who show a valid token, and note whose it is as the request's user.

    Clients send `Bearer <token>`, or the bare token, since their contract names no scheme.
    """
    header = connection.headers.get("Authorization", "").strip()
    scheme, _, rest = header.partition(" ")
    token = rest.strip() if scheme.lower() == "bearer" else header
    if not token:
        raise Unauthorized("log in first, and send the token as Authorization: Bearer <token>")
    services: Services = connection.app.state.services
    account: UUID = services.tokens.account(token)
    connection.scope["user"] = account
