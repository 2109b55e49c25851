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
