"""Reads the first sheet of an Excel file from anybody, in bounded memory.

openpyxl builds a tree of what it reads and trusts what a file says of itself, so every part of a
package is counted by a streaming parser first. See docs/why.md for the figures.
"""

import contextlib
import io
import itertools
import math
import os
import struct
import threading
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final, NamedTuple
from xml.parsers import expat

import xlrd
from openpyxl.reader.excel import ExcelReader
from openpyxl.utils import get_column_letter
from xlrd.compdoc import CompDoc

from domain.errors import AtelierError, Unavailable

MOST_ROWS: Final = 20_000  # with something in them, the header included
MOST_LINES: Final = 100_000  # blank rows included
MOST_COLUMNS: Final = 64  # what lies to the right is not looked at
MOST_PARTS: Final = 1_000  # files in a package
MOST_UNPACKED_BYTES: Final = 48 * 1024 * 1024  # of a whole package
MOST_NODES: Final = 2_000_000  # elements and attributes of a package; 20,000 rows have 1,400,000
MOST_CELLS: Final = 250_000  # and as many shared texts; 20,000 rows have 160,000
MOST_HELD_NODES: Final = 100_000  # that openpyxl holds at a time
MOST_DEPTH: Final = 100
MOST_TAG_BYTES: Final = 128 * 1024  # about; a tag is parsed at once, with all its attributes
CHUNK_BYTES: Final = 64 * 1024

PACKAGE: Final = b"PK\x03\x04"
COMPOUND: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
COUNTED: Final = (f"{MAIN} c", f"{MAIN} si")
LET_GO: Final = {f"{MAIN} worksheet": f"{MAIN} row", f"{MAIN} sst": f"{MAIN} si"}
FORMULAS: Final = (0x0006, 0x0206, 0x0406)  # BIFF records
BEGIN: Final = (0x0009, 0x0209, 0x0409, 0x0809)
END: Final = 0x000A

ONE_AT_A_TIME: Final = threading.Lock()  # so that the bound holds for the process, too
WAIT_S: Final = 20.0


class UnreadableWorkbook(AtelierError):
    """The file is broken."""

    code = "unreadable_workbook"


class UnsupportedWorkbook(AtelierError):
    """The file is something else than a plain Excel workbook."""

    code = "unsupported_workbook"


class WorkbookTooLarge(AtelierError):
    """The file holds, or unpacks to, more than we take."""

    code = "workbook_too_large"


class Cell(NamedTuple):
    """A cell as text; `problem` ends the sentence "… must be" when it is none."""

    text: str
    problem: str = ""


class Row(NamedTuple):
    """A row up to its last cell that is filled; `number` counts from 1, as Excel does."""

    number: int
    cells: tuple[Cell, ...]


BLANK: Final = Cell("")


def column_letter(place: int) -> str:
    """What Excel calls a column, counted from 0."""
    return str(get_column_letter(place + 1))


def read_sheet(data: bytes) -> list[Row]:
    """The rows of the first sheet that are not blank, the header included.

    Raises `UnsupportedWorkbook`, `WorkbookTooLarge` or `UnreadableWorkbook`, `Unavailable` when
    too many wait for their turn, and nothing else.
    """
    read = _read_package if data.startswith(PACKAGE) else _read_compound
    if not data.startswith((PACKAGE, COMPOUND)):
        raise UnsupportedWorkbook("the file is not an Excel workbook; send .xlsx or .xls")
    if not ONE_AT_A_TIME.acquire(timeout=WAIT_S):
        raise Unavailable("many workbooks are being read just now; try again in a moment")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what openpyxl leaves out
            return list(_limited(read(data)))
    except AtelierError:
        raise
    except Exception as error:  # the readers raise all sorts of them on broken files
        raise UnreadableWorkbook("the file is broken: Excel could not have saved it so") from error
    finally:
        ONE_AT_A_TIME.release()


