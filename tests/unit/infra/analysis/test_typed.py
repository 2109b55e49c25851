from datetime import UTC, datetime

import msgspec
import pyarrow as pa
import pytest

from domain.catalogue import CATALOGUE
from domain.errors import UnknownEvent
from domain.events import Event
from infra.analysis.arrow import ENVELOPE, blocks
from infra.analysis.typed import flat, state_schema, table_schema, typed
from tests.unit.domain.test_catalogue import EXAMPLES

NAMES = sorted(CATALOGUE)


def batch(*events):
    """Rows of the envelope table for these stored names and states."""
    rows = [
        {
            "position": number,
            "event_id": "00000000-0000-4000-8000-000000000001",
            "type": name,
            "aggregate_id": "00000000-0000-4000-8000-000000000002",
            "aggregate_version": number,
            "recorded_at": datetime(2026, 11, 22, tzinfo=UTC),
            "actor": "test",
            "account": None,
            "correlation_id": "00000000-0000-4000-8000-000000000003",
            "causation_id": None,
            "state": state,
        }
        for number, (name, state) in enumerate(events, start=1)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=ENVELOPE)


def stored(name, *, opened):
    """The members of an example, as the log would have them."""
    members = msgspec.json.decode(msgspec.json.encode(EXAMPLES[name]))
    if not opened and CATALOGUE[name].personal:
        for field in CATALOGUE[name].personal:
            del members[field]
        members["personal"] = "c2VhbGVk"
    return members


def plain(value):
    """What Arrow gives, with maps as objects and without what was left out."""
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return dict(value)
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if each is not None}
    return value


@pytest.mark.parametrize("opened", [True, False], ids=["opened", "sealed"])
@pytest.mark.parametrize("name", NAMES)
def test_every_member_of_every_event_has_a_column(name, opened):
    members = stored(name, opened=opened)
    state = msgspec.json.encode(members).decode()
    (row,) = typed(batch((name, state)), name, opened=opened).batch.to_pylist()
    found = {field.name: row[field.name] for field in state_schema(CATALOGUE[name], opened=opened)}
    assert plain(found) == plain(members)


def test_events_of_other_types_are_left_out():
    mixed = batch(
        ("render.cancelled.v1", '{"attempt":1}'),
        ("render.started.v1", '{"attempt":2,"consumer":"c"}'),
        ("render.cancelled.v1", '{"attempt":3}'),
    )
    found = typed(mixed, "render.cancelled.v1", opened=False)
    assert found.batch["position"].to_pylist() == [1, 3]
    assert found.batch["attempt"].to_pylist() == [1, 3]
    assert found.batch.schema == table_schema(CATALOGUE["render.cancelled.v1"], opened=False)
    assert found.unreadable == []


def test_what_is_left_out_is_null_and_what_is_unknown_is_ignored():
    state = '{"later":[1,{"x":2}],\n "attempt":1}'
    (row,) = typed(batch(("render.started.v1", state)), "render.started.v1", opened=False)[
        0
    ].to_pylist()
    assert (row["attempt"], row["consumer"]) == (1, None)


@pytest.mark.parametrize("bad", ["no json", "[]", "3", '{"attempt":"x"}', "", '{"attempt":1}{}'])
def test_a_state_that_is_not_as_its_type_says_leaves_the_others_alone(bad):
    name = "render.cancelled.v1"
    found = typed(
        batch((name, '{"attempt":1}'), (name, bad), (name, '{"attempt":3}')), name, opened=False
    )
    assert found.batch["attempt"].to_pylist() == [1, None, 3]
    assert found.unreadable == [2]


def test_an_event_without_members_has_a_table_as_well(monkeypatch):
    class Slept(Event, frozen=True, kw_only=True):
        stored_name = "render.slept.v1"

    monkeypatch.setitem(CATALOGUE, "render.slept.v1", Slept)
    slept = ("render.slept.v1", "{}")
    found = typed(batch(slept, slept, ("render.slept.v1", "?")), "render.slept.v1", opened=False)
    assert found.batch["position"].to_pylist() == [1, 2, 3]
    assert found.unreadable == [3]


def test_a_flat_table_has_a_column_for_each_member_of_a_struct_and_json_for_lists_and_maps():
    asked, done = (
        flat(typed(batch((name, json)), name, opened=True).batch)
        for name, json in [
            ("render.requested.v1", '{"vip":true,"apparel_details":{"item_id":"Hoodie"}}'),
            ("render.completed.v1", '{"ignored":["pose"],"measured":{"Height":179.5}}'),
        ]
    )
    (row,) = asked.to_pylist()
    assert (row["vip"], row["apparel_details.item_id"]) == (True, "Hoodie")
    assert row["user_details.real_world_measurements.Height"] is None
    (row,) = done.to_pylist()
    assert (row["ignored"], row["measured"], row["files"]) == (
        '["pose"]',
        '{"Height":179.5}',
        None,
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_table_can_be_flat(name):
    state = msgspec.json.encode(stored(name, opened=True)).decode()
    found = flat(typed(batch((name, state)), name, opened=True).batch)
    assert not any(pa.types.is_nested(each.type) for each in found.schema)
    assert len(set(found.schema.names)) == len(found.schema)


def test_a_type_that_this_build_does_not_know_is_refused():
    with pytest.raises(UnknownEvent, match=r"position 1 holds render.sung.v9"):
        typed(batch(("render.sung.v9", "{}")), "render.sung.v9", opened=False)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (5, 250_000, [(5, 100_000), (100_001, 200_000), (200_001, 250_000)]),
        (100_000, 100_001, [(100_000, 100_000), (100_001, 100_001)]),
        (1, 100_000, [(1, 100_000)]),
        (3, 2, []),
    ],
)
def test_blocks_are_cut_at_the_same_positions_wherever_they_start(first, last, expected):
    assert list(blocks(first, last)) == expected
