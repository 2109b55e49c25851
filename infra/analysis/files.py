"""Files of events: Parquet, CSV or JSON lines, under their name only once they are whole."""

from pathlib import Path
from typing import IO, Any, Final, Protocol

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from infra.analysis.lines import raw
from infra.analysis.manifest import File, sha256

# Columns whose values repeat; the others would only pay for a dictionary.
REPEATING: Final = ["type", "actor", "account"]
UNFINISHED: Final = ".unfinished"


class Writer(Protocol):
    """Takes batches of one schema."""

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Add the rows."""

    def close(self) -> None:
        """End the file."""


class JsonLines:
    """One JSON object a line; ``state`` is an object in it."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._encoder = msgspec.json.Encoder()

    def write_batch(self, batch: pa.RecordBatch) -> None:
        rows: list[dict[str, Any]] = batch.to_pylist()
        for row in rows:
            row["state"] = raw(row["state"].encode())
        self._file.write(self._encoder.encode_lines(rows))

    def close(self) -> None:
        self._file.close()


def _open_parquet(path: Path, schema: pa.Schema) -> Writer:
    repeating = [name for name in REPEATING if name in schema.names]
    writer: Writer = pq.ParquetWriter(
        path, schema, compression="zstd", compression_level=1, use_dictionary=repeating
    )
    return writer


def _open_csv(path: Path, schema: pa.Schema) -> Writer:
    writer: Writer = pyarrow.csv.CSVWriter(path, schema)
    return writer


def _open_json_lines(path: Path, _schema: pa.Schema) -> Writer:
    return JsonLines(path)


FORMATS: Final = {"parquet": _open_parquet, "csv": _open_csv, "jsonl": _open_json_lines}


class Unfinished:
    """A file that is being written; it gets its name by `finish`."""

    def __init__(self, folder: Path, name: str, form: str, schema: pa.Schema) -> None:
        self._folder, self._name = folder, name
        self._path = folder / (name + UNFINISHED)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = FORMATS[form](self._path, schema)
        self._events = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add events."""
        self._writer.write_batch(batch)
        self._events += batch.num_rows

    def finish(self) -> File:
        """Give the file its name."""
        self._writer.close()
        written = File(
            name=self._name,
            events=self._events,
            bytes=self._path.stat().st_size,
            sha256=sha256(self._path),
        )
        self._path.replace(self._folder / self._name)
        return written
