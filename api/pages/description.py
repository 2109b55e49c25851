"""The API's description: what it tells beside the types, with examples of everything."""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    Example,
    OpenAPIHeader,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
    Tag,
)

from api.edge import auth, origin
from api.pages import docs, webhooks
from api.pages.examples import OPERATIONS, Shown

ABOUT: Final = """Atelier renders made-to-measure avatars in catalogue clothes: pictures and videos.

Register, log in, and send the token with every request as `Authorization: Bearer <token>`. A
picture or a video is a task: `/generate` and its siblings answer at once with its id,
`/generate/{task_id}` tells its status and its place in the queue, `/get_gallery` lists what is
finished. Links to files expire; ask again for fresh ones.

Bodies are JSON, members that are not described are refused. Every refusal has the same form, with
everything that is wrong at once, and with a code that docs/errors.md explains. 429 and 503 say in
`Retry-After` when to try again. What you have written you read back at once: an answer never lags
behind your own last command."""

TAGS: Final = {
    "Account": "Opening an account, logging in, and what people tell about themselves",
    "User Detail": "How people look",
    "Generate": "Tasks that make pictures and videos",
    "Gallery": "Finished pictures and videos",
    "Task": "All tasks of an account",
    "Clothes": "The catalogue of garments",
    "Health": "For whoever runs the server",
}
UNTOLD: Final = HTTPStatus.OK.description  # what Litestar writes where nothing is told
NEVER_SAID: Final = HTTPStatus.BAD_REQUEST.description  # what it adds where a path has a parameter
FORM: Final = "multipart/form-data"
NULL: Final = Schema(type=OpenAPIType.NULL)
NUMBER: Final = Schema(type=OpenAPIType.INTEGER)
REQUEST_ID: Final = Parameter(
    name=origin.REQUEST_ID,
    param_in="header",
    description="The answer carries the same id, and so do our logs; without one we make one",
    schema=Schema(type=OpenAPIType.STRING, pattern=f"^{origin.WELL_FORMED.pattern}$"),
)
RETRY: Final = {
    "Retry-After": OpenAPIHeader(description="Seconds until it is worth a try", schema=NUMBER)
}
COUNTED: Final = {  # where `too_many_requests` may be answered
    "RateLimit-Limit": OpenAPIHeader(description="Requests in a span of time", schema=NUMBER),
    "RateLimit-Remaining": OpenAPIHeader(description="How many are left of them", schema=NUMBER),
    "RateLimit-Reset": OpenAPIHeader(description="Seconds until the next span", schema=NUMBER),
}


def config() -> OpenAPIConfig:
    """How the description is served; `complete` adds to it."""
    token = SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
    of_stream = SecurityScheme(
        type="apiKey",
        security_scheme_in="query",
        name=auth.STREAM_TOKEN,
        description="What `POST /generate/{task_id}/stream_token` gave, for that stream alone",
    )
    return OpenAPIConfig(
        title="Atelier",
        version="1",
        openapi_router=docs.schema(),
        use_handler_docstrings=True,
        description=ABOUT,
        tags=[Tag(name=name, description=about) for name, about in TAGS.items()],
        render_plugins=[JsonRenderPlugin(), docs.SwaggerPlugin()],
        components=Components(security_schemes={auth.SCHEME: token, auth.STREAM_TOKEN: of_stream}),
        webhooks={"task_ended": webhooks.TASK_ENDED},
        operation_id_creator=lambda handler, *_: handler.handler_name,
    )


def complete(app: Litestar, handlers: Sequence[HTTPRouteHandler]) -> None:
    """Add the examples, what the structs say of themselves, and that nothing else is taken."""
    document = app.openapi_schema
    assert document.components is not None
    sent = msgspec.json.schema_components(_sent(handlers))[1]
    about = sent | msgspec.json.schema_components(_answered(handlers))[1]
    for name, schema in document.components.schemas.items():
        schema.description = _text(about[name]["description"])
        schema.default = None  # a struct's own default stands in what holds it
        _tell_defaults(schema)
        if name in sent:
            schema.additional_properties = False
    for path, item in (document.paths or {}).items():
        for method in ("get", "post", "delete"):
            operation: Operation | None = getattr(item, method)
            if operation is not None:
                _show(operation, f"{method.upper()} {path}", document.components.schemas)


