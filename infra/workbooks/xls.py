"""Reads the sheets of an .xls file by xlrd, in bounded memory."""

import contextlib
import os
import struct
from collections.abc import Iterator
from typing import IO, Any, Final, NamedTuple

import xlrd
from xlrd.compdoc import CompDoc

from infra.workbooks.model import (
    BLANK,
    DATE,
    FORMULA,
    GENERAL,
    MOST_CELLS,
    MOST_COLUMNS,
    TOO_MANY_CELLS,
    TRUTH,
    Cell,
    Row,
    Sheet,
    UnreadableWorkbook,
    UnsupportedWorkbook,
    WorkbookTooLarge,
    changes,
    filled_row,
    number_cell,
    text_cell,
)

# BIFF records
FORMULAS: Final = (0x0006, 0x0206, 0x0406)
NUMBERS: Final = (0x0203, 0x027E)
NUMBER_RUN: Final = 0x00BD  # of several cells in a row, six bytes each
OTHER_CELLS: Final = (0x0003, 0x0004, 0x00D6, 0x00FD, 0x0204, 0x0205)
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
                cells = _look_through(book, index)
                unread -= cells.bytes
                if unread < 0:
                    raise UnreadableWorkbook("the file is damaged: its sheets overlap")
                yield Sheet(name, _rows(book, index, cells))
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
                raise UnreadableWorkbook("the file is damaged: one of its streams has no end")
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


class _Cells(NamedTuple):
    """What xlrd does not tell of a sheet: formulas, of which it gives only the last results, and
    the styles of numbers, by row and column.
    """

    formulas: set[tuple[int, int]]
    styles: dict[tuple[int, int], int]
    bytes: int


def _look_through(book: xlrd.Book, index: int) -> _Cells:
    start = at = book._sh_abs_posn[index]
    end = book.base + book.stream_len
    formulas: set[tuple[int, int]] = set()
    styles: dict[tuple[int, int], int] = {}
    depth = cells = 0
    while at + 4 <= end:
        record, length = struct.unpack_from("<HH", book.mem, at)
        depth += (record in BEGIN) - (record == END)
        body, at = at + 4, at + 4 + length
        if depth == 0:
            break
        if depth > 1:  # a chart's
            continue
        if record in FORMULAS:
            formulas.add(struct.unpack_from("<HH", book.mem, body))
        elif record in NUMBERS:
            row, column, style = struct.unpack_from("<HHH", book.mem, body)
            styles[row, column] = style
        elif record == NUMBER_RUN:
            row, first = struct.unpack_from("<HH", book.mem, body)
            for place in range((length - 6) // 6):
                (styles[row, first + place],) = struct.unpack_from(
                    "<H", book.mem, body + 4 + 6 * place
                )
        cells += record in OTHER_CELLS
        if cells + len(formulas) + len(styles) > MOST_CELLS:
            raise WorkbookTooLarge(TOO_MANY_CELLS)
    return _Cells(formulas, styles, at - start)


def _rows(book: xlrd.Book, index: int, cells: _Cells) -> Iterator[Row]:
    sheet = book.sheet_by_index(index)
    for number in range(sheet.nrows):
        row = [
            FORMULA
            if (number, column) in cells.formulas
            else _cell(cell.ctype, cell.value, _format(book, cells.styles.get((number, column), 0)))
            for column, cell in enumerate(sheet.row(number)[:MOST_COLUMNS])
        ]
        if filled := filled_row(number + 1, row):
            yield filled


def _format(book: xlrd.Book, style: int) -> str:
    if style >= len(book.xf_list):
        return GENERAL
    known = book.format_map.get(book.xf_list[style].format_key)
    return known.format_str if known else GENERAL


def _cell(kind: int, value: Any, number_format: str) -> Cell:
    match kind:
        case xlrd.XL_CELL_EMPTY | xlrd.XL_CELL_BLANK:
            return BLANK
        case xlrd.XL_CELL_TEXT:
            return text_cell(value)
        case xlrd.XL_CELL_NUMBER:
            return number_cell(value, formatted=changes(number_format, value))
        case xlrd.XL_CELL_DATE:
            return DATE
        case xlrd.XL_CELL_BOOLEAN:
            return TRUTH
        case _:
            return Cell("", "a value, not an error")
