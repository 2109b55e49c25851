import csv
import hashlib
import json
from typing import Any
from uuid import UUID, uuid4

import duckdb
import msgspec
import pyarrow.parquet as pq
import pytest

from domain.catalogue import CATALOGUE
from domain.render import RenderFailed
from infra.analysis import arrow
from infra.analysis.export import OPEN, SEALED, Export
from infra.analysis.files import UNFINISHED
from infra.analysis.manifest import ExportSpec, OtherExport
from infra.analysis.typed import table_schema
from infra.postgres import connect
from tests.support.sample_log import BEA, log_again
from tests.support.scenario import ACCOUNT, TASK, failed, started

FORMATS = ["csv", "jsonl", "parquet"]


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch):
    monkeypatch.setattr(arrow, "BLOCK", 4)


class Stopped(Exception):
    """Somebody ended the export."""


class Folder:
    """Exports of one log into one folder."""

    def __init__(self, sample, path):
        self.sample, self.path = sample, path

    def export(self, *, last=None, advance=lambda n: None, **changes):
        log_id, head = self.sample.log.head()
        spec = {
            "log_id": log_id,
            "first": 1,
            "types": (),
            "aggregate": None,
            "account": None,
            "format": "parquet",
            "typed": False,
            "personal": SEALED,
        }
        spec |= changes
        decrypter = self.sample.access.decrypter(decrypt=spec["personal"] == OPEN)
        with arrow.open_arrow(self.sample.settings.postgres_url) as log:
            return Export(self.path, log, ExportSpec(**spec), last or head, decrypter).run(advance)

    def files(self):
        paths = sorted(path for path in self.path.rglob("*") if path.is_file())
        return {str(path.relative_to(self.path)): path.read_bytes() for path in paths}

    def rows(self, pattern="*.parquet"):
        found = sorted(self.path.glob(pattern))
        return [row for path in found for row in pq.read_table(path).to_pylist()]


@pytest.fixture
def folder(sample, tmp_path):
    return Folder(sample, tmp_path / "events")


@pytest.fixture
def own_folder(own, tmp_path):
    """The same for a test that changes the log."""
    return Folder(own, tmp_path / "events")


def logged(sample):
    """The log as Postgres itself tells it, with ids as text."""
    with connect(sample.settings.postgres_url) as connection:
        cursor = connection.execute("SELECT * FROM atelier_events ORDER BY position")
        names = [column.name for column in cursor.description or ()]
        rows = [[str(v) if isinstance(v, UUID) else v for v in row] for row in cursor]
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_the_envelope_table_is_the_log_column_by_column(folder, sample):
    folder.export()
    assert folder.rows() == logged(sample)
    assert sorted(folder.files()) == [
        "events-000000000001-000000000004.parquet",
        "events-000000000005-000000000008.parquet",
        "events-000000000009-000000000009.parquet",
        "manifest.json",
    ]


def test_json_lines_hold_the_state_as_an_object(folder, sample):
    folder.export(format="jsonl")
    lines = [
        json.loads(x) for n, f in folder.files().items() if "events" in n for x in f.splitlines()
    ]
    assert [line["position"] for line in lines] == list(range(1, 10))
    assert [line["state"] for line in lines] == [json.loads(row["state"]) for row in logged(sample)]


def test_csv_tells_nothing_from_an_empty_text(folder, sample):
    folder.export(format="csv")
    pattern = str(folder.path / "events-*.csv")
    question = f"SELECT position, account, state FROM '{pattern}' ORDER BY position"
    expected = [(r["position"], r["account"], r["state"]) for r in logged(sample)]
    assert duckdb.execute(question).fetchall() == expected
    assert expected[5][1] is None


def test_the_same_range_gives_the_same_bytes(sample, tmp_path):
    for form in FORMATS:
        one, two = (
            Folder(sample, tmp_path / f"one.{form}"),
            Folder(sample, tmp_path / f"two.{form}"),
        )
        one.export(format=form)
        two.export(format=form)
        assert one.files() == two.files()


