"""What people open in a browser: where things are, and the API to read and to try.

The API's page is Swagger UI, with the files that the package swagger-ui-py brings along; nothing is
loaded from another host.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from litestar import MediaType, Request, Response, Router, get
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.static_files import create_static_files_router
from litestar.status_codes import HTTP_404_NOT_FOUND

OURS: Final = Path(__file__).parent / "static"
ASSETS: Final = "/assets"
SCHEMA: Final = "/schema"
A_DAY: Final = CacheControlHeader(public=True, max_age=86_400)

# Swagger UI draws its marks as data: URLs, and shows a picture that was answered as a blob.
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


class SwaggerPlugin(OpenAPIRenderPlugin):
    """Serves Swagger UI without a script inside the page, which our policy would not run."""

    def __init__(self) -> None:
        super().__init__(path=["/", "/docs"])

    def render(self, _request: Request[Any, Any, Any], _schema: dict[str, Any]) -> bytes:
        """The page; it fetches the description by itself."""
        return (OURS / "docs.html").read_bytes()


def schema() -> Router:
    """Where the description and its page are; what is not there is told as everywhere else."""

    def as_error(response: Response[Any]) -> Response[Any]:
        if response.status_code == HTTP_404_NOT_FOUND:  # Litestar's own page
            raise NotFoundException
        return response

    return Router(SCHEMA, route_handlers=[], after_request=as_error, include_in_schema=False)


@get("/", media_type=MediaType.HTML, include_in_schema=False, sync_to_thread=False)
def home() -> bytes:
    """What this is, and where things are."""
    return (OURS / "index.html").read_bytes()


def assets() -> Router:
    """Scripts and styles, ours and Swagger UI's."""
    return create_static_files_router(
        ASSETS, [OURS, *_swagger_ui()], include_in_schema=False, cache_control=A_DAY
    )


def _swagger_ui() -> Sequence[Path]:
    found = find_spec("swagger_ui")
    assert found is not None, "swagger-ui-py is installed with Atelier"
    return [Path(each) / "static" for each in found.submodule_search_locations or ()]
