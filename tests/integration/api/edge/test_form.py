import gzip
import json

import pytest

BODY = json.dumps({"email": "ada@example.org"}).encode()
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", ["/login", "/register", "/upload_clothes", "/get_clothes"])
@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "deflate, gzip"])
def test_a_compressed_body_is_refused_with_the_name_of_the_header(server, path, encoding):
    headers = JSON | {"Content-Encoding": encoding}

    answer = server.post(path, content=gzip.compress(BODY), headers=headers)

    assert answer.status_code == 415
    assert answer.json()["code"] == "unsupported_media_type"
    assert "Content-Encoding" in answer.json()["message"]
    assert answer.headers["Accept-Encoding"] == "identity"


def test_a_body_that_says_it_is_not_compressed_is_read(server):
    headers = JSON | {"Content-Encoding": "identity"}

    answer = server.post("/login", content=BODY, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (
        401,
        "unauthorized",
    )  # nobody of that name


@pytest.mark.parametrize("path", ["/get_gallery", "/get_tasks"])
@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ("limit=10&limit=20", {"limit": "is given more than once"}),
        ("limit=10&limit=10", {"limit": "is given more than once"}),
        ("cursor=1&limit=5&cursor=2", {"cursor": "is given more than once"}),
        ("cursor=1e9", {"cursor": "must be a whole number, in digits"}),
        ("limit=1E1", {"limit": "must be a whole number, in digits"}),
        ("limit=10.0", {"limit": "must be a whole number, in digits"}),
        ("limit=%2B10", {"limit": "must be a whole number, in digits"}),
        ("limit=%D9%A1", {"limit": "must be a whole number, in digits"}),
        ("limit=0x10", {"limit": "must be a whole number, in digits"}),
        ("limit=1_0", {"limit": "must be a whole number, in digits"}),
        ("limit=ten", {"limit": "must be a whole number, in digits"}),
    ],
)
def test_a_parameter_is_given_once_and_as_what_it_is(ada, path, query, refused):
    answer = ada.get(f"{path}?{query}")

    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid"
    violations = {each["field"]: each["message"] for each in answer.json()["details"]}
    assert refused.items() <= violations.items()


def test_text_without_what_nobody_can_see_is_asked_for(client):
    answer = client.get("/clothes?brand=a%00b&q=c%0Ad")

    assert answer.status_code == 422
    violations = [(each["field"], each["message"]) for each in answer.json()["details"]]
    assert violations == [
        (name, "must be text without control characters") for name in ("brand", "q")
    ]


def test_a_wait_may_have_a_fraction(ada):
    assert ada.get("/generate/nothing?wait=1.5").status_code == 404


@pytest.mark.parametrize(
    ("request_line", "refused"),
    [
        ("GET /get_gallery?limit=101", {"limit": "must be a whole number from 1 to 100"}),
        (
            "GET /get_gallery?limit=0&cursor=-1",
            {
                "limit": "must be a whole number from 1 to 100",
                "cursor": f"must be a whole number from 0 to {2**53}",
            },
        ),
        (
            "GET /get_tasks?status=done",
            {"status": "must be one of PENDING, STARTED, SUCCESS, FAILED"},
        ),
        ("GET /get_tasks?status=", {"status": "must be one of PENDING, STARTED, SUCCESS, FAILED"}),
        ("GET /generate/nothing?wait=soon", {"wait": "must be a number from 0 to 60"}),
        ("GET /generate/nothing?wait=61", {"wait": "must be a number from 0 to 60"}),
        ("POST /upload_clothes?dry_run=maybe", {"dry_run": "must be true or false"}),
    ],
)
def test_what_a_parameter_must_be_is_said_in_words_and_not_in_types(ada, request_line, refused):
    method, path = request_line.split()

    answer = ada.http.request(method, path, headers=ada.headers)

    assert answer.status_code == 422
    assert {each["field"]: each["message"] for each in answer.json()["details"]} == refused