def _limited(rows: Iterable[tuple[Cell, ...]]) -> Iterator[Row]:
    found = 0
    for number, cells in enumerate(rows, start=1):
        if number > MOST_LINES:
            raise WorkbookTooLarge(
                f"the sheet has more than {MOST_LINES} rows, counting blank ones"
            )
        filled = max((n for n, cell in enumerate(cells, start=1) if cell != BLANK), default=0)
        if filled:
            found += 1
            if found > MOST_ROWS:
                raise WorkbookTooLarge(f"the sheet has more than {MOST_ROWS} rows; split it")
            yield Row(number, cells[:filled])


def _number(value: float) -> Cell:
    if not math.isfinite(value):
        return Cell("", "text or a number that Excel can show")
    return Cell(str(int(value)) if value == int(value) else repr(value))


# .xlsx


def _read_package(data: bytes) -> Iterator[tuple[Cell, ...]]:
    if data.count(b"PK\x01\x02") > MOST_PARTS:
        raise WorkbookTooLarge("the file is a package of too many parts")
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        _check_package(package)
    reader = _FirstSheet(io.BytesIO(data), read_only=True, keep_links=False)
    reader.read()
    book = reader.wb
    try:
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # they are only what the file says of itself
        for row in sheet.iter_rows(max_col=MOST_COLUMNS):
            yield tuple(_xlsx_cell(cell.data_type, cell.value) for cell in row)
    finally:
        book.close()


class _FirstSheet(ExcelReader):  # type: ignore[misc]  # it has no types
    """Opens no other sheet: each costs a look through its whole part, and many may name one."""

    def read_worksheets(self) -> None:
        """Make the first sheet that has cells."""
        found = (sheet for sheet, rel in self.parser.find_sheets() if "chartsheet" not in rel.Type)
        self.parser.sheets = list(itertools.islice(found, 1))
        super().read_worksheets()


def _check_package(package: zipfile.ZipFile) -> None:
    parts = package.infolist()
    names = {part.filename.lower() for part in parts}
    if "[content_types].xml" not in names or not any(name.startswith("xl/") for name in names):
        raise UnsupportedWorkbook("the file is not an Excel workbook; send .xlsx or .xls")
    if any(name.endswith("vbaproject.bin") for name in names):
        raise UnsupportedWorkbook("the workbook has macros; save it as .xlsx")
    if "xl/workbook.bin" in names:
        raise UnsupportedWorkbook("binary workbooks (.xlsb) are not taken; save it as .xlsx")
    if any(part.flag_bits & 1 for part in parts):
        raise UnsupportedWorkbook("the file is encrypted; save it without a password")
    if any(part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for part in parts):
        raise UnsupportedWorkbook("the file is packed as Excel does not; save it as .xlsx")
    if sum(part.file_size for part in parts) > MOST_UNPACKED_BYTES:
        raise WorkbookTooLarge(f"the file unpacks to more than {MOST_UNPACKED_BYTES} bytes")
    counter = _Counter()
    for part in parts:
        with package.open(part) as source:  # never gives more bytes than the part declares
            counter.count(source, part.filename)
    if b"macroEnabled" in package.read("[Content_Types].xml"):
        raise UnsupportedWorkbook("the workbook has macros (.xlsm); save it as .xlsx")


