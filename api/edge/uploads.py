"""Files that clients send: as the whole body, or as the one file of a multipart form."""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from litestar import Request
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import (
    Encoding,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    RequestBody,
    Schema,
)
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from api.edge.errors import Refused

FIELD: Final = "file"
FILE_NAME: Final = re.compile(r";\s*filename\*?\s*=", re.IGNORECASE)
LONGEST_HEADER: Final = 64 * 1024  # bytes
MOST_PARTS: Final = 1_000

RAW: Final = "application/octet-stream"
BINARY: Final = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
FORM: Final = Schema(
    type=OpenAPIType.OBJECT,
    properties={FIELD: BINARY},
    required=[FIELD],
    additional_properties=Schema(type=OpenAPIType.STRING),
)


async def read(request: Request[Any, Any, Any]) -> bytes:
    """The file's bytes; raises `Refused` when there is none, or more than one."""
    if request.content_type[0] == RequestEncodingType.MULTI_PART:
        data = _of_form(await request.body(), request.content_type[1].get("boundary", ""))
    else:
        data = await request.body()
    if not data:
        raise Refused("the body is empty; send the file as the body, or in a multipart form")
    return data


def described(*kinds: str) -> RequestBody:
    """Such a body in the OpenAPI description, for files of these media types.

    The bytes tell the kind, whatever the header says. Generators of clients know how to send any
    bytes, but leave a media type out that they have not heard of.
    """
    form = OpenAPIMediaType(schema=FORM, encoding={FIELD: Encoding(content_type=", ".join(kinds))})
    return RequestBody(
        description=f"The file itself or a form with it; it is one of {', '.join(kinds)}",
        content={RequestEncodingType.MULTI_PART: form, RAW: OpenAPIMediaType(schema=BINARY)},
        required=True,
    )


class _Part(NamedTuple):
    """One part of a form."""

    head: MultipartSegment
    data: bytes

    @property
    def is_named(self) -> bool:
        """Whether it has a file name, in whatever way that is written."""
        return bool(FILE_NAME.search(self.head.header("Content-Disposition", "")))

    @property
    def is_typed(self) -> bool:
        """Whether it says that it is something else than text."""
        return not (self.head.content_type or "text/").startswith("text/")


def _of_form(body: bytes, boundary: str) -> bytes:
    """The form's one file. Its name is of no use to us, so it may be anything, or missing."""
    if not boundary:
        raise Refused("the header Content-Type lacks the form's boundary")
    try:
        parts = [part for part in _parts(body, boundary) if part.data]
    except MultipartError as error:
        raise Refused("the form cannot be read") from error
    files = (
        [part for part in parts if part.is_named]
        or [part for part in parts if part.is_typed]
        or [part for part in parts if part.head.name == FIELD]
        or parts
    )
    if len(files) != 1:
        raise Refused("the form must have exactly one file")
    return files[0].data


def _parts(body: bytes, boundary: str) -> Iterator[_Part]:
    """The parts of a form, which Litestar would read only where their names are UTF-8."""
    with PushMultipartParser(
        boundary,
        header_charset="latin-1",
        max_header_size=LONGEST_HEADER,
        max_segment_count=MOST_PARTS,
    ) as parser:
        head, data = None, b""
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                head, data = event, b""
            elif event:
                data += event
            elif head:
                yield _Part(head, data)
