"""The main job from one end to the other, over HTTP, with nothing faked."""

import io
import json
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import av
import httpx
import pytest
from PIL import Image

from tests.support.atelier import Atelier, Person, expect
from tests.support.topic import read_events

EXAMPLE = Path(__file__).parents[2] / "api" / "cli" / "demo_request.json"


def example() -> Any:
    """The contract's own body of /generate."""
    return json.loads(EXAMPLE.read_text())


def test_a_client_orders_a_picture_and_finds_it_in_the_gallery(
    atelier: Atelier, client: httpx.Client
) -> None:
    ada = Person(client)
    assert ada.get("/get_user_info") == ada.info

    expect(client.post("/update_user_info", json={"full_name": "Ada"}, headers=ada.headers))
    assert ada.get("/get_user_info")["full_name"] == "Ada"

    task = ada.post("/generate", example())["task_id"]
    assert ada.get("/get_tasks")["tasks"][0]["taskid"] == task
    ended = ada.wait_for(task)
    assert (ended["status"], ended["type"], ended["position"]) == ("SUCCESS", "vip", 0)

    page = ada.get("/get_gallery", limit=10)
    assert page["pagination"] == {"limit": 10, "next_cursor": None, "has_next": False}
    (item,) = page["gallery_urls"]
    picture = Image.open(io.BytesIO(httpx.get(item["source_url"]).content))
    assert picture.format == "JPEG"
    assert picture.width >= 512
    thumbnail = Image.open(io.BytesIO(httpx.get(item["thumbnail_url"]).content))
    assert thumbnail.width == 128
    assert f"/gallery/{task}.jpg" in item["source_url"]
    assert f"/gallery/{task}_thumbnail.jpg" in item["thumbnail_url"]

    assert shows_a_dressed_person(picture)


@pytest.mark.anywhere
def test_a_client_orders_a_video_and_has_it_upscaled(client: httpx.Client) -> None:
    ada = Person(client)
    body = {name: value for name, value in example().items() if name != "image_options"}
    turn = {"video_options": {"duration": 1}, "render_mode": "3D"}
    task = ada.post("/generate_video", body | turn)["task_id"]
    assert ada.wait_for(task)["status"] == "SUCCESS"
    still, video = sorted(
        (item["source_url"] for item in ada.get("/get_gallery")["gallery_urls"]), key=suffix
    )
    assert (suffix(still), suffix(video)) == (f"{task}.jpg", f"{task}.mp4")
    moving = ada.post("/image_to_video", {"image": still, "video_options": {"duration": 1}})
    larger = ada.post("/upscale", {"video_url": video})["task_id"]
    for each in (moving["task_id"], larger):
        assert ada.wait_for(each)["status"] == "SUCCESS"
    newest = [item["source_url"] for item in ada.get("/get_gallery")["gallery_urls"]][:2]
    shown = {suffix(url): film(url) for url in (video, *newest)}
    for stream in shown.values():
        assert (stream.frames, stream.rate, stream.format) == (24, 24, "yuv420p")
    small, twice = shown[f"{task}.mp4"], shown[f"{larger}_upscale.mp4"]
    assert (twice.width, twice.height) == (2 * small.width, 2 * small.height)


class Film(NamedTuple):
    """What a video says of itself."""

    frames: int
    rate: int
    format: str
    width: int
    height: int


def film(url: str) -> Film:
    data = httpx.get(url).content
    assert data.index(b"moov") < data.index(b"mdat")  # it plays while it is still being fetched
    with av.open(io.BytesIO(data), "r") as opened:
        video = opened.streams.video[0]
        codec = video.codec_context
        assert codec.name == "h264"
        rate = int(video.average_rate or 0)
        return Film(video.frames, rate, str(codec.pix_fmt), codec.width, codec.height)


def suffix(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


def shows_a_dressed_person(picture: Image.Image) -> bool:
    """Background in the corners, red cloth in the middle: the example asks for both."""
    small = picture.convert("RGB").resize((96, 128))
    corner = small.getpixel((2, 2))
    colours = [small.getpixel((x, y)) for x in range(30, 66) for y in range(25, 70)]
    red = [c for c in colours if isinstance(c, tuple) and c[0] > 1.6 * max(c[1], c[2], 1)]
    assert isinstance(corner, tuple)
    return corner[0] > 200 and len(red) > 100


def test_every_event_of_the_journey_is_on_the_topic(atelier: Atelier, client: httpx.Client) -> None:
    ada = Person(client)
    task = ada.post("/generate", example())["task_id"]
    ada.wait_for(task)
    name = f"{task}.jpg"
    expect(client.delete(f"/remove_gallery_file/{name}", headers=ada.headers))

    def of_task(events: list[dict[str, str]]) -> list[str]:
        return [e["ce_type"] for e in events if e["ce_subject"] == task]

    events = read_events(atelier.settings(), lambda seen: len(of_task(seen)) >= 4)
    assert of_task(events) == [
        "render.requested.v1",
        "render.started.v1",
        "render.completed.v1",
        "render.file_removed.v1",
    ]
    account = next(e["atelier_account"] for e in events if e["ce_subject"] == task)
    assert "account.registered.v1" in [e["ce_type"] for e in events if e["ce_subject"] == account]


def test_a_removed_file_leaves_the_gallery_and_the_store(client: httpx.Client) -> None:
    ada = Person(client)
    task = ada.post("/generate", {"render_mode": "3D"})["task_id"]
    ada.wait_for(task)
    (item,) = ada.get("/get_gallery")["gallery_urls"]

    expect(client.delete(f"/remove_gallery_file/{task}.jpg", headers=ada.headers))

    assert ada.get("/get_gallery")["gallery_urls"] == []
    for url in (item["source_url"], item["thumbnail_url"]):
        assert eventually_gone(url)
    expect(client.delete(f"/remove_gallery_file/{task}.jpg", headers=ada.headers), 404)


def eventually_gone(url: str) -> bool:
    """Whether the store lets go of the file within ten seconds."""
    for _ in range(100):
        if httpx.get(url).status_code == 404:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.anywhere
def test_nobody_sees_what_belongs_to_somebody_else(client: httpx.Client) -> None:
    ada, eve = Person(client), Person(client)
    task = ada.post("/generate", {})["task_id"]
    ada.wait_for(task)

    expect(client.get(f"/generate/{task}", headers=eve.headers), 404)
    expect(client.delete(f"/remove_gallery_file/{task}.jpg", headers=eve.headers), 404)
    assert eve.get("/get_gallery")["gallery_urls"] == []
    assert eve.get("/get_tasks")["tasks"] == []
    assert len(ada.get("/get_gallery")["gallery_urls"]) == 1


@pytest.mark.anywhere
def test_position_counts_the_tasks_that_come_first(client: httpx.Client) -> None:
    ada = Person(client)
    tasks = [ada.post("/generate", {})["task_id"] for _ in range(4)]
    places = [ada.get(f"/generate/{task}")["position"] for task in tasks]
    waiting = [place for place in places if place]
    assert waiting == sorted(waiting)
    assert all(ada.wait_for(task)["status"] == "SUCCESS" for task in tasks)


def test_health_tells_what_works(client: httpx.Client) -> None:
    expect(client.get("/health/live"))
    ready = expect(client.get("/health/ready"))
    assert ready["status"] == "ready"
