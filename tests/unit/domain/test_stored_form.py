import copy
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema_rs
import msgspec
import pytest

from domain import stored_form
from domain.catalogue import CATALOGUE
from domain.events import Event
from tests.support.compatibility import incompatibilities

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / "docs" / "events"
GOLDEN = ROOT / "tests" / "golden"
NAMES = sorted(CATALOGUE)

WRITE = "`atelier events catalog --schemas docs/events` writes it down"


def kept(name):
    path = SCHEMAS / f"{name}.json"
    assert path.exists(), f"{name} is new: {WRITE}"
    return json.loads(path.read_text())


def members(name):
    """The golden file of an event, as the log would have it."""
    found = json.loads((GOLDEN / f"{name}.json").read_text())
    personal = {field: found.pop(field, None) for field in CATALOGUE[name].personal}
    return found | ({"personal": "c2VhbGVk"} if personal else {}), personal


@pytest.mark.parametrize("name", NAMES)
def test_no_stored_event_has_changed_so_that_old_ones_could_not_be_read(name):
    broken = incompatibilities(kept(name), stored_form.document(CATALOGUE[name]))
    assert not broken, (
        f"{name} is stored for ever, and this change is incompatible: {'; '.join(broken)}."
        f" Leave it as it was, and make a new version beside it with an upcaster."
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_kept_schema_is_that_of_this_build(name):
    current = stored_form.document(CATALOGUE[name])
    assert kept(name) == current, f"{name} has changed in a way that is allowed: {WRITE}"


def test_no_version_is_forgotten():
    gone = {path.stem for path in SCHEMAS.glob("*.json")} - CATALOGUE.keys()
    assert not gone, f"{gone} may lie in a log: keep them in the catalogue, with upcasters"


@pytest.mark.parametrize("name", NAMES)
def test_golden_files_fit_their_schemas(name):
    stored, personal = members(name)
    schema = stored_form.document(CATALOGUE[name])
    jsonschema_rs.validate(schema, stored)
    if personal:
        sealed = schema["properties"]["personal"][stored_form.SEALED]
        jsonschema_rs.validate(sealed | {"$defs": schema.get("$defs", {})}, personal)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_personal_is_described_only_as_sealed(name):
    schema = stored_form.document(CATALOGUE[name])
    personal = set(CATALOGUE[name].personal)
    assert personal.isdisjoint(schema["properties"])
    if personal:
        content = schema["properties"]["personal"][stored_form.SEALED]
        assert content["properties"].keys() == personal


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    size: Annotated[int, msgspec.Meta(ge=0, le=10)] = 3


class Example(Event, frozen=True, kw_only=True):
    """An example."""

    stored_name = "example.happened.v1"
    personal = ("name",)

    name: str | None
    count: int
    kind: Literal["a", "b"]
    inner: Inner
    many: tuple[Inner, ...] = ()
    note: Annotated[str, msgspec.Meta(max_length=5)] | None = None


def changed(path: str, value: Any = None) -> Any:
    """The example's schema with one member set, or removed."""
    schema = copy.deepcopy(stored_form.document(Example))
    *steps, last = path.split("/")
    place: Any = schema
    for step in steps:
        place = place[int(step) if isinstance(place, list) else step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return schema


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("properties/count", None, "count was removed"),
        ("$defs/Inner/properties/size", None, "inner.size was removed"),
        ("properties/count/type", "string", "count: type was 'integer' and is now 'string'"),
        ("required", ["count", "kind", "inner", "personal", "note"], "note became required"),
        ("required", ["kind", "inner", "personal"], "count became optional"),
        ("properties/kind/enum", ["a"], "kind may no longer be 'b'"),
        ("properties/count/enum", [1, 2], "count may only be 1, 2 now"),
        ("$defs/Inner/properties/size/maximum", 9, "many[].size: maximum was 10 and is now 9"),
        ("$defs/Inner/properties/size/minimum", 1, "inner.size: minimum was 0 and is now 1"),
        ("$defs/Inner/properties/size/default", 4, "inner.size: default was 3 and is now 4"),
        ("properties/count/minimum", 1, "count: minimum was None and is now 1"),
        ("properties/note/anyOf", [{"type": "string"}], "note: its type has changed"),
        ("properties/note/anyOf/0/maxLength", 4, "note: maxLength was 5 and is now 4"),
        ("properties/many/items", {"type": "string"}, "many[]: type was 'object'"),
        ("properties/personal", None, "personal was removed"),
        (
            f"properties/personal/{stored_form.SEALED}/properties/name/anyOf/0/type",
            "integer",
            "name: type was 'string'",
        ),
    ],
)
def test_a_change_that_breaks_readers_is_named(path, value, told):
    broken = incompatibilities(stored_form.document(Example), changed(path, value))
    assert told in "; ".join(broken)


def test_a_new_field_that_is_required_is_named():
    schema = changed("required", ["count", "kind", "inner", "personal", "more"])
    schema["properties"]["more"] = {"type": "string"}
    old = stored_form.document(Example)
    assert incompatibilities(old, schema) == ["more is new and required"]


def test_a_new_optional_field_and_wider_ranges_are_allowed():
    schema = changed("properties/kind/enum", ["a", "b", "c"])
    schema["properties"]["more"] = {"type": "string", "default": ""}
    schema["$defs"]["Inner"]["properties"]["size"] |= {"maximum": 11, "minimum": -1}
    schema["$defs"]["Inner"]["properties"]["new"] = {"type": "string", "default": ""}
    del schema["properties"]["note"]["anyOf"][0]["maxLength"]
    schema["description"] = "Told in other words."
    assert incompatibilities(stored_form.document(Example), schema) == []
