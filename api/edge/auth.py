"""Who asks: the token in the Authorization header, or in the address of a task's stream."""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import UUID

from litestar import Request
from litestar.datastructures import Headers
from litestar.types import ASGIApp, Receive, Scope, Send

from api.services import Services
from infra.access.tokens import Unauthorized

SCHEME: Final = "token"
STREAM_TOKEN: Final = "stream_token"  # noqa: S105 - the name of the query parameter

SignedIn = Request[UUID, Any, Any]  # its user is the account


def signed_in(app: ASGIApp) -> ASGIApp:
    """Middleware that lets only those in who show a valid token, and notes whose it is.

    Clients send `Bearer <token>`, or the bare token, since their contract names no scheme. A guard
    would do the same, but Litestar copies the whole route handler for each call of one.
    """
    return _middleware(app, _account)


def signed_in_to_stream(app: ASGIApp) -> ASGIApp:
    """The same, for the stream of a task, whose own token may stand in its address.

    A browser's EventSource sends no header that a page could set.
    """

    def account(scope: Scope) -> UUID:
        shown = parse_qs(scope["query_string"].decode("latin-1")).get(STREAM_TOKEN)
        if shown is None or "authorization" in Headers.from_scope(scope):
            return _account(scope)
        return _services(scope).tokens.account_of_stream(shown[0], scope["path_params"]["task_id"])

    return _middleware(app, account)


def _middleware(app: ASGIApp, account: Callable[[Scope], UUID]) -> ASGIApp:
    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "OPTIONS":  # browsers ask that without a token
            scope["user"] = account(scope)
        await app(scope, receive, send)

    return checked


def _account(scope: Scope) -> UUID:
    header = Headers.from_scope(scope).get("Authorization", "").strip()
    scheme, _, rest = header.partition(" ")
    token = rest.strip() if scheme.lower() == "bearer" else header
    if not token:
        raise Unauthorized("log in first, and send the token as Authorization: Bearer <token>")
    return _services(scope).tokens.account(token)


def _services(scope: Scope) -> Services:
    services: Services = scope["litestar_app"].state.services
    return services
