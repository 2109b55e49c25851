"""Reads the sheets of an .xls file by xlrd, in bounded memory."""

import contextlib
import os
import struct
from collections.abc import Iterator
from typing import IO, Any, Final

import xlrd
from xlrd.compdoc import CompDoc

from infra.workbooks.model import (
    BLANK,
    DATE,
    FORMULA,
    MOST_COLUMNS,
    TRUTH,
    Cell,
    Row,
    Sheet,
    UnreadableWorkbook,
    UnsupportedWorkbook,
    filled_row,
    number_cell,
    text_cell,
)

FORMULAS: Final = (0x0006, 0x0206, 0x0406)  # BIFF records
BEGIN: Final = (0x0009, 0x0209, 0x0409, 0x0809)
END: Final = 0x000A
STREAM: Final = 2  # a type of entry in the container's directory


def sheets(data: bytes) -> Iterator[Sheet]:
    """The visible sheets, each opened when it is asked for."""
    with open(os.devnull, "w") as nowhere:  # xlrd prints what it thinks of a file
        container = CompDoc(data, logfile=nowhere)
        _check_names({entry.name.lower() for entry in container.dirlist})
        _check_short_streams(container)
        with _opened(data, nowhere) as book:
            unread = book.stream_len
            for index, name in enumerate(book.sheet_names()):
                if book._sheet_visibility[index]:
                    continue
                formulas, length = _look_through(book, index)
                unread -= length
                if unread < 0:
                    raise UnreadableWorkbook("the file is broken: its sheets lie in one another")
                yield Sheet(name, _rows(book, index, formulas))
                book.unload_sheet(index)


def _check_names(names: set[str]) -> None:
    if "_vba_project_cur" in names:
        raise UnsupportedWorkbook("the workbook has macros; save it without, as .xlsx or .xls")
    if "encryptedpackage" in names:
        raise UnsupportedWorkbook("the file is encrypted; save it without a password")
    if not names & {"workbook", "book"}:
        raise UnsupportedWorkbook("the file is not an Excel workbook; send .xlsx or .xls")


def _check_short_streams(container: CompDoc) -> None:
    """xlrd would follow a chain of short sectors for ever if it went in a circle."""
    left = len(container.SSAT)  # no two streams share one
    for entry in container.dirlist:
        sector = entry.first_SID
        while entry.etype == STREAM and entry.tot_size < container.min_size_std_stream:
            if not 0 <= sector < len(container.SSAT):
                break
            if left == 0:
                raise UnreadableWorkbook("the file is broken: one of its streams has no end")
            sector, left = container.SSAT[sector], left - 1


@contextlib.contextmanager
def _opened(data: bytes, log: IO[str]) -> Iterator[xlrd.Book]:
    try:
        book = xlrd.open_workbook(
            file_contents=data,
            logfile=log,
            on_demand=True,
            ragged_rows=True,
            ignore_workbook_corruption=True,  # streams that share sectors; Excel takes them, too
        )
    except xlrd.XLRDError as error:
        if "encrypted" in str(error):
            raise UnsupportedWorkbook("the file is encrypted; remove its password") from error
        raise
    with book:
        yield book


def _look_through(book: xlrd.Book, index: int) -> tuple[set[tuple[int, int]], int]:
    """Where a sheet has formulas, of which xlrd gives only the last results, and its bytes."""
    start = at = book._sh_abs_posn[index]
    end = book.base + book.stream_len
    formulas, depth = set(), 0
    while at + 4 <= end:
        record, length = struct.unpack_from("<HH", book.mem, at)
        depth += (record in BEGIN) - (record == END)
        if record in FORMULAS and depth == 1:
            formulas.add(struct.unpack_from("<HH", book.mem, at + 4))
        at += 4 + length
        if depth == 0:
            break
    return formulas, at - start


def _rows(book: xlrd.Book, index: int, formulas: set[tuple[int, int]]) -> Iterator[Row]:
    sheet = book.sheet_by_index(index)
    for number in range(sheet.nrows):
        cells = [
            FORMULA if (number, column) in formulas else _cell(cell.ctype, cell.value)
            for column, cell in enumerate(sheet.row(number)[:MOST_COLUMNS])
        ]
        if row := filled_row(number + 1, cells):
            yield row


def _cell(kind: int, value: Any) -> Cell:
    match kind:
        case xlrd.XL_CELL_EMPTY | xlrd.XL_CELL_BLANK:
            return BLANK
        case xlrd.XL_CELL_TEXT:
            return text_cell(value)
        case xlrd.XL_CELL_NUMBER:
            return number_cell(value)
        case xlrd.XL_CELL_DATE:
            return DATE
        case xlrd.XL_CELL_BOOLEAN:
            return TRUTH
        case _:
            return Cell("", "a value, not an error")
