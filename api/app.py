"""The application: what it serves, made from the settings."""

from functools import partial
from typing import Final

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.di import Provide

from api import services
from api.edge import auth, errors, form, idempotency, limits, methods, origin, positions
from api.pages import description, docs
from api.resources import (
    account,
    avatar,
    capabilities,
    clothes,
    details,
    events,
    gallery,
    health,
    kling,
    render,
    tasks,
    video,
)
from infra.settings import Settings

LARGEST_BODY: Final = 64 * 1024  # bytes; the contract's own example takes 2,000

REQUEST_HEADERS: Final = (origin.REQUEST_ID, idempotency.HEADER, positions.MINIMUM, "Last-Event-ID")
ANSWER_HEADERS: Final = (
    origin.REQUEST_ID,
    positions.WRITTEN,
    positions.PARKED,
    "Retry-After",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
)

OPEN: Final = [*account.OPEN, *capabilities.OPEN, *clothes.OPEN, *health.OPEN, *kling.OPEN]
PRIVATE: Final = [
    *account.PRIVATE,
    *avatar.PRIVATE,
    *details.PRIVATE,
    *render.PRIVATE,
    *video.PRIVATE,
    *tasks.PRIVATE,
    *events.PRIVATE,
    *gallery.PRIVATE,
]
STREAMED: Final = events.STREAMED


def create_app(settings: Settings) -> Litestar:
    """The application; it connects to nothing before it is started."""
    settings.require(*services.NEEDED)
    private = Router(
        "/", route_handlers=PRIVATE, middleware=[auth.signed_in], security=[{auth.SCHEME: []}]
    )
    streamed = Router(
        "/",
        route_handlers=STREAMED,
        middleware=[auth.signed_in_to_stream],
        security=[{auth.SCHEME: []}, {auth.STREAM_TOKEN: []}],
    )
    app = Litestar(
        [*OPEN, private, streamed, docs.home, docs.assets()],
        lifespan=[partial(services.opened, settings=settings)],
        dependencies={
            "services": Provide(services.provide, sync_to_thread=False),
            "order": Provide(idempotency.provide_order),
            "seen": Provide(positions.provide_seen, sync_to_thread=False),
        },
        exception_handlers=errors.HANDLERS,
        before_request=form.check,
        before_send=[origin.add_headers, limits.add_headers],
        request_max_body_size=LARGEST_BODY,
        openapi_config=description.config(),
        cors_config=_cors(settings),
        logging_config=None,  # errors.answer logs what is unexpected, without bodies
    )
    app.asgi_handler = methods.with_head(app.asgi_handler)
    description.complete(app, [*OPEN, *PRIVATE, *STREAMED])
    return app


def _cors(settings: Settings) -> CORSConfig | None:
    """Which web pages of other origins may use the API: none unless the settings name them."""
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", *REQUEST_HEADERS],
        expose_headers=list(ANSWER_HEADERS),
        max_age=3600,
    )
