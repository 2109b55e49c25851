"""What a change of an event's schema breaks for those who read stored events."""

from collections.abc import Iterator
from typing import Any

from domain.stored_form import SEALED

Schema = dict[str, Any]

WIDER_IF_LESS = ("minimum", "exclusiveMinimum", "minLength", "minItems")
WIDER_IF_MORE = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
SAYS_NOTHING = ("title", "description", "$schema", "$defs", "required", "properties", "enum")


def incompatibilities(old: Schema, new: Schema) -> list[str]:
    """What of a change is more than a new optional field or a wider range, each in a sentence.

    Either is a whole JSON Schema as `domain.stored_form.document` gives it.
    """
    return list(_compare("", _resolved(old, old), _resolved(new, new)))


def _resolved(schema: Any, document: Schema) -> Any:
    """The schema with every reference replaced by what it names."""
    if isinstance(schema, list):
        return [_resolved(each, document) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _resolved(document["$defs"][name] | rest, document)
    return {key: _resolved(value, document) for key, value in schema.items()}


def _compare(path: str, old: Schema, new: Schema) -> Iterator[str]:
    yield from _fields(path, old, new)
    yield from _values(path, old, new)
    nested = {"items", "additionalProperties", SEALED}
    for key in sorted((old.keys() | new.keys()) - set(SAYS_NOTHING) - {"anyOf"}):
        before, after = old.get(key), new.get(key)
        if key in nested and isinstance(before, dict) and isinstance(after, dict):
            yield from _compare(f"{path}[]" if key == "items" else path, before, after)
        elif before != after and not _is_wider(key, before, after):
            yield f"{path or 'the event'}: {key} was {before!r} and is now {after!r}"


def _fields(path: str, old: Schema, new: Schema) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    required = {"old": set(old.get("required", ())), "new": set(new.get("required", ()))}
    for name in before:
        where = f"{path}.{name}".lstrip(".")
        if name not in after:
            yield f"{where} was removed"
        else:
            yield from _compare(where, before[name], after[name])
            if (name in required["old"]) != (name in required["new"]):
                yield f"{where} became {'required' if name in required['new'] else 'optional'}"
    for name in after.keys() - before.keys():
        if name in required["new"]:
            yield f"{f'{path}.{name}'.lstrip('.')} is new and required"


def _values(path: str, old: Schema, new: Schema) -> Iterator[str]:
    if gone := [each for each in old.get("enum", ()) if each not in new.get("enum", ())]:
        yield f"{path} may no longer be {', '.join(map(repr, gone))}"
    if "enum" in new and "enum" not in old:
        yield f"{path} may only be {', '.join(map(repr, new['enum']))} now"
    before, after = old.get("anyOf", []), new.get("anyOf", [])
    if len(before) != len(after):
        yield f"{path}: its type has changed"
    for one, other in zip(before, after, strict=False):
        yield from _compare(path, one, other)


def _is_wider(key: str, before: Any, after: Any) -> bool:
    if key in WIDER_IF_LESS:
        return before is not None and (after is None or after < before)
    if key in WIDER_IF_MORE:
        return before is not None and (after is None or after > before)
    return False
