from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

import pytest
from structlog.testing import capture_logs

from infra.log.event_store import EventStore
from tests.integration.api.conftest import Client, new_email

PRIVATE = [
    ("GET", "/get_user_info"),
    ("POST", "/update_user_info"),
    ("GET", "/get_user_details"),
    ("POST", "/update_user_details"),
    ("GET", "/get_avatar"),
    ("POST", "/upload_avatar"),
    ("POST", "/generate"),
    ("GET", f"/generate/{uuid4()}"),
    ("GET", "/get_tasks"),
    ("GET", "/get_gallery"),
    ("DELETE", f"/remove_gallery_file/{uuid4()}.jpg"),
]


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer x", "x.y.z", "Basic YTpi", "\xe9"])
def test_without_a_valid_token_every_private_path_is_closed(client: Client, token: str):
    for method, path in PRIVATE:
        headers = {b"Authorization": token.encode("latin-1")} if token else {}
        answer = client.http.request(method, path, headers=headers)
        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json()["code"] == "unauthorized"


def test_an_answer_to_a_command_tells_its_position_and_a_read_can_ask_for_it(ada: Client):
    written = ada.post("/update_user_info", {"gender": "Other"}).headers["X-Event-Position"]
    assert int(written) > 0
    answer = ada.get("/get_user_info", **{"X-Min-Event-Position": written})
    assert answer.status_code == 200
    assert "X-Projection-Parked" not in answer.headers


def test_a_position_beyond_the_log_is_refused(ada: Client):
    answer = ada.get("/get_tasks", **{"X-Min-Event-Position": "1000000"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "position_beyond_log"


@pytest.mark.parametrize("position", ["x", "-1", "1.5", "", "9" * 30, "١"])
def test_a_position_that_is_none_is_refused(ada: Client, position: str):
    headers = {
        b"Authorization": ada.headers["Authorization"].encode(),
        b"X-Min-Event-Position": position.encode(),
    }
    answer = ada.http.get("/get_tasks", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["details"][0]["field"] == "X-Min-Event-Position"


def test_a_read_that_cannot_show_what_was_written_is_refused_for_now(alone: Client):
    answer = alone.joined_by(new_email()).get("/get_user_info")
    assert answer.status_code == 503
    assert answer.json()["code"] == "read_model_behind"
    assert int(answer.headers["Retry-After"]) > 0


def test_a_request_keeps_the_id_that_it_came_with(ada: Client, store: EventStore):
    request_id = str(uuid4())
    answer = ada.post("/generate", {}, **{"X-Request-Id": request_id})
    assert answer.headers["X-Request-Id"] == request_id
    [requested] = store.load(UUID(answer.json()["task_id"]))
    assert str(requested.correlation_id) == request_id
    assert requested.actor == f"account:{requested.account}"


@pytest.mark.parametrize("given", ["web-7", "7", "Root=.._trace", "x" * 129, "", "a b", "<i>", "ä"])
def test_a_request_id_is_1_to_128_letters_digits_dots_dashes_and_underscores(
    ada: Client, store: EventStore, given: str
):
    headers = {
        b"Authorization": ada.headers["Authorization"].encode(),
        b"X-Request-Id": given.encode(),
    }
    answer = ada.http.post("/generate", json={}, headers=headers)
    told = answer.headers["X-Request-Id"]
    [requested] = store.load(UUID(answer.json()["task_id"]))
    if given in ("web-7", "7"):
        assert told == given
        assert requested.correlation_id == uuid5(NAMESPACE_OID, given)
    else:
        assert requested.correlation_id == UUID(told)


def test_the_longest_request_id_is_given_back(client: Client):
    given = "aZ09-_." + "x" * 121
    answer = client.http.get("/nowhere", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == given


@pytest.mark.parametrize("path", ["/health/live", "/nowhere", "/get_tasks", "/register"])
def test_every_answer_carries_the_headers_that_keep_it_private(client: Client, path: str):
    answer = client.http.get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/", 405, "method_not_allowed"),
        ("GET", "/register", 405, "method_not_allowed"),
        ("PUT", "/generate", 405, "method_not_allowed"),
    ],
)
def test_paths_and_methods_that_do_not_exist(
    client: Client, method: str, path: str, status: int, code: str
):
    answer = client.http.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"message", "code", "details"}
    assert answer.json()["code"] == code


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_json"),
        (b"", "application/json", 400, "malformed_json"),
        (b"[" * 50_000, "application/json", 400, "malformed_json"),
        (b"\xff", "application/json", 400, "malformed_json"),
        (b"[]", "application/json; charset=utf-8", 422, "invalid"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"{}", None, 415, "unsupported_media_type"),
        (b" " * 70_000, "application/json", 413, "too_large"),
    ],
)
def test_bodies_that_cannot_be_read(
    client: Client, body: bytes, kind: str | None, status: int, code: str
):
    headers = {"Content-Type": kind} if kind else {}
    answer = client.http.post("/login", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == code


def test_the_description_names_every_path_and_the_shape_of_its_body(client: Client):
    description = client.http.get("/schema/openapi.json").json()
    assert {path for _, path in PRIVATE if "-" not in path} <= description["paths"].keys()
    assert "/generate/{task_id}" in description["paths"]
    body = description["paths"]["/generate"]["post"]["requestBody"]
    assert "PictureRequest" in str(body)
    assert "Thigh Length" in str(description["components"]["schemas"])


def test_a_bug_of_ours_tells_nothing_but_the_requests_id(
    ada: Client, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(EventStore, "load", broken)
    body = {"user_details": {"gender": "private"}}
    with capture_logs() as logs:
        answer = ada.post("/generate", body, **{"X-Request-Id": "web-7"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert answer.headers["X-Request-Id"] == "web-7"
    assert answer.json()["message"].endswith("tell us the request id web-7")
    assert [each["request_id"] for each in logs if each["event"] == "failed"] == ["web-7"]
    assert "secret" not in answer.text


def test_a_byte_order_mark_before_the_json_is_no_matter(ada: Client):
    headers = ada.headers | {"Content-Type": "application/json; charset=utf-8"}
    body = b'\xef\xbb\xbf{"gender": "Other"}'
    assert ada.http.post("/update_user_info", content=body, headers=headers).status_code == 200
    assert ada.get("/get_user_info").json()["gender"] == "Other"
