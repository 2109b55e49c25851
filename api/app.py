"""The application: what it serves, made from the settings."""

from functools import partial
from typing import Final

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from api import account, auth, errors, gallery, health, origin, positions, render, services
from infra.settings import Settings

LARGEST_BODY: Final = 64 * 1024  # bytes; the contract's own example takes 2,000

OPEN: Final = [*account.OPEN, *health.OPEN]
PRIVATE: Final = [*account.PRIVATE, *render.PRIVATE, *gallery.PRIVATE]


def create_app(settings: Settings) -> Litestar:
    """The application; it connects to nothing before it is started."""
    settings.require(*services.NEEDED)
    private = Router(
        "/", route_handlers=PRIVATE, guards=[auth.signed_in], security=[{auth.SCHEME: []}]
    )
    return Litestar(
        [*OPEN, private],
        lifespan=[partial(services.opened, settings=settings)],
        dependencies={
            "services": Provide(services.provide, sync_to_thread=False),
            "seen": Provide(positions.provide_seen, sync_to_thread=False),
        },
        exception_handlers=errors.HANDLERS,
        before_send=[origin.add_headers],
        request_max_body_size=LARGEST_BODY,
        openapi_config=_openapi(),
        logging_config=None,  # errors.answer logs what is unexpected, without bodies
    )


def _openapi() -> OpenAPIConfig:
    token = SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
    return OpenAPIConfig(
        title="Atelier",
        version="1",
        path="/schema",
        render_plugins=[JsonRenderPlugin()],
        components=Components(security_schemes={auth.SCHEME: token}),
    )
