"""HEAD, which every GET answers to, and what OPTIONS says of it."""

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    HTTPDisconnectEvent,
    HTTPScope,
    Message,
    Receive,
    ReceiveMessage,
    Scope,
    Send,
)


def with_head(app: ASGIApp) -> ASGIApp:
    """The application, answering HEAD as GET without a body (RFC 9110, section 9.3.2).

    Litestar finds the route before any middleware sees the request, so this lies around all of it.
    """

    async def handled(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["method"] == "HEAD":
            await _head(app, scope, receive, send)
        else:
            await app(scope, receive, _with_head_allowed(send))

    return handled


async def _head(app: ASGIApp, scope: HTTPScope, receive: Receive, send: Send) -> None:
    begun = False

    async def only_headers(message: Message) -> None:
        nonlocal begun
        if not begun:
            begun = True
            await _with_head_allowed(send)(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def until_begun() -> ReceiveMessage:
        # A stream has been answered as soon as its headers are out.
        return HTTPDisconnectEvent(type="http.disconnect") if begun else await receive()

    scope["method"] = "GET"
    try:
        await app(scope, until_begun, only_headers)
    finally:
        scope["method"] = "HEAD"


def _with_head_allowed(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders.from_message(message)
            allowed = headers.get("allow", "")
            if "GET" in allowed and "HEAD" not in allowed:
                headers["allow"] = ", ".join(sorted({"HEAD", *allowed.split(", ")}))
        await send(message)

    return sent
