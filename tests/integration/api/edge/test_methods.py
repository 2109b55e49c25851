import pytest

from tests.integration.api.conftest import Client
from tests.integration.api.resources.test_render import generate

GETS = ["/get_user_info", "/get_tasks", "/get_gallery?limit=3", "/get_gallery?limit=999"]


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_without_a_body(ada: Client, path: str):
    got = ada.get(path)

    head = ada.http.request("HEAD", path, headers=ada.headers)

    assert head.content == b""
    assert head.status_code == got.status_code
    for name in ("content-type", "content-length", "cache-control"):
        assert head.headers[name] == got.headers[name]


def test_head_needs_the_token_that_get_needs(client: Client):
    head = client.http.request("HEAD", "/get_tasks")

    assert (head.status_code, head.content) == (401, b"")


def test_head_of_a_stream_ends_with_its_headers(ada: Client):
    task = generate(ada)

    head = ada.http.request("HEAD", f"/generate/{task}/events", headers=ada.headers)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


def test_head_where_there_is_no_get_is_refused(client: Client):
    head = client.http.request("HEAD", "/login")

    assert head.status_code == 405
    assert set(head.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/get_gallery", {"GET", "HEAD", "OPTIONS"}),
        ("/generate", {"POST", "OPTIONS"}),
        ("/account", {"DELETE", "OPTIONS"}),
        ("/login", {"POST", "OPTIONS"}),
    ],
)
def test_options_says_what_a_path_takes_without_a_token(
    client: Client, path: str, allowed: set[str]
):
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}

    options = client.http.request("OPTIONS", path, headers=asked)

    assert (options.status_code, options.content) == (204, b"")
    assert set(options.headers["Allow"].split(", ")) == allowed
    assert "Access-Control-Allow-Origin" not in options.headers


def test_another_method_is_told_which_there_are(client: Client):
    answer = client.http.request("PUT", "/get_gallery")

    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
