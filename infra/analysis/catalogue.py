"""The catalogue of events for other systems: AsyncAPI 3, and a JSON Schema for each event."""

import argparse
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import msgspec

from domain import stored_form
from domain.catalogue import CATALOGUE
from domain.events import Event
from infra.kafka.topics import EVENTS_TOPIC, PARTITIONS
from infra.settings import Settings

ASYNCAPI: Final = "3.0.0"
REFERENCE: Final = "#/components/schemas/{name}"
TEXT: Final = {"type": "string"}
UUID: Final = {"type": "string", "format": "uuid"}
NUMBER: Final = {"type": "string", "pattern": "^[1-9][0-9]*$"}

# As `infra.relay_records` writes them; CloudEvents 1.0 in binary mode has the first ones.
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": UUID,
    "ce_type": TEXT,
    "ce_source": TEXT | {"description": "The log: a position means something only with it."},
    "ce_subject": UUID | {"description": "The aggregate."},
    "ce_time": {"type": "string", "format": "date-time"},
    "content-type": {"const": "application/json"},
    "atelier_position": NUMBER | {"description": "The event's place in the log's global order."},
    "atelier_version": NUMBER | {"description": "The event's place in its aggregate's history."},
    "atelier_account": UUID | {"description": "Whose data it is; garments belong to nobody."},
    "atelier_actor": TEXT,
    "atelier_correlation": UUID,
    "atelier_causation": UUID,
}
NOT_ALWAYS: Final = ("atelier_account", "atelier_causation")


def run(_settings: Settings, given: argparse.Namespace) -> None:
    """Print the AsyncAPI document or the names, or write the schemas."""
    if given.names:
        sys.stdout.write("".join(f"{name}\n" for name in sorted(CATALOGUE)))
    elif given.schemas:
        write_schemas(Path(given.schemas))
    else:
        sys.stdout.write(pretty(asyncapi()))
    sys.stdout.flush()


def write_schemas(folder: Path) -> None:
    """Write each event's JSON Schema as ``NAME.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in CATALOGUE.items():
        (folder / f"{name}.json").write_text(pretty(stored_form.document(kind)))


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI document of the events topic."""
    schemas: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for name, kind in sorted(CATALOGUE.items()):
        schemas[name], definitions = stored_form.parts(kind, REFERENCE)
        schemas |= definitions
        messages[name] = _message(kind)
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "Atelier's events",
            "version": metadata.version("atelier"),
            "description": "Every fact, once and in order for each aggregate, as a CloudEvent 1.0"
            " in binary mode. Read it with isolation.level=read_committed. Readers ignore members"
            " that they do not know; a change of any other kind is a new version.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "events": {
                "address": EVENTS_TOPIC,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {
                    "kafka": {
                        "topic": EVENTS_TOPIC,
                        "partitions": PARTITIONS,
                        "bindingVersion": "0.5.0",
                    }
                },
            }
        },
        "operations": {
            "publishEvents": {"action": "send", "channel": {"$ref": "#/channels/events"}}
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def pretty(document: Any) -> str:
    """JSON for people to read."""
    return msgspec.json.format(msgspec.json.encode(document)).decode() + "\n"


def _message(kind: type[Event]) -> dict[str, Any]:
    name = kind.stored_name
    return {
        "name": name,
        "title": name,
        "summary": (kind.__doc__ or "").partition("\n")[0],
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": HEADERS | {"ce_type": {"const": name}},
            "required": [header for header in HEADERS if header not in NOT_ALWAYS],
        },
        "payload": {"$ref": REFERENCE.format(name=name)},
        "correlationId": {"location": "$message.header#/atelier_correlation"},
        "bindings": {"kafka": {"key": UUID, "bindingVersion": "0.5.0"}},
    }