def _tell_defaults(schema: Schema) -> None:
    """Tell defaults in words: generators take a member that has a `default` for a required one."""
    for member in (schema.properties or {}).values():
        if isinstance(member, Schema) and member.default is not None:
            told = f"`{msgspec.json.encode(member.default).decode()}` when left out"
            member.description = f"{member.description}; {told}" if member.description else told
            member.default = None


def _show(operation: Operation, endpoint: str, schemas: dict[str, Schema]) -> None:
    shown = OPERATIONS.get(endpoint)
    if shown is None:
        raise LookupError(f"{endpoint} has no example: add one to api/pages/examples.json")
    first_line = (operation.description or "").partition("\n")[0]
    operation.summary = first_line.removesuffix(".").replace("`", "")  # no Markdown in a summary
    _show_request(operation, shown)
    responses = operation.responses or {}
    if _told(responses.get("400")) == NEVER_SAID:
        del responses["400"]
    counted = "too_many_requests" in _told(responses.get("429"))
    for status, response in responses.items():
        assert isinstance(response, OpenAPIResponse)
        for media in (response.content or {}).values():
            codes = [str(each.summary) for each in (media.examples or {}).values()]
            if lacking := set(codes) - shown.errors.keys():
                raise LookupError(f"{endpoint} lacks an example of {lacking}: see examples.json")
            errors = {code: shown.errors[code] for code in codes}
            answers = shown.answer if status == "200" else shown.refusal
            media.examples = _examples(errors or answers)
            if response.description == UNTOLD and isinstance(media.schema, Reference):
                response.description = schemas[media.schema.value].description or ""
        response.headers = (response.headers or {}) | _headers(status, counted=counted)


def _show_request(operation: Operation, shown: Shown) -> None:
    if isinstance(operation.request_body, RequestBody):
        in_form = {name: {name: value} for name, value in shown.request.items()}
        for kind, media in operation.request_body.content.items():
            media.examples = _examples(in_form if kind == FORM else shown.request)
    for parameter in operation.parameters or []:
        if isinstance(parameter, Parameter) and isinstance(parameter.schema, Schema):
            parameter.schema = _never_null(parameter.schema)
    operation.parameters = [*(operation.parameters or []), REQUEST_ID]


def _never_null(schema: Schema) -> Schema | Reference:
    """What a parameter may be: None, to Python, is what it is when it is left out."""
    match [each for each in schema.one_of or [] if each != NULL]:
        case [Reference() as named]:
            return named
        case [Schema() as plain]:
            schema.type, schema.one_of = plain.type, None
    return schema


def _told(response: OpenAPIResponse | Reference | None) -> str:
    return (response and response.description) or ""


def _headers(status: str, *, counted: bool) -> dict[str, OpenAPIHeader | Reference]:
    if status in ("429", "503"):
        return {**RETRY}
    return {**COUNTED} if status == "200" and counted else {}


def _examples(values: dict[str, Any]) -> dict[str, Example | Reference]:
    return {
        name.replace(" ", "_"): Example(summary=name, value=_with_nulls(value))
        for name, value in values.items()
    }


def _with_nulls(value: Any) -> msgspec.Raw:
    """The example as JSON: of anything else Litestar would leave out each member that is null."""
    return msgspec.Raw(msgspec.json.encode(value))


def _sent(handlers: Sequence[HTTPRouteHandler]) -> list[Any]:
    bodies = [handler.parsed_data_field for handler in handlers]
    return [body.annotation for body in bodies if body is not None]


def _answered(handlers: Sequence[HTTPRouteHandler]) -> list[Any]:
    return [kind for handler in handlers for kind in _answers(handler) if _is_struct(kind)]


def _answers(handler: HTTPRouteHandler) -> Iterator[Any]:
    answer = handler.parsed_return_field
    yield answer.annotation
    yield from (inner.annotation for inner in answer.inner_types)
    yield from (spec.data_container for spec in (handler.responses or {}).values())


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _text(docstring: str) -> str:
    """A docstring as Markdown."""
    return cleandoc(docstring).replace("``", "`")
