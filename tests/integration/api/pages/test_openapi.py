"""The description of the API, as programs and people read it, and the API held to it."""

import re
from collections.abc import Iterator
from typing import Any, get_args
from uuid import UUID

import hypothesis
import jsonschema_rs
import msgspec
import pytest
import schemathesis
from litestar import Litestar
from litestar.testing import TestClient
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from api.edge.errors import STATUS_OF, STATUSES
from domain.render import FailureCode, Stage
from infra.log.event_store import EventStore
from infra.settings import Settings
from tests.integration.api.conftest import Client
from tests.integration.api.resources.test_events import stream
from tests.integration.api.resources.test_render import complete, generate
from tests.support.workbooks import HEADER

EXAMPLES = 8  # for each operation: all of them take some 20 s
CHECKS = [  # no operation describes a 500, so it is a failure; the media store is away: 503
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def document(server: TestClient[Litestar]) -> dict[str, Any]:
    document: dict[str, Any] = server.get("/schema/openapi.json").json()
    return document


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_every_operation_says_what_it_does_and_how_it_refuses(document: dict[str, Any]):
    assert document["openapi"].startswith("3.1")
    assert document["info"]["description"]
    for method, path, operation in operations(document):
        assert operation.get("description"), (method, path)
        assert operation["tags"], (method, path)
        if operation.get("security"):
            assert {"401", "503"} <= operation["responses"].keys(), (method, path)
        for status, answer in operation["responses"].items():
            assert answer["description"], (method, path, status)
            if status >= "400" and path != "/health/ready":  # which tells more
                [media] = answer["content"].values()
                assert media["schema"]["$ref"].endswith("/ErrorBody"), (method, path, status)


def test_everything_has_examples_that_are_as_described(document: dict[str, Any]):
    for method, path, operation in operations(document):
        body = operation.get("requestBody", {}).get("content", {})
        has_body = method == "post" and not path.endswith("/stream_token")
        assert has_body == bool(body), (method, path)
        answers = {status: each.get("content", {}) for status, each in answered(operation)}
        assert answers.pop("204", {}) == {}
        for content in [*([body] if body else []), *answers.values()]:
            assert content, (method, path)
            for media in content.values():
                assert media["examples"], (method, path)
                for name, each in media["examples"].items():
                    validator = described(document, media["schema"])
                    assert validator.is_valid(each["value"]), (method, path, name)


def test_every_error_is_shown_with_a_body_of_each_of_its_codes(document: dict[str, Any]):
    shown = set()
    for method, path, operation in operations(document):
        for status, answer in answered(operation):
            if status < "400" or path == "/health/ready":
                continue
            [media] = answer["content"].values()
            codes = [each["value"]["code"] for each in media["examples"].values()]
            assert {STATUS_OF[code] for code in codes} == {int(status)}, (method, path, status)
            assert all(f"`{code}`" in answer["description"] for code in codes)
            shown |= set(codes)
    # What is left is of commands that no client sends, or of a rollout under way.
    hidden = {"internal", "not_claimable", "stale_attempt", "state_too_large", "unknown_event"}
    hidden |= {"wrong_keys", "history_replaced"}  # until an operator has put it right
    assert STATUSES.keys() - shown == hidden


def test_an_error_that_is_shown_names_only_what_its_endpoint_takes(document: dict[str, Any]):
    for method, path, operation in operations(document):
        taken = {each["name"] for each in operation.get("parameters", [])}
        for media in operation.get("requestBody", {}).get("content", {}).values():
            taken |= set(members(document, media["schema"]))
        if path == "/upload_clothes":
            columns = zip("ABCDEFGH", HEADER, strict=True)
            taken |= {f"row 2, column {letter} ({name})" for letter, name in columns}
        for status, answer in answered(operation):
            for media in answer.get("content", {}).values() if status >= "400" else ():
                for code, each in media["examples"].items():
                    named = {detail["field"] for detail in each["value"].get("details", [])}
                    assert named <= taken, (method, path, code)
                    told = str(each["value"].get("message"))
                    headers = set(re.findall(r"(?:X|Idempotency)-[\w-]+", told))
                    assert headers <= taken, (method, path, code)


def members(document: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """The paths of all that a body may hold."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for name, each in schema.get("properties", {}).items():
        yield path + name
        yield from members(document, each, f"{path}{name}.")


def test_what_has_a_few_values_is_an_enumeration(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    assert schemas["TaskState"]["enum"] == ["PENDING", "STARTED", "SUCCESS", "FAILED"]
    assert schemas["Lane"]["enum"] == ["vip", "normal"]
    for name in ("TaskStatus", "TaskChange", "ListedTask"):
        assert schemas[name]["properties"]["status"] == {"$ref": "#/components/schemas/TaskState"}
    for name in ("TaskStatus", "TaskChange"):
        assert schemas[name]["properties"]["type"] == {"$ref": "#/components/schemas/Lane"}
        assert schemas[name]["properties"]["stage"]["enum"] == [*get_args(Stage), None]
    assert schemas["GarmentShown"]["properties"]["render_mode"]["enum"] == ["2D_Kling", "3D"]
    assert schemas["ErrorBody"]["properties"]["code"]["enum"] == sorted(STATUS_OF)
    assert schemas["TaskError"]["properties"]["code"]["enum"] == sorted(get_args(FailureCode))
    assert schemas["ErrorBody"]["required"] == ["code", "details", "message"]


# What generators of clients stumble over: openapi-typescript, openapi-python-client.


def test_a_member_that_may_be_left_out_has_its_default_in_words(document: dict[str, Any]):
    for name, schema in document["components"]["schemas"].items():
        for member, each in schema.get("properties", {}).items():
            assert "default" not in each, (name, member)  # openapi-typescript: required, then
    details = document["components"]["schemas"]["UserDetails"]
    assert details["required"] == []
    assert details["properties"]["hair_color"]["description"] == (
        'RRGGBB or RRGGBBAA, with or without #; `"3B2A20FF"` when left out'
    )
    assert document["components"]["schemas"]["PictureRequest"]["required"] == []


def test_bodies_are_of_media_types_that_generators_know(document: dict[str, Any]):
    for method, path, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        assert content.keys() in (
            set(),
            {"application/json"},
            {"application/octet-stream", "multipart/form-data"},
        ), (method, path)
        if "application/octet-stream" in content:
            binary = {"type": "string", "format": "binary"}
            assert content["application/octet-stream"]["schema"] == binary
            assert content["multipart/form-data"]["schema"]["properties"]["file"] == binary
        # Without an optional parameter beside it, a choice of bodies makes openapi-python-client
        # write a module that cannot be imported.
        assert "X-Request-Id" in {each["name"] for each in operation["parameters"]}, (method, path)


def test_no_parameter_is_ever_null(document: dict[str, Any]):
    for method, path, operation in operations(document):
        for each in operation.get("parameters", []):
            assert "null" not in str(each["schema"]), (method, path, each["name"])


def test_what_a_request_may_hold_is_all_described(document: dict[str, Any]):
    for name, schema in document["components"]["schemas"].items():
        assert schema["description"], name
    for method, path, operation in operations(document):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            if "$ref" in media["schema"]:
                validator = described(document, media["schema"])
                example = next(iter(media["examples"].values()))["value"]
                assert not validator.is_valid(example | {"unheard": "of"}), (method, path)


def test_a_stream_tells_what_its_description_says(
    ada: Client, store: EventStore, document: dict[str, Any]
):
    task = generate(ada)
    [requested] = (each.position for each in store.load(UUID(task)))
    complete(store, task)
    sent = stream(ada, task, **{"Last-Event-ID": str(requested)})
    content = document["paths"]["/generate/{task_id}/events"]["get"]["responses"]["200"]["content"]
    validator = described(document, content["text/event-stream"]["schema"])
    assert len(sent) == 2
    assert all(validator.is_valid(each.data) for each in sent)


def answered(operation: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(operation["responses"].items())


def described(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """What tells whether a value is as a schema of the document has it."""
    return jsonschema_rs.validator_for(schema | {"components": document["components"]})


def test_operation_ids_are_unique(document: dict[str, Any]):
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # schemathesis does
def test_the_api_does_what_its_description_says(ada: Client, document: dict[str, Any]):
    """Made-up requests, good and bad: never a 5xx, never an answer that is not described."""
    schema = schemathesis.openapi.from_dict(document)
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        if result.ok().path != "/account":  # the end of whoever asks: see test_erasure.py
            _hold(result.ok(), ada)  # no made-up task is there, so no stream is held open


def _hold(operation: Any, ada: Client) -> None:
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def held(case: Any) -> None:
        sent = case.as_transport_kwargs(base_url=str(ada.http.base_url))
        sent["headers"] = {**sent["headers"], **ada.headers}
        del sent["cookies"]  # there are none, and httpx wants them elsewhere
        if "data" in sent:
            sent["content"] = sent.pop("data")
        case.validate_response(ada.http.request(**sent), checks=CHECKS)

    held()


@pytest.mark.parametrize("origin", ["https://shop.example.com", "https://evil.example.com"])
def test_only_pages_of_named_origins_may_use_it(shared: Settings, origin: str):
    open_to = msgspec.structs.replace(shared, cors_origins=("https://shop.example.com",))
    with TestClient(create_app(open_to)) as http:
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = http.options("/generate", headers=asked)
        answer = http.get("/health/live", headers={"Origin": origin})
    allowed = "https://shop.example.com" if "shop" in origin else None
    assert preflight.headers.get("Access-Control-Allow-Origin") == allowed
    assert answer.headers.get("Access-Control-Allow-Origin") == allowed


def test_no_page_of_another_origin_may_use_it_by_default(client: Client):
    answer = client.http.get("/health/live", headers={"Origin": "https://shop.example.com"})
    assert "Access-Control-Allow-Origin" not in answer.headers
