"""The log as Arrow: Postgres' binary rows become columns without a Python object for each."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import UUID

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import pyarrow as pa
from psycopg import sql
from psycopg.conninfo import make_conninfo

from domain.errors import Unavailable
from infra.analysis.selection import Selection
from infra.log.recorder import StoredRecord
from infra.postgres import CONNECT_TIMEOUT_S, KEEPALIVE

# Positions read by one statement, and put into one file: fixed, so that files are cut alike.
BLOCK: Final = 100_000

# Ids are text, which every reader of Arrow and Parquet understands.
ENVELOPE: Final = pa.schema(
    [
        pa.field("position", pa.int64(), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("aggregate_id", pa.string(), nullable=False),
        pa.field("aggregate_version", pa.int32(), nullable=False),
        pa.field("recorded_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("actor", pa.string(), nullable=False),
        pa.field("account", pa.string()),
        pa.field("correlation_id", pa.string(), nullable=False),
        pa.field("causation_id", pa.string()),
        pa.field("state", pa.string(), nullable=False),
    ]
)

ROWS: Final = sql.SQL(
    """SELECT position, event_id::text, type, aggregate_id::text, aggregate_version, recorded_at,
              actor, account::text, correlation_id::text, causation_id::text, state
         FROM atelier_events WHERE {} ORDER BY position"""
)


class ArrowLog:
    """The log on a connection of its own that gives Arrow."""

    def __init__(self, connection: adbc_driver_postgresql.dbapi.Connection) -> None:
        self._connection = connection

    def batches(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """The selected events in order, some megabytes a batch; `selection` ends at the head."""
        query = ROWS.format(selection.condition()).as_string()
        with _answered(), self._connection.cursor() as cursor:
            cursor.execute(query)
            for batch in cursor.fetch_record_batch():
                yield pa.RecordBatch.from_arrays(batch.columns, schema=ENVELOPE)


@contextlib.contextmanager
def open_arrow(url: str) -> Iterator[ArrowLog]:
    """Open the log at a libpq URL. Raises `Unavailable`."""
    address = make_conninfo(url, connect_timeout=CONNECT_TIMEOUT_S, **KEEPALIVE)
    with _answered():
        connection = adbc_driver_postgresql.dbapi.connect(address, autocommit=True)
    with connection:
        yield ArrowLog(connection)


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except adbc_driver_manager.Error as error:
        raise Unavailable(f"the events cannot be read from Postgres: {error}") from error


def blocks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Spans of positions from `first` to `last`, cut after each multiple of `BLOCK`."""
    while first <= last:
        until = min(last, -(-first // BLOCK) * BLOCK)
        yield first, until
        first = until + 1


def opened(
    batch: pa.RecordBatch, open_one: Callable[[StoredRecord], StoredRecord]
) -> pa.RecordBatch:
    """The batch with the personal members of each event in the open."""
    states = [open_one(_stored(row)).state.decode() for row in batch.to_pylist()]
    return batch.set_column(batch.num_columns - 1, ENVELOPE.field("state"), pa.array(states))


def _stored(row: dict[str, Any]) -> StoredRecord:
    return StoredRecord(
        id=row["position"],
        event_id=UUID(row["event_id"]),
        topic=row["type"],
        originator_id=UUID(row["aggregate_id"]),
        originator_version=row["aggregate_version"],
        recorded_at=row["recorded_at"],
        actor=row["actor"],
        account=row["account"] and UUID(row["account"]),
        correlation_id=UUID(row["correlation_id"]),
        causation_id=row["causation_id"] and UUID(row["causation_id"]),
        state=row["state"].encode(),
    )
