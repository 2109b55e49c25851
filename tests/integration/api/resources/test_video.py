import base64
import io
import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image

from api.cli.demo import example
from api.resources.video import LARGEST_BODY
from commands import Origin, execute
from commands.render import CompleteRender, StartRender
from domain.picture import VideoOptions
from domain.render import ImageToVideoRequested, MediaFile, UpscaleRequested, VideoRequested
from infra.log.event_store import EventStore
from infra.media.store import MediaStore
from tests.integration.api.conftest import Client, new_email

BY = Origin(actor="consumer:test", correlation_id=uuid4())
HOST = "https://media.elsewhere.example"  # what a client names is never asked
NOBODYS = "3aa38a43-631e-44f4-ae1a-de16d9843cad"  # fixed, since test names hold it
OPTIONS = {
    "video_live": False,
    "duration": 5,
    "negative_prompt": "",
    "prompt": "",
    "seed": 0,
}
TASK_OPTIONS = {"vip": True, "limit": 5}


def picture(size: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, kind)
    return buffer.getvalue()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def requests(store: EventStore, answer: Any) -> Any:
    """The event that the answer's task began with."""
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"task_id"}
    [recorded] = store.load(UUID(answer.json()["task_id"]))
    return recorded.event


def made(client: Client, store: EventStore) -> tuple[str, str, str]:
    """A task of the client that has ended in a still, a video and a thumbnail."""
    task = client.post("/generate_video", {}).json()["task_id"]
    request = store.load(UUID(task))[0]
    ids: dict[str, Any] = {"aggregate_id": UUID(task), "account": request.account}
    execute(StartRender(**ids, consumer="test"), store, BY)
    folder = f"{request.event.account_number}/gallery"  # type: ignore[attr-defined]

    def file(name: str, role: Any, content_type: str) -> MediaFile:
        return MediaFile(
            name=name,
            key=f"{folder}/{name}",
            role=role,
            content_type=content_type,
            size=3,
            sha256="00",
        )

    files = (
        file(f"{task}.jpg", "source", "image/jpeg"),
        file(f"{task}.mp4", "source", "video/mp4"),
        file(f"{task}_thumbnail.jpg", "thumbnail", "image/jpeg"),
    )
    complete = CompleteRender(**ids, attempt=1, engine="test", files=files, ignored=(), measured={})
    execute(complete, store, BY)
    return task, files[0].key, files[1].key


# /generate_video.


def test_the_contracts_example_of_a_video_makes_a_vip_task(ada: Client, store: EventStore):
    body = json.loads(example())
    del body["image_options"]
    event = requests(store, ada.post("/generate_video", body | {"video_options": OPTIONS}))
    assert isinstance(event, VideoRequested)
    assert event.video_options == VideoOptions()
    assert (event.vip, event.limit, event.render_mode) == (True, 5, body["render_mode"])
    assert event.user_details is not None
    assert event.user_details.real_world_measurements.bust == 96.75247


def test_what_is_left_out_has_a_default(ada: Client, store: EventStore):
    event = requests(store, ada.post("/generate_video", {}))
    assert (event.video_options, event.render_mode) == (VideoOptions(), "3D")


def test_a_finished_video_leaves_the_still_and_the_video(ada: Client, store: EventStore):
    task, still, turn = made(ada, store)
    state = ada.get(f"/generate/{task}").json()
    assert (state["status"], len(state["files"])) == ("SUCCESS", 2)
    items = ada.get("/get_gallery").json()["gallery_urls"]
    assert [item["source_url"].split("?")[0].split("/", 4)[4] for item in items] == [turn, still]
    thumbnails = {item["thumbnail_url"].split("?")[0] for item in items}
    assert len(thumbnails) == 1
    assert thumbnails.pop().endswith(f"{task}_thumbnail.jpg")


def test_the_thumbnail_stays_while_the_other_file_needs_it(ada: Client, store: EventStore):
    task, still, turn = made(ada, store)
    thumbnail = still.replace(".jpg", "_thumbnail.jpg")
    assert ada.delete(f"/remove_gallery_file/{task}.jpg").status_code == 200
    assert store.load(UUID(task))[-1].event.keys == (still,)  # type: ignore[attr-defined]
    assert ada.delete(f"/remove_gallery_file/{task}.mp4").status_code == 200
    assert store.load(UUID(task))[-1].event.keys == (turn, thumbnail)  # type: ignore[attr-defined]


