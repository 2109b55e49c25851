"""Strict reading of JSON bodies: every violation at once, each with its field's path."""

import codecs
import contextlib
import functools
import json
import types
import typing
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, NamedTuple, TypeVar, cast

import msgspec
from litestar import Request

from api.edge.errors import Invalid, MalformedJson, UnsupportedMediaType, Violation
from api.edge.words import expected

Body = TypeVar("Body", bound=msgspec.Struct)

LINE_BREAKS_AND_TABS: Final = "\n\r\t"
MOST_DETAILS: Final = 100  # an answer need not be larger than the body that it refuses
MOST_OF_A_NAME: Final = 100  # characters


class Check(NamedTuple):
    """A rule that msgspec.Meta has no words for, as one more part of an `Annotated`."""

    holds: Callable[[Any], bool]
    expected: str


class Opaque:
    """One more part of an `Annotated`: the text may hold anything, and comes back as it was."""


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON is read as the handler's own type, and not a bit more leniently."""

    async def body(self) -> bytes:
        """The body; raises `UnsupportedMediaType` unless it says that it is JSON."""
        if self.content_type[0] != "application/json":
            raise UnsupportedMediaType("send JSON, with the header Content-Type: application/json")
        body = (await super().body()).removeprefix(codecs.BOM_UTF8)  # as .NET writes it
        if not body:
            raise MalformedJson("the body is empty; send a JSON object")
        return body

    async def json(self) -> Any:
        """The body as the handler's `data`."""
        field = self.route_handler.parsed_data_field
        assert field is not None
        return decode(await self.body(), field.annotation)


def decode(body: bytes, kind: type[Body]) -> Body:
    """Read a JSON object as a struct.

    Raises `MalformedJson`, or `Invalid` with everything that is wrong: unknown and missing
    members, wrong types, broken limits. Numbers may be written as integers, nothing else is
    converted.
    """
    try:
        members = msgspec.json.decode(body)
        _check_names(body, members)
    except (ValueError, RecursionError) as error:
        raise MalformedJson(f"the body cannot be read as JSON: {_reason(error)}") from error
    if _is_faultless(members, kind, _is_plain_throughout(body)):
        with contextlib.suppress(msgspec.ValidationError):
            return msgspec.convert(members, kind)
    violations: list[Violation] = []
    value = _struct(members, kind, "", violations)
    if violations:
        raise Invalid(_summary(violations), violations[:MOST_DETAILS])
    return cast(Body, value)


def _check_names(body: bytes, members: object) -> None:
    """Raises ValueError when an object names a member twice: programs differ in which counts."""
    count, left = 0, [members]
    while left:
        match left.pop():
            case dict() as some:
                count += len(some)
                left += some.values()
            case list() as some:
                left += some
    if count != body.count(b":"):  # which texts may hold, too
        json.loads(body, object_pairs_hook=_named_once)


def _named_once(pairs: list[tuple[str, Any]]) -> None:
    names = Counter(name for name, _ in pairs)
    for name, times in names.most_common(1):
        if times > 1:
            raise ValueError(f"it has the member {name[:MOST_OF_A_NAME]} twice")


def _is_faultless(members: object, kind: type[msgspec.Struct], plain: bool) -> bool:
    """Whether what msgspec does not check is in order, and the whole can be read at once.

    That is five times as fast as field by field, which is needed to tell all that is wrong.
    """
    if not isinstance(members, dict):
        return False
    names, structs, others = _rules(kind, plain)
    return (
        members.keys() <= names
        and all(
            _is_faultless(members[name], struct, plain)
            for name, struct in structs
            if name in members
        )
        and all(_holds(members[field.name], field) for field in others if field.name in members)
    )


def _holds(raw: object, field: "_Field") -> bool:
    try:
        return not _unmet(msgspec.convert(raw, field.annotation), field)
    except msgspec.ValidationError:
        return False


def _is_plain_throughout(body: bytes) -> bool:
    """Whether no text in the JSON can hold a control character: it would have to be escaped."""
    return b"\\" not in body and b"\x7f" not in body and body.isascii()


