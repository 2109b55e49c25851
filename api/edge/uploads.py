"""Files that clients send: as the whole body, or as the one file of a multipart form."""

from typing import Any, Final

from litestar import Request
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, RequestBody, Schema

from api.edge.errors import Refused

BINARY: Final = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
FORM: Final = Schema(
    type=OpenAPIType.OBJECT,
    properties={"file": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)},
    required=["file"],
    additional_properties=Schema(type=OpenAPIType.STRING),
)


async def read(request: Request[Any, Any, Any]) -> bytes:
    """The file's bytes; raises `Refused` when there is none, or more than one."""
    if request.content_type[0] == RequestEncodingType.MULTI_PART:
        data = await _of_form(request)
    else:
        data = await request.body()
    if not data:
        raise Refused("the body is empty; send the file as the body, or in a multipart form")
    return data


def described(*kinds: str) -> RequestBody:
    """Such a body in the OpenAPI description, for files of these media types."""
    content = {kind: OpenAPIMediaType(schema=BINARY) for kind in kinds}
    form = {RequestEncodingType.MULTI_PART.value: OpenAPIMediaType(schema=FORM)}
    return RequestBody(content=content | form, required=True)


async def _of_form(request: Request[Any, Any, Any]) -> bytes:
    if not request.content_type[1].get("boundary"):
        raise Refused("the header Content-Type lacks the form's boundary")
    try:
        form = await request.form()
    except (LookupError, ValueError) as error:  # of a part's charset
        raise Refused("the form cannot be read") from error
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    try:
        if len(files) != 1:
            raise Refused("the form must have exactly one file")
        return await files[0].read()
    finally:
        for file in files:
            await file.close()