def test_everything_that_is_wrong_is_named_at_once(ada: Client):
    wrong = {
        "video_live": "no",
        "duration": 61,
        "negative_prompt": "x" * 2_501,
        "prompt": 5,
        "seed": 2**32,
        "fps": 60,
    }
    answer = ada.post("/generate_video", {"video_options": wrong, "render_mode": "4D"})
    assert answer.status_code == 422
    fields = {each["field"] for each in answer.json()["details"]}
    assert fields == {"render_mode", *(f"video_options.{name}" for name in wrong)}
    assert ada.get("/get_tasks").json()["tasks"] == []


@pytest.mark.parametrize("duration", [0, -5, 1.5, 10**30, None, "5"])
def test_a_duration_is_a_whole_number_of_seconds_up_to_a_minute(ada: Client, duration: object):
    answer = ada.post("/generate_video", {"video_options": {"duration": duration}})
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["details"]] == ["video_options.duration"]


# /upscale.


def test_an_own_video_can_be_upscaled_by_its_address(ada: Client, store: EventStore):
    _, _, turn = made(ada, store)
    listed = ada.get("/get_gallery").json()["gallery_urls"][0]["source_url"]
    for address in (listed, f"{HOST}/{turn}?X-Amz-Signature=expired#x", f"{HOST}/bucket/{turn}"):
        answer = ada.post("/upscale", {"video_url": address, "task_options": TASK_OPTIONS})
        event = requests(store, answer)
        assert isinstance(event, UpscaleRequested)
        assert (event.source_key, event.vip, event.limit) == (turn, True, 5)


def test_nobody_can_use_what_is_somebody_elses(ada: Client, store: EventStore):
    _, still, turn = made(ada, store)
    bob = ada.joined_by(new_email())
    for path, body in (
        ("/upscale", {"video_url": f"{HOST}/{turn}"}),
        ("/image_to_video", {"image": f"{HOST}/{still}"}),
    ):
        answer = bob.post(path, body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert bob.get("/get_tasks").json()["tasks"] == []


def test_an_own_task_in_somebody_elses_folder_is_not_found(ada: Client, store: EventStore):
    _, _, turn = made(ada, store)
    elsewhere = "999999/" + turn.split("/", 1)[1]
    assert ada.post("/upscale", {"video_url": f"{HOST}/{elsewhere}"}).status_code == 404


def test_what_was_removed_is_not_found(ada: Client, store: EventStore):
    task, _, turn = made(ada, store)
    assert ada.delete(f"/remove_gallery_file/{task}.mp4").status_code == 200
    assert ada.post("/upscale", {"video_url": f"{HOST}/{turn}"}).status_code == 404


def test_thumbnails_and_unknown_files_are_not_found(ada: Client, store: EventStore):
    task, still, _ = made(ada, store)
    number = still.split("/")[0]
    for name in (f"{task}_thumbnail.jpg", f"{uuid4()}.jpg", "x.jpg", f"{number}.png"):
        answer = ada.post("/image_to_video", {"image": f"{HOST}/{number}/gallery/{name}"})
        assert answer.status_code == 404, name


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nothing",
        "https://[broken/1/gallery/a.mp4",
        f"{HOST}/1/gallery/{NOBODYS}.jpg",
        f"{HOST}/1/gallery/{NOBODYS}_upscale.mp4",
        f"{HOST}/1/avatar/../../etc/passwd",
        "x" * 5_000,
        None,
        7,
    ],
)
def test_what_is_no_video_of_a_gallery_is_invalid(ada: Client, address: object):
    answer = ada.post("/upscale", {"video_url": address, "task_options": {"limit": 0}})
    assert answer.status_code == 422
    fields = [each["field"] for each in answer.json()["details"]]
    assert sorted(set(fields)) == ["task_options.limit", "video_url"]


def test_what_to_upscale_must_be_named(ada: Client):
    answer = ada.post("/upscale", {})
    assert answer.status_code == 422
    assert answer.json()["details"] == [{"field": "video_url", "message": "is required"}]


# /image_to_video.


def test_an_own_picture_can_be_made_to_move(ada: Client, store: EventStore):
    _, still, _ = made(ada, store)
    body = {"image": f"{HOST}/{still}", "video_options": OPTIONS, "task_options": TASK_OPTIONS}
    event = requests(store, ada.post("/image_to_video", body))
    assert isinstance(event, ImageToVideoRequested)
    assert (event.source_key, event.video_options) == (still, VideoOptions())