class _Rules(NamedTuple):
    """The members that a struct may have, those that are structs, those that msgspec cannot check.

    What is said with a `Check` is looked at in any case, other texts unless all are known to be
    plain.
    """

    names: frozenset[str]
    structs: tuple[tuple[str, type[msgspec.Struct]], ...]
    others: "tuple[_Field, ...]"


@functools.cache
def _rules(kind: type[msgspec.Struct], plain: bool) -> _Rules:
    fields = _fields(kind)
    return _Rules(
        names=frozenset(field.name for field in fields),
        structs=tuple((field.name, field.struct) for field in fields if field.struct),
        others=tuple(field for field in fields if not field.struct and (field.checks or not plain)),
    )


class _Field(NamedTuple):
    """One member of a struct, as the wire names it."""

    attribute: str
    name: str
    annotation: Any
    required: bool
    struct: type[msgspec.Struct] | None
    checks: tuple[Check, ...]
    opaque: bool


def _struct(
    members: object, kind: type[msgspec.Struct], path: str, violations: list[Violation]
) -> msgspec.Struct | None:
    """The struct, or None when there are violations in it, which are added to the list."""
    if not isinstance(members, dict):
        violations.append(_violation(path, "must be an object"))
        return None
    before = len(violations)
    fields = _fields(kind)
    known = {field.name for field in fields}
    violations += [
        _violation(_below(path, name[:MOST_OF_A_NAME]), "is unknown")
        for name in members
        if name not in known
    ]
    values: dict[str, Any] = {}
    for field in fields:
        where = _below(path, field.name)
        if field.name in members:
            values[field.attribute] = _member(members[field.name], field, where, violations)
        elif field.required:
            violations.append(_violation(where, "is required"))
    return kind(**values) if len(violations) == before else None


def _member(raw: object, field: _Field, path: str, violations: list[Violation]) -> object:
    if field.struct is not None:
        return _struct(raw, field.struct, path, violations)
    try:
        value = msgspec.convert(raw, field.annotation)
    except msgspec.ValidationError:
        violations.append(_violation(path, f"must be {expected(field.annotation)}"))
        return None
    violations += [_violation(path, f"must be {each}") for each in _unmet(value, field)]
    return value


def _unmet(value: object, field: _Field) -> list[str]:
    """What the value should be besides of the right type, and is not."""
    expected = [check.expected for check in field.checks if not check.holds(value)]
    if isinstance(value, str) and not field.opaque and not _is_plain(value):
        expected.append("text without control characters")
    return expected


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> tuple[_Field, ...]:
    return tuple(
        _Field(
            attribute=field.name,
            name=field.encode_name,
            annotation=field.type,
            required=field.required,
            struct=_struct_of(field.type),
            checks=tuple(_checks(field.type)),
            opaque=any(part is Opaque for part in _parts(field.type)),
        )
        for field in msgspec.structs.fields(kind)
    )


def _struct_of(annotation: object) -> type[msgspec.Struct] | None:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    return None


def _checks(annotation: object) -> Iterator[Check]:
    optional = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    for part in _parts(annotation):
        if isinstance(part, Check):
            yield _when_given(part) if optional else part


def _parts(annotation: object) -> Iterator[object]:
    """What an `Annotated` says beside its type, also as one of several options."""
    if typing.get_origin(annotation) is Annotated:
        yield from typing.get_args(annotation)[1:]
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        for option in typing.get_args(annotation):
            yield from _parts(option)


def _when_given(check: Check) -> Check:
    return Check(lambda value: value is None or check.holds(value), check.expected)


def _is_plain(text: str) -> bool:
    # Postgres stores no NUL, and the others only spoil logs and terminals.
    if text.isprintable():
        return True
    return not any(
        unicodedata.category(char) == "Cc" and char not in LINE_BREAKS_AND_TABS for char in text
    )


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _violation(path: str, message: str) -> Violation:
    return Violation(field=path, message=message)


def _summary(violations: list[Violation]) -> str:
    first = violations[0]
    others = len(violations) - 1
    more = f" (and {others} more)" if others else ""
    return f"{first.field or 'the body'} {first.message}{more}"


def _reason(error: Exception) -> str:
    match error:
        case RecursionError():
            return "it is nested too deeply"
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case msgspec.DecodeError() if "truncated" in str(error):
            return "it ends too early, or has half a surrogate pair"
        case _:
            return str(error)
