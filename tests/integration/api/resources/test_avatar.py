import io
import re
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest
from PIL import Image

from domain.account import AvatarUploaded
from infra.access.tokens import Tokens
from infra.log.event_store import EventStore
from infra.media.store import MediaStore
from infra.settings import Settings
from tests.integration.api.conftest import Client, new_email
from tests.support.servers import MediaServer


def picture(kind: str = "JPEG", colour: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(buffer, kind)
    return buffer.getvalue()


def upload(client: Client, data: bytes, content_type: str = "image/jpeg"):
    headers = client.headers | {"Content-Type": content_type}
    return client.http.post("/upload_avatar", content=data, headers=headers)


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        content: bytes = answer.read()
    return content


@pytest.fixture
def ada(eve: Client) -> Client:
    """Who has a media store is called Ada here."""
    return eve


def uploads(ada: Client, shared: Settings, store: EventStore) -> list[AvatarUploaded]:
    account = Tokens(shared.jwt_key).account(ada.headers["Authorization"].split()[1])
    events = [recorded.event for recorded in store.load(account)]
    return [event for event in events if isinstance(event, AvatarUploaded)]


def test_there_is_none_before_the_first_upload(ada: Client):
    answer = ada.get("/get_avatar")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_what_is_uploaded_is_shown_under_the_names_of_the_contract(ada: Client):
    answer = upload(ada, picture())
    assert answer.status_code == 200, answer.text
    urls = answer.json()
    assert urls.keys() == {"avatar_url", "avatar_thumbnail_url"}
    large, small = (urlsplit(urls[name]).path for name in ("avatar_url", "avatar_thumbnail_url"))
    named = re.search(r"/\d+/avatar/avatar_\d{13}(?=\.png$)", large)
    assert named
    assert small.endswith(f"{named[0]}_thumbnail.jpg")
    shown = ada.get("/get_avatar").json()
    assert [urlsplit(each).path for each in shown.values()] == [large, small]
    assert Image.open(io.BytesIO(fetched(shown["avatar_url"]))).size == (60, 40)
    assert Image.open(io.BytesIO(fetched(shown["avatar_thumbnail_url"]))).format == "JPEG"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_bytes_tell_the_kind_whatever_the_header_says(ada: Client, kind: str):
    assert upload(ada, picture(kind), "application/octet-stream").status_code == 200


def test_a_multipart_form_with_one_file_is_taken(ada: Client):
    answer = ada.http.post(
        "/upload_avatar",
        files={"picture": ("me.jpg", picture(), "image/jpeg")},
        data={"comment": "me"},
        headers=ada.headers,
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "part",
    [
        'name="f"; filename="ich bin müde.jpg"'.encode("latin-1"),
        b"name=\"f\"; filename*=UTF-8''m%C3%BCde.jpg",
        'name="f"; filename="我.jpg"'.encode(),
        b'name="f"; filename=""',
        b'name="f"; filename="' + b"x" * 10_000 + b'.jpg"',
        b'name="f"\r\nContent-Type: image/jpeg',
        b'name="file"',
    ],
    ids=["latin-1", "filename*", "UTF-8", "empty", "long", "none, with a type", "none"],
)
def test_the_file_of_a_form_may_have_any_name_or_none(ada: Client, part: bytes):
    body = b"\r\n".join(
        [
            b"--b",
            b'Content-Disposition: form-data; name="comment"',
            b"",
            b"me",
            b"--b",
            b"Content-Disposition: form-data; " + part,
            b"",
            picture(),
            b"--b",
            b'Content-Disposition: form-data; name="not chosen"; filename=""',
            b"",
            b"",
            b"--b--",
            b"",
        ]
    )
    answer = upload(ada, body, "multipart/form-data; boundary=b")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "image/jpeg", 400),
        (b"no picture", "image/jpeg", 415),
        (b"{}", "application/json", 415),
        (picture()[:300], "image/jpeg", 422),
        (bytes(10_100_000), "image/jpeg", 413),
        (b"x", "multipart/form-data", 400),
        (b"x", "multipart/form-data; boundary=b", 400),
        (b"--b\r\n\r\n--b--\r\n", "multipart/form-data; boundary=b", 400),
        (
            b'--b\r\nContent-Disposition: form-data; name="f"\r\n'
            b"Content-Type: text/plain; charset=no-such\r\n\r\nx\r\n--b--\r\n",
            "multipart/form-data; boundary=b",
            415,
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nx\r\n'
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="b"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            400,
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n'
            b'--b\r\nContent-Disposition: form-data; name="g"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            400,
        ),
    ],
)
def test_what_is_no_upload_is_refused(ada: Client, body: bytes, content_type: str, status: int):
    answer = upload(ada, body, content_type)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"message", "code", "details"}
    assert ada.get("/get_avatar").status_code == 404


def test_the_event_names_what_is_stored_and_what_it_replaces(
    ada: Client, shared: Settings, store: EventStore, media: MediaStore
):
    assert upload(ada, picture()).status_code == 200
    assert upload(ada, picture(colour="red")).status_code == 200
    first, second = uploads(ada, shared, store)
    assert first.replaced == ()
    assert second.replaced == (first.picture.key, first.thumbnail.key)
    for file in (second.picture, second.thumbnail):
        assert media.stat(file.key).size == file.size


def test_while_the_store_is_away_nothing_is_taken(
    ada: Client, shared: Settings, store: EventStore, media_server: MediaServer
):
    assert upload(ada, picture()).status_code == 200
    media_server.server.kill()
    answer = upload(ada, picture(colour="red"))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert len(uploads(ada, shared, store)) == 1
    media_server.server.restart()
    assert upload(ada, picture(colour="red")).status_code == 200


def test_an_avatar_is_its_owners_alone(ada: Client):
    eve = ada.joined_by(new_email())
    upload(ada, picture())
    assert eve.get("/get_avatar").status_code == 404
    url = ada.get("/get_avatar").json()["avatar_url"]
    with pytest.raises(urllib.error.HTTPError) as refusal:
        fetched(url.partition("?")[0])  # unsigned
    refusal.value.close()
    assert refusal.value.code in (400, 403)


def test_the_description_tells_what_can_be_uploaded(ada: Client):
    paths = ada.http.get("/schema/openapi.json").json()["paths"]
    body = paths["/upload_avatar"]["post"]["requestBody"]
    assert {"application/octet-stream", "multipart/form-data"} == body["content"].keys()
    kinds = body["content"]["multipart/form-data"]["encoding"]["file"]["contentType"]
    assert {"image/jpeg", "image/heic"} <= set(kinds.split(", "))
    assert kinds in body["description"]