def test_the_own_avatar_can_be_made_to_move(eve: Client, store: EventStore):
    headers = eve.headers | {"Content-Type": "image/png"}
    answer = eve.http.post("/upload_avatar", content=picture(), headers=headers)
    assert answer.status_code == 200
    address = answer.json()["avatar_url"]
    event = requests(store, eve.post("/image_to_video", {"image": address}))
    assert event.source_key.endswith(address.split("?")[0].rsplit("/", 1)[1])
    bob = eve.joined_by(new_email())
    assert bob.post("/image_to_video", {"image": address}).status_code == 404


@pytest.mark.parametrize(
    "image",
    [
        text(picture()),
        "data:image/png;base64," + text(picture()),
        "data:image/png;name=me.png;base64," + text(picture()),
        'data:image/png;name="33/gallery/a,b;c.png";charset=utf-8;base64,' + text(picture()),
        "DATA:;BASE64," + text(picture()),
        base64.encodebytes(picture()).decode(),
        text(picture(kind="JPEG")),
    ],
    ids=["base64", "data URI", "a name", "quoted", "no media type", "wrapped", "jpeg"],
)
def test_a_picture_may_come_along(eve: Client, store: EventStore, media: MediaStore, image: str):
    event = requests(store, eve.post("/image_to_video", {"image": image}))
    assert event.source_key.startswith(f"{event.account_number}/uploads/")
    stored = Image.open(io.BytesIO(media.get(event.source_key)))
    assert (stored.format, stored.mode, stored.size) == ("PNG", "RGB", (64, 48))


def test_the_same_picture_sent_again_is_the_same_task(
    eve: Client, store: EventStore, media: MediaStore
):
    key = {"Idempotency-Key": "one"}
    answers = [eve.post("/image_to_video", {"image": text(picture())}, **key) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    uploads = [found.key for found in media.list("") if "/uploads/" in found.key]
    assert uploads == [requests(store, answers[0]).source_key]
    other = eve.post("/image_to_video", {"image": text(picture((16, 16)))}, **key)
    assert other.status_code == 409
    assert [found.key for found in media.list("") if "/uploads/" in found.key] == uploads


def test_a_request_that_is_refused_leaves_no_picture(eve: Client, media: MediaStore):
    body = {"image": text(picture()), "task_options": {"limit": 1}}
    assert eve.post("/image_to_video", body).status_code == 200
    before = [found.key for found in media.list("")]
    assert eve.post("/image_to_video", body).status_code == 429
    assert [found.key for found in media.list("")] == before


def test_while_the_store_is_away_nothing_is_accepted(ada: Client):
    answer = ada.post("/image_to_video", {"image": text(picture())})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert ada.get("/get_tasks").json()["tasks"] == []


@pytest.mark.parametrize(
    ("image", "status"),
    [
        ("", 422),
        ("http://127.0.0.1:1/secret", 422),
        ("file:///etc/passwd", 422),
        ("data:image/png;base64,", 422),
        ("data:image/png,plain", 422),
        ("data:image/png;name=me.png,plain", 422),
        ("!!!", 422),
        (f"{HOST}/1/gallery/{NOBODYS}.mp4", 422),
        (None, 422),
        (text(b"no picture"), 415),
        (text(b"GIF89a" + b"\0" * 100), 415),
        (text(picture()[:60]), 422),
        (text(picture((6_000, 6_000))), 413),
    ],
)
def test_what_is_no_picture_is_refused(ada: Client, image: object, status: int):
    answer = ada.post("/image_to_video", {"image": image})
    assert answer.status_code == status, answer.text
    assert ada.get("/get_tasks").json()["tasks"] == []


def test_a_body_that_is_too_large_is_refused(ada: Client):
    answer = ada.post("/image_to_video", {"image": "A" * LARGEST_BODY})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    small = ada.post("/generate_video", {"user_details": {"pose": "A" * 70_000}})
    assert (small.status_code, small.json()["code"]) == (413, "too_large")


def test_videos_need_a_token(client: Client):
    for path in ("/generate_video", "/upscale", "/image_to_video"):
        assert client.post(path, {}).status_code == 401
