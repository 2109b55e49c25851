import itertools
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
from infra.analysis.streams import batches, events
from infra.postgres import connect
from tests.support.sample_log import BEA
from tests.support.scenario import ACCOUNT, TASK, completed


def test_events_come_as_structs_in_their_envelope(sample):
    found = list(events(settings=sample.settings))
    assert [recorded.position for recorded in found] == list(range(1, 10))
    done = found[3]
    assert (done.aggregate_id, done.version, done.account) == (TASK, 3, ACCOUNT)
    assert done.event == completed(measured=None)


def test_events_may_be_chosen_by_type_place_and_owner(sample):
    def chosen(**selection):
        return [recorded.position for recorded in events(settings=sample.settings, **selection)]

    assert chosen(after=7) == [8, 9]
    assert chosen(after=2, until=4) == [3, 4]
    assert chosen(types=[RenderStarted, "render.completed.v1"]) == [3, 4, 9]
    assert chosen(account=BEA) == [7, 8, 9]
    assert chosen(aggregate=TASK, types=[RenderCompleted]) == [4]


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


def test_duckdb_reads_the_stream_as_a_table(sample):
    log = batches(decrypt=True, settings=sample.settings)
    question = "SELECT state ->> 'email' FROM log WHERE type = 'account.registered.v1' ORDER BY 1"
    found = duckdb.connect().register("log", log).execute(question).fetchall()
    assert found == [("ada@example.org",), ("bea@example.org",)]
