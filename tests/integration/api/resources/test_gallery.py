from uuid import UUID

import msgspec
import pytest

from commands import execute
from commands.render import CompleteRender
from infra.log.event_store import EventStore
from tests.integration.api.conftest import Client, new_email
from tests.integration.api.resources.test_render import BY, complete, files, generate, start


def picture(store: EventStore, client: Client) -> str:
    task = generate(client)
    complete(store, task)
    return task


def tasks_on(page: dict) -> list[str]:
    return [
        item["source_url"].split("/gallery/")[1].split(".jpg")[0] for item in page["gallery_urls"]
    ]


def test_a_finished_picture_is_in_the_gallery(ada: Client, store: EventStore):
    task = picture(store, ada)
    page = ada.get("/get_gallery").json()
    assert page["pagination"] == {"limit": 10, "next_cursor": None, "has_next": False}
    [item] = page["gallery_urls"]
    assert item.keys() == {
        *("source_url", "thumbnail_url", "last_modified"),  # the contract's
        *("name", "task_id", "kind"),
    }
    assert (item["name"], item["task_id"], item["kind"]) == (None, task, "image")
    assert f"/gallery/{task}.jpg?" in item["source_url"]
    assert f"/gallery/{task}_thumbnail.jpg?" in item["thumbnail_url"]
    assert isinstance(item["last_modified"], int)


def test_a_file_tells_what_it_is_and_which_garment_it_shows(ada: Client, store: EventStore):
    worn = {"apparel_details": {"brand": "gymshark", "item_id": "Hoodie"}}
    task = ada.post("/generate_video", worn).json()["task_id"]
    still, thumbnail = files(task)
    video = msgspec.structs.replace(
        still, name=f"{task}.mp4", key=f"1/gallery/{task}.mp4", content_type="video/mp4"
    )
    completion = CompleteRender(
        aggregate_id=UUID(task),
        account=store.load(UUID(task))[0].account,
        attempt=start(store, task),
        engine="test",
        files=(still, video, thumbnail),
        ignored=(),
        measured={},
    )
    execute(completion, store, BY)
    items = ada.get("/get_gallery").json()["gallery_urls"]
    told = [(item["name"], item["task_id"], item["kind"]) for item in items]
    assert told == [("Hoodie", task, "video"), ("Hoodie", task, "image")]


def test_the_pages_show_every_picture_once_and_newest_first(ada: Client, store: EventStore):
    made = [picture(store, ada) for _ in range(5)]
    found: list[str] = []
    path = "/get_gallery?limit=2"
    while True:
        page = ada.get(path).json()
        assert len(page["gallery_urls"]) <= 2
        found += tasks_on(page)
        if not page["pagination"]["has_next"]:
            break
        path = f"/get_gallery?limit=2&cursor={page['pagination']['next_cursor']}"
    assert found == made[::-1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("cursor=-1", "cursor"),
        ("cursor=99999999999999999999", "cursor"),
        ("cursor=x", "cursor"),
    ],
)
def test_a_page_that_cannot_be_is_refused(ada: Client, query: str, field: str):
    answer = ada.get(f"/get_gallery?{query}")
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid"
    assert [each["field"] for each in answer.json()["details"]] == [field]


def test_a_removed_file_is_gone_and_cannot_be_removed_again(ada: Client, store: EventStore):
    kept, removed = picture(store, ada), picture(store, ada)
    answer = ada.delete(f"/remove_gallery_file/{removed}.jpg")
    assert answer.status_code == 200
    assert set(answer.json()) == {"message"}
    assert tasks_on(ada.get("/get_gallery").json()) == [kept]
    assert ada.get(f"/generate/{removed}").json()["files"] == []
    assert ada.delete(f"/remove_gallery_file/{removed}.jpg").status_code == 404


def test_somebody_elses_file_is_not_found_and_stays(ada: Client, store: EventStore):
    task = picture(store, ada)
    bob = ada.joined_by(new_email())
    assert bob.delete(f"/remove_gallery_file/{task}.jpg").status_code == 404
    assert bob.get("/get_gallery").json()["gallery_urls"] == []
    assert tasks_on(ada.get("/get_gallery").json()) == [task]


@pytest.mark.parametrize("suffix", ["", ".png", "_thumbnail.jpg", ".jpg.jpg", "_upscale.mp4"])
def test_a_name_that_is_not_in_the_gallery_is_not_found(
    ada: Client, store: EventStore, suffix: str
):
    task = picture(store, ada)
    assert ada.delete(f"/remove_gallery_file/{task}{suffix}").status_code == 404
    assert tasks_on(ada.get("/get_gallery").json()) == [task]
