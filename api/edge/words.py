"""What a value must be, in the words of those who send JSON and HTTP."""

from collections.abc import Iterable
from typing import Any

import msgspec


def expected(annotation: Any) -> str:
    """What a member of a body must be, in words that end the sentence "… must be"."""
    return _described(msgspec.inspect.type_info(annotation), True)


def expected_parameter(annotation: Any) -> str:
    """The same of a query's parameter, whose description says what it does, not what it must be."""
    return _described(msgspec.inspect.type_info(annotation), False)


def _described(kind: msgspec.inspect.Type, by_description: bool) -> str:
    match kind:
        case msgspec.inspect.Metadata(type=inner, extra_json_schema=schema):
            told = (schema or {}).get("description") if by_description else None
            return told or _described(inner, by_description)
        case msgspec.inspect.UnionType(types=options):
            given = [each for each in options if not isinstance(each, msgspec.inspect.NoneType)]
            return " or ".join(_described(each, by_description) for each in given)
        case msgspec.inspect.EnumType(cls=names):
            return _one_of(each.value for each in names)
        case msgspec.inspect.LiteralType(values=values):
            return _one_of(values)
        case msgspec.inspect.StrType(min_length=least, max_length=most):
            return "text" + _limits(least, most, " characters")
        case msgspec.inspect.IntType(ge=least, le=most):
            return "a whole number" + _limits(least, most)
        case msgspec.inspect.FloatType(ge=least, le=most):
            return "a number" + _limits(least, most)
        case msgspec.inspect.BoolType():
            return "true or false"
        case _:
            return "a value of another type"


def _one_of(values: Iterable[object]) -> str:
    return "one of " + ", ".join(str(value) for value in values)


def _limits(least: float | None, most: float | None, unit: str = "") -> str:
    if least is not None and most is not None:
        return f" from {_number(least)} to {_number(most)}{unit}"
    if least is not None:
        return f" of at least {_number(least)}{unit}"
    if most is not None:
        return f" of at most {_number(most)}{unit}"
    return ""


def _number(limit: float) -> str:
    return str(int(limit) if limit == int(limit) else limit)