def test_the_manifest_has_counts_versions_and_checksums(folder, sample):
    made = folder.export(typed=True)
    written = json.loads(folder.files()["manifest.json"])
    assert written == json.loads(msgspec.json.encode(made))
    assert written["what"]["log_id"] == str(sample.log.head()[0])
    assert (written["what"]["first"], written["last"], written["events"]) == (1, 9, 9)
    assert written["complete"] is True
    assert {"atelier", "pyarrow"} == written["blocks"][0]["written_by"].keys()
    named = {f["name"]: f for block in written["blocks"] for f in block["files"]}
    assert {f["events"] for f in written["empty"]} == {0}
    named |= {f["name"]: f for f in written["empty"]}
    files = {name: data for name, data in folder.files().items() if name != "manifest.json"}
    assert named.keys() == files.keys()
    for name, data in files.items():
        assert named[name]["bytes"] == len(data)
        assert named[name]["sha256"] == hashlib.sha256(data).hexdigest()


def test_an_export_that_was_stopped_goes_on_and_is_then_like_any_other(folder, sample, tmp_path):
    def stop_in_the_second_block(_positions):
        if len(list(folder.path.glob("*.parquet"))) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        folder.export(advance=stop_in_the_second_block)
    assert json.loads(folder.files()["manifest.json"])["complete"] is False
    (folder.path / f"events-000000000009-000000000009.parquet{UNFINISHED}").write_bytes(b"half")
    done = folder.path / "events-000000000001-000000000004.parquet"
    before = done.stat()

    folder.export()

    assert (done.stat().st_ino, done.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    whole = Folder(sample, tmp_path / "whole")
    whole.export()
    assert folder.files() == whole.files()


def test_a_later_run_adds_what_has_happened_since(own_folder, own, tmp_path):
    own_folder.export()
    own.story.tell(TASK, started(2), started(3))
    own_folder.export()
    assert [row["position"] for row in own_folder.rows()] == list(range(1, 12))
    whole = Folder(own, tmp_path / "whole")
    whole.export()
    assert own_folder.files() == whole.files()


def test_a_damaged_file_is_written_anew(folder):
    folder.export()
    before = folder.files()
    (folder.path / "events-000000000005-000000000008.parquet").write_bytes(b"damaged")
    folder.export()
    assert folder.files() == before


def test_a_folder_holds_one_export_only(folder):
    folder.export()
    before = folder.files()
    others: list[dict[str, Any]] = [
        {"format": "csv"},
        {"typed": True},
        {"types": ("render.started.v1",)},
        {"last": 5},
    ]
    for changes in others:
        with pytest.raises(OtherExport, match="name another folder"):
            folder.export(**changes)
        assert folder.files() == before


def test_the_positions_of_another_log_are_not_added(own_folder, own):
    own_folder.export()
    log_again(own.settings.postgres_url)
    with pytest.raises(OtherExport, match="log_id"):
        own_folder.export()


def test_only_what_is_selected_is_exported(sample, tmp_path):
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({"types": ("render.started.v1",)}, [3, 9]),
        ({"aggregate": TASK}, [2, 3, 4]),
        ({"account": BEA}, [7, 8, 9]),
        ({"account": BEA, "types": ("render.started.v1", "render.requested.v1")}, [8, 9]),
        ({"first": 4, "last": 6}, [4, 5, 6]),
        ({"aggregate": uuid4()}, []),
    ]
    for number, (changes, positions) in enumerate(cases):
        folder = Folder(sample, tmp_path / str(number))
        made = folder.export(**changes)
        assert [row["position"] for row in folder.rows()] == positions
        assert (made.events, made.complete) == (len(positions), True)


def test_an_empty_span_is_a_whole_export(folder):
    made = folder.export(first=10)
    assert (made.events, made.complete, made.blocks) == (0, True, ())


def test_each_type_has_a_table_with_a_column_for_each_member(folder):
    folder.export(typed=True)
    (row,) = folder.rows("render.completed.v1/*.parquet")
    assert (row["position"], row["attempt"], row["engine"]) == (4, 1, "test")
    assert [file["role"] for file in row["files"]] == ["source", "thumbnail"]
    first, second = folder.rows("account.registered.v1/*.parquet")
    assert (first["number"], second["number"]) == (33, 34)
    assert first["email"] is None if "email" in first else first["personal"]


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_type_without_an_event_has_an_empty_table(own_folder, own, form):
    def failures():
        found = duckdb.execute(f"SELECT code FROM '{own_folder.path}/render.failed.v1/*.{form}'")
        return found.fetchall()

    own_folder.export(typed=True, format=form)
    assert failures() == []
    assert {path.parent.name for path in own_folder.path.glob(f"*/*.{form}")} == {*CATALOGUE}
    own.story.tell(TASK, failed())
    own_folder.export(typed=True, format=form)
    assert failures() == [("render_error",)]
    assert not (own_folder.path / f"render.failed.v1/empty.{form}").exists()


