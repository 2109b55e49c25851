"""One table for each event type: the envelope, and a column for each member of the event."""

import itertools
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from msgspec import inspect

from domain.catalogue import CATALOGUE
from domain.events import Event
from infra.analysis.arrow import ENVELOPE
from infra.log.event_mapper import PERSONAL, unknown

PLAIN: Final[dict[type[inspect.Type], pa.DataType]] = {
    inspect.IntType: pa.int64(),
    inspect.FloatType: pa.float64(),
    inspect.BoolType: pa.bool_(),
    inspect.StrType: pa.string(),
    inspect.LiteralType: pa.string(),
}
NOT_AS_TYPED: Final = (pa.ArrowException, ValueError, TypeError, AttributeError)


class Typed(NamedTuple):
    """Events of one type as a table, and the positions of those whose members cannot be read."""

    batch: pa.RecordBatch
    unreadable: list[int]


def table_schema(kind: type[Event], *, opened: bool) -> pa.Schema:
    """The columns of a type's table; what a stored event leaves out is null in them."""
    members = state_schema(kind, opened=opened)
    return pa.schema([*itertools.islice(ENVELOPE, len(ENVELOPE) - 1), *members])


def state_schema(kind: type[Event], *, opened: bool) -> pa.Schema:
    """The members of an event; the personal ones are one sealed text unless they are opened."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    hidden = () if opened else kind.personal
    fields = [
        pa.field(field.encode_name, _arrow(field.type))
        for field in described.fields
        if field.name not in hidden
    ]
    return pa.schema([*fields, pa.field(PERSONAL, pa.string())] if hidden else fields)


def typed(batch: pa.RecordBatch, name: str, *, opened: bool) -> Typed:
    """The events of one type in a batch, with a column for each member.

    Where a state is not as its type says, these columns are null, and its position is told.
    Raises `UnknownEvent` for a type that this build does not know.
    """
    found = batch.filter(pc.equal(batch["type"], name))
    kind = CATALOGUE.get(name)
    if kind is None:
        raise unknown(found["position"][0].as_py(), name)
    schema = state_schema(kind, opened=opened)
    states = found["state"]
    bad: list[int] = []
    try:
        members = _members(states, schema)
    except NOT_AS_TYPED:
        readable = [_is_readable(state, schema) for state in states]
        bad = found["position"].filter(pc.invert(pa.array(readable))).to_pylist()
        members = _members(pc.if_else(pa.array(readable), states, "{}"), schema)
    columns = [*found.columns[:-1], *members]
    return Typed(pa.RecordBatch.from_arrays(columns, schema=table_schema(kind, opened=opened)), bad)


def flat(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same for CSV: a column for each member of a struct, and JSON for lists and maps."""
    columns = zip(batch.schema.names, batch.columns, strict=True)
    return pa.RecordBatch.from_pydict(
        {name: values for column in columns for name, values in _flat(*column)}
    )


def _flat(name: str, column: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    if pa.types.is_struct(column.type):
        for member, values in zip(column.type, column.flatten(), strict=True):
            yield from _flat(f"{name}.{member.name}", values)
    elif pa.types.is_nested(column.type):
        yield name, pa.array(map(_json, column), pa.string())
    else:
        yield name, column


def _json(value: pa.Scalar) -> str | None:
    plain = value.as_py(maps_as_pydicts="strict")
    return None if plain is None else msgspec.json.encode(plain).decode()


def _members(states: pa.StringArray, schema: pa.Schema) -> list[pa.Array]:
    # Arrow's reader of JSON knows no maps, and tells no rows without a column.
    if not len(schema) or any(pa.types.is_map(each.type) for each in schema):
        return _one_by_one(states, schema)
    lines = pc.binary_join(pa.ListArray.from_arrays([0, len(states)], states), "\n")[0].as_buffer()
    parsed = pyarrow.json.read_json(
        pa.BufferReader(lines),
        read_options=pyarrow.json.ReadOptions(block_size=lines.size + 1),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="ignore"
        ),
    )
    if parsed.num_rows != len(states):
        raise ValueError("a state is none or several JSON values")
    return [parsed[field.name].combine_chunks() for field in schema]


def _one_by_one(states: pa.StringArray, schema: pa.Schema) -> list[pa.Array]:
    rows: list[dict[str, Any]] = [msgspec.json.decode(state) for state in states.to_pylist()]
    return [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]


def _is_readable(state: pa.StringScalar, schema: pa.Schema) -> bool:
    try:
        _members(pa.array([state.as_py()], pa.string()), schema)
    except NOT_AS_TYPED:
        return False
    return True


def _arrow(described: inspect.Type) -> pa.DataType:
    match described:
        case inspect.UnionType(types=types):
            (kind,) = (each for each in types if not isinstance(each, inspect.NoneType))
            return _arrow(kind)
        case inspect.Metadata(type=inner):
            return _arrow(inner)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return pa.list_(_arrow(item))
        case inspect.DictType(key_type=key, value_type=value):
            return pa.map_(_arrow(key), _arrow(value))
        case inspect.StructType(fields=fields):
            return pa.struct([pa.field(each.encode_name, _arrow(each.type)) for each in fields])
        case _:
            return PLAIN[type(described)]
