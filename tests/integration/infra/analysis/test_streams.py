import itertools
from datetime import date, timedelta
from uuid import UUID

import duckdb
import msgspec
import pyarrow as pa
import pytest

from domain.account import AccountRegistered
from domain.errors import UnknownEvent
from domain.events import Unreadable
from domain.render import RenderCompleted, RenderStarted
from infra.analysis import arrow
from infra.analysis.arguments import BadArgument
from infra.analysis.streams import batches, events, table
from infra.analysis.typed import table_schema
from infra.postgres import connect
from tests.support.sample_log import BEA
from tests.support.scenario import ACCOUNT, TASK, completed


def test_events_come_as_structs_in_their_envelope(sample):
    found = list(events(settings=sample.settings))
    assert [recorded.position for recorded in found] == list(range(1, 10))
    done = found[3]
    assert (done.aggregate_id, done.version, done.account) == (TASK, 3, ACCOUNT)
    assert done.event == completed(measured=None, fit=None)


def test_events_may_be_chosen_by_type_place_and_owner(sample):
    def chosen(**selection):
        return [recorded.position for recorded in events(settings=sample.settings, **selection)]

    assert chosen(after=7) == [8, 9]
    assert chosen(after=2, until=4) == [3, 4]
    assert chosen(types=[RenderStarted, "render.completed.v1"]) == [3, 4, 9]
    assert chosen(account=BEA) == [7, 8, 9]
    assert chosen(aggregate=TASK, types=[RenderCompleted]) == [4]


@pytest.mark.parametrize("read", [events, batches])
@pytest.mark.parametrize(
    ("selection", "told"),
    [
        ({"types": ["render.complete"]}, r"^types .* did you mean render\.completed\.v1\?"),
        ({"after": "tomorrow"}, r"^after tomorrow is neither a position"),
        ({"after": 10, "until": 3}, r"^after 10 does not come before until 3"),
        ({"account": "nobody@example.org"}, r"^account nobody@example\.org: there is no such"),
        ({"aggregate": "33"}, r"^aggregate 33 is no id"),
    ],
)
def test_what_is_meant_by_nothing_is_refused_at_once(sample, read, selection, told):
    with pytest.raises(BadArgument, match=told):
        read(settings=sample.settings, **selection)


def test_events_are_chosen_in_the_words_of_the_command_line(sample):
    def chosen(**selection):
        found = [recorded.position for recorded in events(settings=sample.settings, **selection)]
        rows = batches(settings=sample.settings, **selection).read_all()
        assert rows["position"].to_pylist() == found
        return found

    assert chosen(types=["render.*"]) == [2, 3, 4, 8, 9]
    assert chosen(types="render.started") == [3, 9]
    for bea in (34, "34", "bea@example.org", str(BEA)):
        assert chosen(account=bea) == [7, 8, 9]
    assert chosen(aggregate=str(TASK)) == [2, 3, 4]
    fifth = sample.log.read_stored(4, 1)[0].recorded_at
    assert chosen(after=fifth) == chosen(after=fifth.isoformat()) == [5, 6, 7, 8, 9]
    assert chosen(until=fifth) == [1, 2, 3, 4]
    today = fifth.date()
    assert chosen(after="1h", until="now") == list(range(1, 10))
    assert chosen(after=date.fromordinal(today.toordinal() + 1)) == []
    assert chosen(after=today - timedelta(days=1), until=5) == [1, 2, 3, 4, 5]


def test_personal_fields_need_the_keys(sample):
    def names(**how):
        found = events(types=[AccountRegistered], settings=sample.settings, **how)
        return [msgspec.structs.asdict(recorded.event)["full_name"] for recorded in found]

    assert names() == [None, None]
    assert names(decrypt=True) == ["Ada Lovelace", "Bea Bow"]


def test_somebody_erased_reads_as_none(own):
    own.erase(ACCOUNT)
    found = events(types=[AccountRegistered], settings=own.settings, decrypt=True)
    assert [msgspec.structs.asdict(recorded.event)["email"] for recorded in found] == [
        None,
        "bea@example.org",
    ]


def test_what_cannot_be_decoded_stops_nobody_and_what_is_unknown_does(own):
    with connect(own.settings.postgres_url) as connection:
        connection.execute("ALTER TABLE atelier_events DISABLE TRIGGER USER")
        connection.execute("UPDATE atelier_events SET state = '[]' WHERE position = 2")
        connection.execute("UPDATE atelier_events SET type = 'render.sung.v9' WHERE position = 4")
    following = events(settings=own.settings)
    kinds = [type(recorded.event) for recorded in itertools.islice(following, 3)]
    assert kinds == [AccountRegistered, Unreadable, RenderStarted]
    with pytest.raises(UnknownEvent, match=r"position 4 holds render\.sung\.v9"):
        next(following)
    assert batches(settings=own.settings).read_all().num_rows == 9


def test_the_same_events_come_as_a_stream_of_arrow_batches(sample, monkeypatch):
    monkeypatch.setattr(arrow, "BLOCK", 4)
    reader = batches(
        after=1, types=["render.started.v1", "render.requested.v1"], settings=sample.settings
    )
    assert isinstance(reader, pa.RecordBatchReader)
    assert reader.schema == arrow.ENVELOPE
    table = reader.read_all()
    assert table["position"].to_pylist() == [2, 3, 8, 9]
    assert UUID(table["aggregate_id"][0].as_py()) == TASK


def test_the_events_of_a_type_come_as_a_typed_table(sample, monkeypatch):
    monkeypatch.setattr(arrow, "BLOCK", 4)
    reader = table("render.started", settings=sample.settings)
    assert reader.schema == table_schema(RenderStarted, opened=False)
    rows = reader.read_all()
    assert rows["position"].to_pylist() == [3, 9]
    assert rows["consumer"].to_pylist() == ["consumer-1", "consumer-1"]
    assert table(RenderStarted, after=3, settings=sample.settings).read_all().num_rows == 1


def test_a_typed_table_is_sealed_or_open_and_may_be_empty(sample):
    def registered(**how):
        return table(AccountRegistered, settings=sample.settings, **how).read_all()

    assert "email" not in registered().column_names
    assert registered(decrypt=True)["email"].to_pylist() == ["ada@example.org", "bea@example.org"]
    none = table("render.failed", settings=sample.settings).read_all()
    assert (none.num_rows, none.column_names[-1]) == (0, "message")


def test_a_table_is_of_one_type(sample):
    with pytest.raises(
        BadArgument, match=r"one type, and garment\.\* stands for garment\.listed\.v1,"
    ):
        table("garment.*", settings=sample.settings)


def test_duckdb_reads_the_stream_as_a_table(sample):
    log = batches(decrypt=True, settings=sample.settings)
    question = "SELECT state ->> 'email' FROM log WHERE type = 'account.registered.v1' ORDER BY 1"
    found = duckdb.connect().register("log", log).execute(question).fetchall()
    assert found == [("ada@example.org",), ("bea@example.org",)]
