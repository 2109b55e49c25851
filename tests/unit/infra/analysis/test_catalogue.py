import json
from pathlib import Path

import jsonschema_rs
import pytest

from domain.catalogue import CATALOGUE
from infra.analysis import catalogue
from infra.relay.records import pack_events
from tests.unit.infra.relay.test_records import SOURCE, decoded, ready

# As the makers of AsyncAPI publish it (@asyncapi/specs, Apache-2.0).
ASYNCAPI = Path(__file__).parents[3] / "contract" / "asyncapi-3.0.0.json"
EVENT = ready()
FEWEST = ready(account=None, causation_id=None)
DOCUMENT = json.loads(catalogue.pretty(catalogue.asyncapi()))


def test_the_document_is_asyncapi_3():
    jsonschema_rs.validate(json.loads(ASYNCAPI.read_text()), DOCUMENT)


def test_it_has_a_message_for_every_event():
    (channel,) = DOCUMENT["channels"].values()
    assert channel["address"] == "atelier.events"
    assert channel["messages"].keys() == CATALOGUE.keys()
    assert DOCUMENT["components"]["messages"].keys() == CATALOGUE.keys()


def test_every_reference_leads_somewhere():
    found = set()

    def visit(value):
        if isinstance(value, dict):
            found.update([value["$ref"]] if "$ref" in value else [])
            for each in value.values():
                visit(each)
        elif isinstance(value, list):
            for each in value:
                visit(each)

    visit(DOCUMENT)
    assert any("schemas" in each for each in found)
    for reference in found:
        place = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


@pytest.mark.parametrize("event", [EVENT, FEWEST], ids=["with all headers", "with the fewest"])
def test_the_headers_are_those_of_the_records(event):
    (batch,) = pack_events([event], SOURCE)
    (record,) = decoded(batch)
    headers = {name: text.decode() for name, text in record.headers}
    schema = DOCUMENT["components"]["messages"][event.type]["headers"]
    jsonschema_rs.validate(schema, headers)
    described = schema["properties"].keys() if event is EVENT else set(schema["required"])
    assert headers.keys() == described


def test_each_event_has_a_schema_of_its_own(tmp_path):
    catalogue.write_schemas(tmp_path / "schemas")
    assert {path.stem for path in (tmp_path / "schemas").iterdir()} == CATALOGUE.keys()
