"""Writes the selected events into a folder of files, which a later run completes or extends."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from domain.catalogue import CATALOGUE
from infra.analysis import arrow, manifest
from infra.analysis.arrow import ArrowLog
from infra.analysis.files import UNFINISHED, Unfinished
from infra.analysis.manifest import Block, ExportSpec, File, Manifest
from infra.analysis.personal import Decrypter
from infra.analysis.selection import Selection
from infra.analysis.typed import flat, table_schema, typed

OPEN: Final = "open"
SEALED: Final = "sealed"


class Export:
    """One export into one folder; without a ``decrypter`` personal fields stay sealed."""

    def __init__(
        self,
        folder: Path,
        log: ArrowLog,
        spec: ExportSpec,
        last: int,
        decrypter: Decrypter | None = None,
    ) -> None:
        self._folder = folder
        self._log = log
        self._spec = spec
        self._last = last
        self._decrypter = decrypter
        self._selection = Selection(
            first=spec.first,
            last=last,
            types=spec.types,
            aggregate=spec.aggregate,
            account=spec.account,
        )

    def run(self, advance: Callable[[int], None]) -> Manifest:
        """Write what is missing; `advance` is told of each number of positions that are done.

        Raises `OtherExport` when the folder holds the files of something else.
        """
        before = manifest.load(self._folder, self._spec, self._last)
        # What is opened is for nobody else on this machine.
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700 if self._decrypter else 0o777)
        spans = list(arrow.blocks(self._spec.first, self._last))
        found, empty = (before.blocks, before.empty) if before else ((), ())
        blocks = {
            (block.first, block.last): block
            for block in found
            if (block.first, block.last) in spans and manifest.is_whole(self._folder, block)
        }
        self._clear(block for block in found if block not in blocks.values())
        for span in spans:
            if span not in blocks:
                blocks[span] = self._write(*span)
                self._save(blocks, empty, complete=False)
            advance(span[1] - span[0] + 1)
        still_empty = self._write_empty(blocks.values())
        for name in {file.name for file in empty} - {file.name for file in still_empty}:
            (self._folder / name).unlink(missing_ok=True)
        return self._save(blocks, still_empty, complete=True)

    def _clear(self, dropped: Iterable[Block]) -> None:
        """Remove what no manifest will name any more: a later reader takes every file there is."""
        for file in itertools.chain.from_iterable(block.files for block in dropped):
            (self._folder / file.name).unlink(missing_ok=True)
        for left in self._folder.rglob(f"*{UNFINISHED}"):
            left.unlink()

    def _save(
        self, blocks: Mapping[tuple[int, int], Block], empty: tuple[File, ...], *, complete: bool
    ) -> Manifest:
        made = Manifest(
            spec=self._spec,
            last=self._last,
            complete=complete,
            events=sum(file.events for block in blocks.values() for file in block.files),
            blocks=tuple(blocks[span] for span in sorted(blocks)),
            empty=empty,
        )
        manifest.save(self._folder, made)
        return made

    def _write(self, first: int, last: int) -> Block:
        files: dict[str, Unfinished] = {}
        unreadable: list[int] = []
        for batch in self._batches(first, last):
            for name, part, bad in self._parts(batch):
                if name not in files:
                    path = f"{name}{first:012}-{last:012}.{self._spec.format}"
                    files[name] = Unfinished(self._folder, path, self._spec.format, part.schema)
                files[name].write(part)
                unreadable += bad
        return Block(
            first=first,
            last=last,
            files=tuple(files[name].finish() for name in sorted(files)),
            unreadable=tuple(sorted(unreadable)),
            written_by=manifest.versions(),
        )

    def _write_empty(self, blocks: Iterable[Block]) -> tuple[File, ...]:
        """A table without a row for each type that has no event, so that it can be asked."""
        if not self._spec.typed:
            return ()
        filled = {Path(file.name).parent.name for block in blocks for file in block.files}
        return tuple(
            self._empty(name) for name in sorted({*(self._spec.types or CATALOGUE)} - filled)
        )

    def _empty(self, name: str) -> File:
        schema = table_schema(CATALOGUE[name], opened=self._decrypter is not None)
        rows = self._columns(pa.RecordBatch.from_pylist([], schema))
        path = f"{name}/empty.{self._spec.format}"
        file = Unfinished(self._folder, path, self._spec.format, rows.schema)
        file.write(rows)
        return file.finish()

    def _batches(self, first: int, last: int) -> Iterator[pa.RecordBatch]:
        for batch in self._log.batches(self._selection.between(first, last)):
            yield arrow.opened(batch, self._decrypter.open) if self._decrypter else batch

    def _parts(self, batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch, list[int]]]:
        """What of a batch goes into which files: a prefix of their names, and the rows."""
        if not self._spec.typed:
            yield "events-", batch, []
            return
        for name in sorted(pc.unique(batch["type"]).to_pylist()):
            found = typed(batch, name, opened=self._decrypter is not None)
            yield f"{name}/", self._columns(found.batch), found.unreadable

    def _columns(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return flat(batch) if self._spec.format == "csv" else batch