def test_only_selected_types_have_an_empty_table_even_in_an_empty_span(folder):
    made = folder.export(typed=True, first=10, types=("render.failed.v1",))
    (empty,) = folder.path.glob("*/*")
    assert pq.read_schema(empty) == table_schema(RenderFailed, opened=False)
    assert [file.name for file in made.empty] == ["render.failed.v1/empty.parquet"]


def test_typed_csv_has_a_column_for_each_member(folder):
    folder.export(typed=True, format="csv", personal=OPEN)

    def rows(name):
        paths = sorted(folder.path.glob(f"{name}/*.csv"))
        return [row for path in paths for row in csv.DictReader(path.read_text().splitlines())]

    ada, _ = rows("account.registered.v1")
    assert (ada["position"], ada["number"], ada["full_name"]) == ("1", "33", "Ada Lovelace")
    asked, _ = rows("render.requested.v1")
    assert (asked["apparel_details.item_id"], asked["vip"]) == ("Hoodie", "false")
    assert asked["user_details.real_world_measurements.Height"] == "180"
    (done,) = rows("render.completed.v1")
    assert json.loads(done["measured"]) == {"Height": 179.5}
    assert [file["role"] for file in json.loads(done["files"])] == ["source", "thumbnail"]


def test_what_is_personal_stays_sealed(folder, sample):
    folder.export()
    sealed = json.loads(folder.rows()[0]["state"])
    assert sealed.keys() == {"number", "personal"}
    everything = b"".join(folder.files().values())
    assert b"ada@example.org" not in everything
    assert b"Lovelace" not in everything


@pytest.mark.parametrize("typed", [False, True], ids=["envelope", "typed"])
def test_whoever_holds_the_keys_opens_what_is_personal(typed, folder):
    folder.export(personal=OPEN, typed=typed)
    if typed:
        ada, _ = folder.rows("account.registered.v1/*.parquet")
        (done,) = folder.rows("render.completed.v1/*.parquet")
        asked, _ = folder.rows("render.requested.v1/*.parquet")
        assert asked["user_details"]["real_world_measurements"]["Height"] == 180
        assert done["measured"] == [("Height", 179.5)]
    else:
        ada, asked = (json.loads(row["state"]) for row in folder.rows()[:2])
        assert asked["user_details"]["real_world_measurements"] == {"Height": 180}
    assert (ada["email"], ada["full_name"], ada["number"]) == (
        "ada@example.org",
        "Ada Lovelace",
        33,
    )
    assert "personal" not in ada
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_somebody_erased_comes_as_null(own, tmp_path):
    own.erase(ACCOUNT)
    plain, typed = Folder(own, tmp_path / "plain"), Folder(own, tmp_path / "typed")
    plain.export(personal=OPEN)
    typed.export(personal=OPEN, typed=True)
    states = [json.loads(row["state"]) for row in plain.rows()]
    for ada, bea in [(states[0], states[6]), typed.rows("account.registered.v1/*.parquet")]:
        assert (ada["number"], ada["email"], ada["full_name"]) == (33, None, None)
        assert (bea["number"], bea["email"]) == (34, "bea@example.org")
    assert typed.rows("render.completed.v1/*.parquet")[0]["measured"] is None


def test_an_event_that_is_not_as_its_type_says_is_told_and_stops_nothing(own_folder, own):
    with connect(own.settings.postgres_url) as connection:
        connection.execute("ALTER TABLE atelier_events DISABLE TRIGGER USER")
        connection.execute(
            'UPDATE atelier_events SET state = \'{"attempt":"x"}\' WHERE position = 3'
        )
        connection.execute("UPDATE atelier_events SET state = 'no json' WHERE position = 2")
    made = own_folder.export(typed=True, personal=OPEN)
    assert [block.unreadable for block in made.blocks] == [(2, 3), (), ()]
    bad, good = own_folder.rows("render.started.v1/*.parquet")
    assert (bad["position"], bad["attempt"], bad["consumer"]) == (3, None, None)
    assert (good["position"], good["attempt"]) == (9, 1)
