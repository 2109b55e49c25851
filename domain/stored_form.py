"""What an event looks like in the log and on Kafka, as JSON Schema generated from its type."""

import inspect
import typing
from typing import Any, Final

import msgspec

from domain.events import Event

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SEALED: Final = "x-atelier-sealed"
PERSONAL: Final = "personal"

Schema = dict[str, Any]


def document(kind: type[Event]) -> Schema:
    """The JSON Schema of an event's stored form, complete in itself."""
    schema, definitions = parts(kind, "#/$defs/{name}")
    return {"$schema": DIALECT, **schema, **({"$defs": definitions} if definitions else {})}


def parts(kind: type[Event], reference: str) -> tuple[Schema, dict[str, Schema]]:
    """The schema of an event's stored form, and those that it refers to by `reference`.

    The personal fields are one sealed text, whose content `x-atelier-sealed` describes.
    """
    plain, definitions = _object(kind, reference, personal=False)
    about = inspect.cleandoc(kind.__doc__ or "")
    schema: Schema = {"title": kind.stored_name, "description": about}
    schema |= {name: plain[name] for name in ("type", "properties", "required")}
    if kind.personal:
        content, more = _object(kind, reference, personal=True)
        schema["properties"][PERSONAL] = _sealed(content)
        schema["required"] = [*schema["required"], PERSONAL]
        definitions |= more
    return _plain(schema), _plain(definitions)


def _object(
    kind: type[Event], reference: str, *, personal: bool
) -> tuple[Schema, dict[str, Schema]]:
    """The schema of an event's personal fields, or of all others."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = [
        (field.name, hints[field.name], *_default(field))
        for field in msgspec.structs.fields(kind)
        if (field.name in kind.personal) is personal
    ]
    struct = msgspec.defstruct(kind.__name__, fields, kw_only=True)
    _, definitions = msgspec.json.schema_components([struct], ref_template=reference)
    found: Schema = definitions.pop(kind.__name__)
    return found, {name: _tidied(each) for name, each in sorted(definitions.items())}


def _default(field: msgspec.structs.FieldInfo) -> list[Any]:
    if field.default is not msgspec.NODEFAULT:
        return [field.default]
    if field.default_factory is not msgspec.NODEFAULT:
        return [msgspec.field(default_factory=field.default_factory)]
    return []


def _sealed(content: Schema) -> Schema:
    return {
        "type": "string",
        "contentEncoding": "base64",
        "description": "AES-256-GCM under the account's key: nonce (12 bytes), cipher text and tag."
        " What it holds can be read until the account is erased.",
        SEALED: {name: content[name] for name in ("type", "properties", "required")},
    }


def _plain(schema: Schema) -> Schema:
    """As JSON has it: a default may be a tuple or a struct."""
    found: Schema = msgspec.json.decode(msgspec.json.encode(schema))
    return found


def _tidied(schema: Schema) -> Schema:
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"])
    return schema
