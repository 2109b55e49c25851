"""The time that requests take."""

import time
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Histogram

from infra.process import metrics

# One label for all that clients may make up: paths that nothing answers, and methods.
UNMATCHED: Final = "unmatched"
METHODS: Final = frozenset({"GET", "POST", "DELETE", "OPTIONS", "HEAD"})


class Timed:
    """The application, each of its answers timed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._known: dict[tuple[str, str, int], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the start and the end of the server."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            method = scope["method"] if scope["method"] in METHODS else UNMATCHED
            route = scope.get("path_template") or UNMATCHED
            self._of(method, route, status).observe(time.perf_counter() - began)

    def _of(self, method: str, route: str, status: int) -> Histogram:
        key = (method, route, status)
        if key not in self._known:
            self._known[key] = metrics.REQUEST.labels(method, route, status)
        return self._known[key]