class _Counter:
    """Counts what openpyxl would build of a part, without building it."""

    def __init__(self) -> None:
        self._all = 0
        self._cells = dict.fromkeys(COUNTED, 0)

    def count(self, source: IO[bytes], name: str) -> None:
        """Raises when the part is too much, has a DTD, or is called XML and is none."""
        self._held = self._depth = 0
        self._let_go = ""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        try:
            fed = 0
            while chunk := source.read(CHUNK_BYTES):
                parser.Parse(chunk, False)
                fed += len(chunk)
                if fed - parser.CurrentByteIndex > MOST_TAG_BYTES:
                    raise WorkbookTooLarge("the workbook holds too long a tag")
            parser.Parse(b"", True)
        except expat.ExpatError:
            if name.endswith((".xml", ".rels")):
                raise

    def _doctype(self, *_: Any) -> None:
        raise UnsupportedWorkbook("the file declares XML entities, which Excel never does")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth == 0:
            self._let_go = LET_GO.get(tag, "")
        self._depth += 1
        self._held += 1 + len(attributes)
        self._all += 1 + len(attributes)
        if tag in self._cells:
            self._cells[tag] += 1
            if self._cells[tag] > MOST_CELLS:
                raise WorkbookTooLarge(f"the workbook has more than {MOST_CELLS} cells; split it")
        if self._all > MOST_NODES or self._held > MOST_HELD_NODES or self._depth > MOST_DEPTH:
            raise WorkbookTooLarge("the workbook holds too much; keep only the catalogue in it")

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if tag == self._let_go:
            self._held = 0


def _xlsx_cell(kind: str, value: object) -> Cell:
    match kind, value:
        case "f", _:
            return Cell("", "a value, not a formula")
        case _, None:
            return BLANK
        case "e", _:
            return Cell("", f"a value, not the error {value}")
        case _, bool():
            return Cell("", "text, not true or false")
        case _, int() | float():
            return _number(value)
        case _, str():
            return Cell(value)
        case _:
            return Cell("", "text, not a date")


# .xls


def _read_compound(data: bytes) -> Iterator[tuple[Cell, ...]]:
    with open(os.devnull, "w") as nowhere:  # xlrd prints what it thinks of a file
        names = {entry.name for entry in CompDoc(data, logfile=nowhere).dirlist}
        if "_VBA_PROJECT_CUR" in names:
            raise UnsupportedWorkbook("the workbook has macros; save it without, as .xlsx or .xls")
        if "EncryptedPackage" in names:
            raise UnsupportedWorkbook("the file is encrypted; save it without a password")
        if not names & {"Workbook", "Book"}:
            raise UnsupportedWorkbook("the file is not an Excel workbook; send .xlsx or .xls")
        with _opened(data, nowhere) as book:
            formulas = set(_formulas(book))
            sheet = book.sheet_by_index(0)
            for number in range(sheet.nrows):
                yield tuple(
                    Cell("", "a value, not a formula")
                    if (number, column) in formulas
                    else _xls_cell(cell.ctype, cell.value)
                    for column, cell in enumerate(sheet.row(number)[:MOST_COLUMNS])
                )


@contextlib.contextmanager
def _opened(data: bytes, log: IO[str]) -> Iterator[xlrd.Book]:
    try:
        book = xlrd.open_workbook(file_contents=data, logfile=log, on_demand=True, ragged_rows=True)
    except xlrd.XLRDError as error:
        if "encrypted" in str(error):
            raise UnsupportedWorkbook("the file is encrypted; remove its password") from error
        raise
    with book:
        yield book


def _formulas(book: xlrd.Book) -> Iterator[tuple[int, int]]:
    """Where the first sheet has formulas: xlrd itself gives only their last results."""
    at, depth = book._sh_abs_posn[0], 0
    end = book.base + book.stream_len
    while at + 4 <= end:
        record, length = struct.unpack_from("<HH", book.mem, at)
        depth += (record in BEGIN) - (record == END)
        if record in FORMULAS and depth == 1:
            row, column = struct.unpack_from("<HH", book.mem, at + 4)
            yield row, column
        if depth == 0:
            return
        at += 4 + length


def _xls_cell(kind: int, value: Any) -> Cell:
    match kind:
        case xlrd.XL_CELL_EMPTY | xlrd.XL_CELL_BLANK:
            return BLANK
        case xlrd.XL_CELL_TEXT:
            return Cell(value)
        case xlrd.XL_CELL_NUMBER:
            return _number(value)
        case xlrd.XL_CELL_DATE:
            return Cell("", "text, not a date")
        case xlrd.XL_CELL_BOOLEAN:
            return Cell("", "text, not true or false")
        case _:
            return Cell("", "a value, not an error")
