"""Every event, whatever its fields hold, comes back from the log as it went in."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import hypothesis.strategies as st
import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from msgspec import inspect

from domain.catalogue import CATALOGUE
from domain.events import Event, NewEvent
from infra.log.event_mapper import EventMapper
from infra.log.keys import KeyRing
from infra.log.recorder import StoredRecord
from tests.support.scenario import ACCOUNT, enveloped

NAMES = sorted(CATALOGUE)


class OneKey(KeyRing):
    """A ring that holds the key of whoever asks, until it is told to lose it; it has no table."""

    def __init__(self) -> None:
        super().__init__(None, bytes(32))  # type: ignore[arg-type]
        self.erased = False

    def _key(self, account: UUID) -> AESGCM | None:
        return None if self.erased else AESGCM(account.bytes * 2)


def values(described: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type, as JSON has it."""
    match described:
        case inspect.UnionType(types=types):
            return st.one_of([values(each) for each in types])
        case inspect.Metadata(type=inner):
            return values(inner)
        case inspect.VarTupleType(item_type=item):
            return st.lists(values(item), max_size=3)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(values(key), values(value), max_size=3)
        case inspect.StructType(fields=fields):
            return st.fixed_dictionaries({f.encode_name: values(f.type) for f in fields})
        case _:
            return PLAIN[type(described)](described)


def texts(described: inspect.StrType) -> st.SearchStrategy[str]:
    """Texts of any characters, or such as fit a pattern."""
    if described.pattern:
        return st.from_regex(described.pattern.removesuffix(r"(?!\n)"), fullmatch=True)
    return st.text(st.characters(codec="utf-8"), min_size=described.min_length or 0, max_size=9)


def integers(described: inspect.IntType) -> st.SearchStrategy[int]:
    """Whole numbers within bounds, and as JSON readers elsewhere can hold them."""
    least, most = described.ge, described.le
    return st.integers(-(2**53) if least is None else least, 2**53 if most is None else most)


PLAIN: dict[type[inspect.Type], Callable[[Any], st.SearchStrategy[Any]]] = {
    inspect.NoneType: lambda _: st.none(),
    inspect.BoolType: lambda _: st.booleans(),
    inspect.IntType: integers,
    inspect.FloatType: lambda d: st.floats(d.ge, d.le, allow_nan=False, allow_infinity=False),
    inspect.StrType: texts,
    inspect.LiteralType: lambda d: st.sampled_from(d.values),
}


def events(name: str) -> st.SearchStrategy[Event]:
    """Any event of a type."""
    kind = CATALOGUE[name]
    return values(inspect.type_info(kind)).map(lambda members: msgspec.convert(members, kind))


def recorded(new: NewEvent, mapper: EventMapper) -> StoredRecord:
    """The row that the log would keep."""
    row = mapper.to_stored_event(new)
    return StoredRecord(
        originator_id=row.originator_id,
        originator_version=row.originator_version,
        topic=row.topic,
        state=row.state,
        id=7,
        event_id=row.event_id,
        recorded_at=datetime(2026, 11, 22, tzinfo=UTC),
        actor=row.actor,
        account=row.account,
        correlation_id=row.correlation_id,
        causation_id=row.causation_id,
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_event_comes_back_as_it_went_in(name):
    @given(events(name))
    def check(event):
        mapper = EventMapper(OneKey())
        new = enveloped(event, uuid4(), 3)
        back = mapper.to_domain_event(recorded(new, mapper))
        assert back.event == event
        assert (back.version, back.account, back.event_id) == (3, ACCOUNT, new.event_id)

    check()


@pytest.mark.parametrize("name", [name for name in NAMES if CATALOGUE[name].personal])
def test_nothing_personal_is_left_of_somebody_erased(name):
    @given(events(name))
    def check(event):
        keys = OneKey()
        mapper = EventMapper(keys)
        stored = recorded(enveloped(event, uuid4()), mapper)
        assert set(msgspec.json.decode(stored.state)).isdisjoint(event.personal)
        keys.erased = True
        nothing = dict.fromkeys(event.personal)
        assert mapper.to_domain_event(stored).event == msgspec.structs.replace(event, **nothing)

    check()
