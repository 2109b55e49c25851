"""The contract's own page against the live application: its paths, its names, its types."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from api.pages.examples import OPERATIONS
from infra.log.event_store import EventStore
from tests.integration.api.conftest import PERSON, Client, new_email
from tests.integration.api.resources.test_render import complete
from tests.integration.api.resources.test_video import made, picture, text
from tests.support.workbooks import CONTRACT, xlsx

PAGE = Path(__file__).parents[2] / "contract" / "api.md"


class Endpoint(NamedTuple):
    """What the page says of one path; None where it shows no body."""

    method: str
    path: str
    private: bool
    request: Any
    answer: Any


def endpoints() -> list[Endpoint]:
    return [_endpoint(section) for section in re.split(r"^### ", PAGE.read_text(), flags=re.M)[1:]]


def _endpoint(section: str) -> Endpoint:
    request, _, answer = section.partition("#### Responses")
    method = re.search(r"\*\*(GET|POST|DELETE)\*\*", section)
    assert method
    return Endpoint(
        method[1],
        section.split()[0],
        "**Authorization**" in section,
        _example(request.partition("#### Request body")[2]),
        _example(answer),
    )


def _example(text: str) -> Any:
    """The first block as JSON, in which the page also writes `str` and `int`; None for files."""
    block = re.search(r"```\w*\n(.*?)```", text, re.S)
    if block is None or not block[1].strip().startswith("{"):
        return None
    return json.loads(
        re.sub(r": (str|int)\b", lambda m: ': ""' if m[1] == "str" else ": 0", block[1])
    )


ENDPOINTS = endpoints()
OF = {(each.method, each.path): each for each in ENDPOINTS}


def test_the_page_was_read_whole():
    assert len(ENDPOINTS) == 18
    assert all(each.answer for each in ENDPOINTS)
    assert len(OF["POST", "/generate"].request["user_details"]["real_world_measurements"]) == 22


def assert_shaped(answer: Any, example: Any, path: str = "") -> None:
    """Every name of the example is there with its type; null only where nothing is known yet."""
    match example:
        case dict():
            assert isinstance(answer, dict), path
            for name, value in example.items():
                assert name in answer, f"{path}.{name} is missing from {sorted(answer)}"
                assert_shaped(answer[name], value, f"{path}.{name}")
        case list():
            assert isinstance(answer, list), path
            for each in answer:
                assert_shaped(each, example[0], f"{path}[]")
        case _:
            assert type(answer) is type(example), f"{path}: {answer!r} is no {example!r}"


@pytest.mark.parametrize("each", ENDPOINTS, ids=lambda e: f"{e.method} {e.path}")
def test_every_path_is_served_with_its_method(client: Client, each: Endpoint):
    document = client.http.get("/schema/openapi.json").json()
    path = each.path if each.path in document["paths"] else each.path.lower()
    operation = document["paths"][path][each.method.lower()]
    assert bool(operation.get("security")) == each.private
    assert "200" in operation["responses"]


@pytest.mark.parametrize("each", [e for e in ENDPOINTS if e.private], ids=lambda e: e.path)
def test_what_needs_authorization_is_refused_without(client: Client, each: Endpoint):
    path = re.sub(r"\{.*\}", "x", each.path)
    answer = client.http.request(each.method, path, json=each.request)
    assert answer.status_code == 401


def test_an_account_as_the_page_has_it(client: Client):
    email = new_email()
    registration = OF["POST", "/register"].request | PERSON | {"email": email}
    assert_answers(client.post("/register", registration), "POST", "/register")
    login = client.post("/login", {"email": email})
    assert_answers(login, "POST", "/login")
    ada = Client(client.http, login.json()["token"])
    assert_answers(ada.get("/get_user_info"), "GET", "/get_user_info")
    for path in ("/update_user_info", "/update_user_details"):
        assert_answers(ada.post(path, OF["POST", path].request), "POST", path)
    assert_answers(ada.get("/get_user_details"), "GET", "/get_user_details")


def test_renders_as_the_page_has_them(ada: Client, store: EventStore):
    for path in ("/generate", "/generate_video"):
        answer = ada.post(path, OF["POST", path].request)
        assert_answers(answer, "POST", path)
    task = ada.post("/generate", OF["POST", "/generate"].request).json()["task_id"]
    assert_answers(ada.get(f"/generate/{task}"), "GET", "/generate/{task_id}")
    assert_answers(ada.get("/get_tasks"), "GET", "/get_tasks")
    complete(store, task)
    [item] = ada.get("/get_gallery?limit=10").json()["gallery_urls"]
    assert urlsplit(item["source_url"]).path.endswith(f"/gallery/{task}.jpg")
    assert urlsplit(item["thumbnail_url"]).path.endswith(f"/gallery/{task}_thumbnail.jpg")
    assert "X-Amz-Expires" in parse_qs(urlsplit(item["source_url"]).query)
    removal = ada.delete(f"/remove_gallery_file/{task}.jpg")
    assert_answers(removal, "DELETE", "/remove_gallery_file/{file_name}")


def test_a_page_of_the_gallery_as_the_page_has_it(ada: Client, store: EventStore):
    for _ in range(2):
        complete(store, ada.post("/generate", {}).json()["task_id"])
    page = ada.get("/get_gallery?limit=1")
    assert_answers(page, "GET", "/get_gallery")
    following = ada.get(f"/get_gallery?limit=1&cursor={page.json()['pagination']['next_cursor']}")
    assert following.status_code == 200


def test_clothes_as_the_page_has_them(client: Client):
    sheet = client.http.post(
        "/upload_clothes",
        content=xlsx(CONTRACT),
        headers={
            "Content-Type": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
        },
    )
    assert_answers(sheet, "POST", "/upload_clothes")
    found = client.post("/get_clothes", OF["POST", "/get_clothes"].request)
    assert_answers(found, "POST", "/get_clothes")


def test_an_avatar_as_the_page_has_it(eve: Client):
    sent = picture(size=(60, 40), kind="JPEG")
    headers = eve.headers | {"Content-Type": "image/jpeg"}
    uploaded = eve.http.post("/upload_avatar", content=sent, headers=headers)
    assert_answers(uploaded, "POST", "/upload_avatar")
    shown = eve.get("/get_avatar")
    assert_answers(shown, "GET", "/get_avatar")
    for path, answer in (("/upload_avatar", uploaded), ("/get_avatar", shown)):
        example = OF["POST" if answer is uploaded else "GET", path].answer
        for name, url in answer.json().items():
            assert named_as(url, example[name])


def test_what_is_made_of_files_as_the_page_has_it(eve: Client, store: EventStore):
    made(eve, store)
    by_kind = {
        urlsplit(item["source_url"]).path.rpartition(".")[2]: item["source_url"]
        for item in eve.get("/get_gallery").json()["gallery_urls"]
    }
    upscale = OF["POST", "/upscale"].request | {"video_url": by_kind["mp4"]}
    upscaled = eve.post("/upscale", upscale)
    assert_answers(upscaled, "POST", "/upscale")
    for image in (by_kind["jpg"], text(picture())):
        moving = OF["POST", "/image_to_video"].request | {"image": image}
        assert_answers(eve.post("/image_to_video", moving), "POST", "/image_to_video")


def test_files_are_named_as_the_page_names_them(eve: Client, store: EventStore):
    made(eve, store)
    items = eve.get("/get_gallery").json()["gallery_urls"]
    examples = OF["GET", "/get_gallery"].answer["gallery_urls"][1:]  # the first is upscaled
    for item, example in zip(items, examples, strict=True):
        assert named_as(item["source_url"], example["source_url"])
        assert named_as(item["thumbnail_url"], example["thumbnail_url"])


def named_as(url: str, example: str) -> bool:
    """Whether the path ends as the example's, whatever the bucket, the numbers and the ids."""
    digits = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", urlsplit(example).path)
    pattern = re.sub(r"\d+", r"\\d+", re.escape(digits)).replace("ID", r"[0-9a-f-]{36}")
    return bool(re.fullmatch(f".*{pattern}", urlsplit(url).path))


@pytest.mark.parametrize("each", ENDPOINTS, ids=lambda e: f"{e.method} {e.path}")
def test_the_first_examples_of_our_own_description_are_as_the_page_has_them(each: Endpoint):
    shown = OPERATIONS[f"{each.method} {each.path}"]
    assert_shaped(next(iter(shown.answer.values())), each.answer)
    if each.request is not None:
        assert_shaped(next(iter(shown.request.values())), each.request)


def assert_answers(answer: Any, method: str, path: str) -> None:
    assert answer.status_code == 200, answer.text
    assert_shaped(answer.json(), OF[method, path].answer)
