"""Each error that the description shows of an endpoint is one that this endpoint answers."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from api.pages.examples import OPERATIONS
from infra.log.event_store import EventStore
from tests.integration.api.conftest import PERSON, Client, new_email
from tests.integration.api.resources.test_render import complete, generate
from tests.integration.api.resources.test_video import picture, text
from tests.support.workbooks import row, xlsx

GALLERY = "https://media.example.com/33/gallery"
NO_TASK = "fa398b2c-d6c4-4e81-b58e-8585b37cbebc"
KEY = "Idempotency-Key"
POSITION = "X-Min-Event-Position"

# These take a server that is away or busy, or an account that is gone; what is wrong with
# workbooks, and a taken address, other tests have.
NOT_ASKED_FOR = {
    *("account_erased", "outcome_unknown", "overloaded", "read_model_behind", "unavailable"),
    *("email_taken", "too_large", "too_many_requests", "unauthorized", "version_conflict"),
    *("idempotency_key_reused", "task_ended", "too_many_tasks"),  # below
    *("unreadable_workbook", "unsupported_workbook", "workbook_too_large"),
}

BAD_VALUES: dict[str, Any] = {
    "POST /register": {**PERSON, "email": "ada", "date_of_birth": "1815-12-10"},
    "POST /login": {"email": "ada"},
    "POST /update_user_info": {"full_name": "", "date_of_birth": "1815-12-10"},
    "POST /update_user_details": {"face_shape": 3, "skin_tone": "light"},
    "POST /generate": {"user_details": {"skin_tone": 101}, "image_options": {"quality": "best"}},
    "POST /generate_video": {"video_options": {"duration": 0, "seed": "any"}},
    "POST /upscale": {"video_url": "https://example.com/film.mp4"},
    "POST /image_to_video": {"image": "me.png", "video_options": {"seed": "any"}},
    "POST /get_clothes": {"url": "", "name": 1},
}
BAD_QUERIES = {
    "GET /get_gallery": "limit=1000",
    "GET /get_tasks": "status=DONE",
    "GET /clothes": "limit=0",
    "GET /generate/{task_id}": "wait=soon",
}
ALIKE_FOR_ALL = ("GET /health/live", "GET /health/ready", "GET /capabilities")
READ_BY_POST: dict[str, Any] = {
    "POST /get_clothes": {"json": {"name": "Cloth1"}},
    "POST /generate/{task_id}/stream_token": {},
}
NOTHING_THERE: dict[str, Any] = {
    "GET /get_avatar": {},
    "GET /generate/{task_id}": {},
    "GET /generate/{task_id}/events": {},
    "POST /generate/{task_id}/stream_token": {},
    "DELETE /generate/{task_id}": {},
    "DELETE /remove_gallery_file/{file_name}": {},
    "POST /upscale": {"json": {"video_url": f"{GALLERY}/{NO_TASK}.mp4"}},
    "POST /image_to_video": {"json": {"image": f"{GALLERY}/{NO_TASK}.jpg"}},
    "POST /get_clothes": {"json": {"brand": "BrandA", "name": "No such garment"}},
}
TASKS = ("POST /generate", "POST /generate_video", "POST /upscale", "POST /image_to_video")


class Wrong(NamedTuple):
    """A request, and the code with which its endpoint answers it."""

    endpoint: str
    code: str
    sent: dict[str, Any]


def wrong() -> Iterator[Wrong]:
    """What is refused whatever was asked before, by somebody who is logged in."""
    for endpoint, body in BAD_VALUES.items():
        no_json = {"content": b'{"message": x}', "headers": {"Content-Type": "application/json"}}
        yield Wrong(endpoint, "invalid", {"json": body})
        yield Wrong(endpoint, "malformed_json", no_json)
        yield Wrong(endpoint, "unsupported_media_type", {"content": b"{}"})
    for endpoint, query in BAD_QUERIES.items():
        yield Wrong(endpoint, "invalid", {"params": query})
    for endpoint, sent in NOTHING_THERE.items():
        yield Wrong(endpoint, "not_found", sent)
    for endpoint in OPERATIONS:
        if endpoint in ALIKE_FOR_ALL:
            continue
        if endpoint.startswith("GET") or endpoint in READ_BY_POST:
            sent = READ_BY_POST.get(endpoint, {})
            yield Wrong(endpoint, "malformed", sent | {"headers": {POSITION: "x"}})
            yield Wrong(endpoint, "position_beyond_log", sent | {"headers": {POSITION: "1000000"}})
    for endpoint in TASKS:
        body = next(iter(OPERATIONS[endpoint].request.values()))
        yield Wrong(endpoint, "malformed", {"json": body, "headers": {KEY: "cl\xe9"}})
    yield Wrong("POST /login", "unauthorized", {"json": {"email": new_email()}})
    yield Wrong("POST /upload_avatar", "malformed", {})
    yield Wrong("POST /upload_avatar", "unsupported_media_type", {"content": b"no picture"})
    yield Wrong("POST /upload_avatar", "damaged_image", {"content": picture()[:60]})
    yield Wrong("POST /upload_avatar", "image_too_large", {"content": picture((6_000, 6_000))})
    cut, large = text(picture()[:60]), text(picture((6_000, 6_000)))
    yield Wrong("POST /image_to_video", "damaged_image", {"json": {"image": cut}})
    yield Wrong("POST /image_to_video", "image_too_large", {"json": {"image": large}})
    workbook = xlsx([row(render_mode="4D", sizes="")])
    yield Wrong("POST /upload_clothes", "malformed", {})
    yield Wrong("POST /upload_clothes", "invalid", {"content": workbook})


def answer(client: Client, wrong: Wrong) -> Any:
    method, path = wrong.endpoint.split()
    path = path.format(task_id=NO_TASK, file_name=f"{NO_TASK}.jpg")
    given = {name: value.encode("latin-1") for name, value in wrong.sent.get("headers", {}).items()}
    sent = wrong.sent | {"headers": client.headers | given}
    return client.http.request(method, path, **sent).json()


def shown(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """The bodies of errors in the description, by endpoint and code."""
    return {
        (f"{method.upper()} {path}", code): each["value"]
        for path, item in document["paths"].items()
        for method, operation in item.items()
        for status, response in operation["responses"].items()
        if status >= "400" and path != "/health/ready"
        for media in response["content"].values()
        for code, each in media["examples"].items()
    }


def test_an_endpoint_answers_each_error_that_is_shown_of_it(client: Client, ada: Client):
    examples = shown(client.http.get("/schema/openapi.json").json())
    told = {(each.endpoint, each.code): answer(ada, each) for each in wrong()}
    for endpoint, code in examples:
        if code == "unauthorized" and (endpoint, code) not in told:
            told[endpoint, code] = answer(client, Wrong(endpoint, code, {}))
    del told["POST /upload_clothes", "unauthorized"]  # of a catalogue that has a key
    assert {key: examples[key] for key in told} == told
    assert {code for _, code in examples.keys() - told.keys()} == NOT_ASKED_FOR


def test_the_errors_of_tasks_are_shown_as_they_are_answered(ada: Client, store: EventStore):
    errors = OPERATIONS["POST /generate"].errors
    task = generate(ada, limit=1)
    over = ada.post("/generate", {"task_options": {"limit": 1}})
    assert over.json() == errors["too_many_tasks"]
    assert ada.post("/generate", {}, **{KEY: "one"}).status_code == 200
    other = ada.post("/generate", {"render_mode": "2D_Kling"}, **{KEY: "one"})
    assert other.json() == errors["idempotency_key_reused"]
    complete(store, task)
    ended = ada.delete(f"/generate/{task}")
    assert ended.json() == OPERATIONS["DELETE /generate/{task_id}"].errors["task_ended"]
