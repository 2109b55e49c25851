import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from api.cli.media import MediaDiffers, run
from infra.media.check import Report, check
from infra.media.store import MediaStore
from infra.postgres import Pool, connect
from infra.settings import Settings
from tests.support.scenario import (
    ACCOUNT,
    HASH_KEY,
    MASTER_KEY,
    Story,
    avatar_keys,
    avatar_uploaded,
    completed,
    image_to_video_requested,
    make_store,
    opened_pool,
    removed,
    source,
    started,
    thumbnail,
)

LATER = timedelta(hours=2)  # so long after a file was stored nobody will name it any more
PICTURE, SMALL = b"x" * 12_345, b"x" * 1_234  # as large as the examples' events say


@pytest.fixture
def pool(postgres_url: str) -> Iterator[Pool]:
    with opened_pool(postgres_url) as opened:
        yield opened


@pytest.fixture
def story(pool: Pool) -> Story:
    told = Story(make_store(pool))
    told.register()
    return told


@pytest.fixture
def checked(story: Story, pool: Pool, media: MediaStore):
    def check_them(*, delete: bool = False, after: timedelta = LATER) -> Report:
        return check(story.store, media, delete=delete, now=datetime.now(UTC) + after)

    return check_them


def put(media: MediaStore, *keys: str) -> None:
    for key in keys:
        small = "_thumbnail" in key or "/gallery/" in key
        media.put(key, SMALL if small else PICTURE, "image/jpeg")


def rendered(story: Story, media: MediaStore) -> list[str]:
    """A task that has ended in two files, which are there."""
    task = story.request()
    files = source(f"{task}.jpg"), thumbnail(f"{task}_thumbnail.jpg")
    story.tell(task, started(), completed(files=files))
    put(media, *(file.key for file in files))
    return [file.key for file in files]


def keys(media: MediaStore) -> list[str]:
    return [found.key for found in media.list("")]


def test_a_store_that_holds_what_the_log_names_agrees(story, media, checked):
    rendered(story, media)
    put(media, *avatar_keys(1))
    story.tell(ACCOUNT, avatar_uploaded(1))
    report = checked()
    assert (report.missing, report.differing, report.orphans) == ([], [], [])
    assert (report.named, report.stored, report.events) == (4, 4, 5)
    assert report.stored_bytes == 3 * len(SMALL) + len(PICTURE)


def test_a_file_that_is_missing_or_of_another_size_is_told(story, media, checked):
    still, small = rendered(story, media)
    media.delete(still)
    media.put(small, b"short", "image/jpeg")
    report = checked(delete=True)
    assert (report.missing, report.differing, report.orphans) == ([still], [small], [])


def test_an_upload_whose_event_was_not_stored_is_an_orphan_once_it_is_old(story, media, checked):
    kept = rendered(story, media)
    lost = [*avatar_keys(1), f"33/uploads/{uuid4()}_abc.png"]
    put(media, *lost)
    young = checked(after=timedelta(), delete=True)
    assert (young.orphans, young.young, young.deleted) == ([], 3, 0)
    report = checked()
    assert (report.orphans, report.deleted) == (sorted(lost), 0)
    assert keys(media) == sorted([*kept, *lost])
    assert checked(delete=True).deleted == 3
    assert keys(media) == sorted(kept)
    assert checked().orphans == []


def test_what_events_say_is_gone_is_not_missing(story, media, checked):
    still, small = rendered(story, media)
    story.tell(ACCOUNT, avatar_uploaded(1))
    put(media, *avatar_keys(2))
    story.tell(ACCOUNT, avatar_uploaded(2, replaced=1))
    [task] = {key.rsplit("/", 1)[1].removesuffix(".jpg") for key in (still,)}
    upload = f"33/uploads/{uuid4()}_abc.png"
    moving = uuid4()
    story.tell(moving, image_to_video_requested(source_key=upload))
    assert checked().missing == [upload]
    story.tell(moving, started(), completed(files=()))
    story.tell(uuid4(), removed(f"{task}.jpg", still, small))
    report = checked()
    assert (report.missing, report.orphans) == ([], sorted([still, small]))


def test_what_is_not_ours_is_left_alone(media, checked):
    foreign = ["backup/33/gallery/a.jpg", "readme.txt", f"staging/{uuid4()}/1/a.jpg"]
    put(media, *foreign)
    report = checked(delete=True)
    assert (report.orphans, report.foreign) == ([], 3)
    assert keys(media) == foreign


def test_an_event_that_cannot_be_read_keeps_everything(
    story: Story, media, checked, postgres_url: str
):
    put(media, *avatar_keys(1))
    story.tell(ACCOUNT, avatar_uploaded(1))
    with connect(postgres_url) as connection:
        connection.execute("ALTER TABLE atelier_events DISABLE TRIGGER USER")
        connection.execute("UPDATE atelier_events SET state = '{}' WHERE position = 2")
    report = checked(delete=True)
    assert (report.unreadable, report.deleted) == (1, 0)
    assert keys(media) == list(avatar_keys(1))


def test_the_command_tells_and_ends_with_an_error_while_they_differ(
    settings: Settings, story: Story, postgres_url: str, media, capsys: pytest.CaptureFixture[str]
):
    of_story = msgspec.structs.replace(
        settings, postgres_url=postgres_url, master_key=MASTER_KEY, hash_key=HASH_KEY
    )
    words, data = (argparse.Namespace(json=json, delete_orphans=False) for json in (False, True))
    still, _ = rendered(story, media)
    run(of_story, words)
    assert "They agree." in capsys.readouterr().out
    media.delete(still)
    with pytest.raises(MediaDiffers, match="1 file missing"):
        run(of_story, words)
    assert f"  {still}\n" in capsys.readouterr().out
    with pytest.raises(MediaDiffers):
        run(of_story, data)
    assert json.loads(capsys.readouterr().out)["missing"] == [still]
