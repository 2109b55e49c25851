"""Reads a sheet of an Excel file from anybody, in bounded memory.

See docs/why.md for the figures.
"""

import itertools
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from domain.errors import AtelierError, Unavailable
from infra.workbooks import xls, xlsx
from infra.workbooks.model import (
    Row,
    Sheet,
    UnreadableWorkbook,
    UnsupportedWorkbook,
    WorkbookTooLarge,
)

MOST_ROWS: Final = 20_000  # with something in them, the header included
MOST_LINES: Final = 1_048_576  # Excel has no more
LEADING_ROWS: Final = 20  # that may hold the header; blank ones are not counted

PACKAGE: Final = b"PK\x03\x04"
COMPOUND: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
SNIFFED_BYTES: Final = 4096
WEB_PAGE: Final = re.compile(
    rb"\s*<(!doctype|html|head|body|table|meta|!--)|\s*mime-version:", re.I
)
MARKUP: Final = re.compile(rb"\s*<\?xml", re.I)
BINARY: Final = re.compile(rb"%PDF|[\x00-\x08\x0e-\x1a\x1c-\x1f]")

ONE_AT_A_TIME: Final = threading.Lock()  # so that the bound holds for the process, too
WAIT_S: Final = 20.0


class NoHeader(UnreadableWorkbook):
    """No visible sheet has the header; `sheets` has the leading rows of each that was looked at."""

    def __init__(self, sheets: dict[str, list[Row]]) -> None:
        super().__init__("no visible sheet of the workbook has the header")
        self.sheets = sheets


def read_sheet(data: bytes, is_header: Callable[[Row], bool] = lambda _row: True) -> list[Row]:
    """The rows that are not blank, from the header on, of the first visible sheet that has it.

    Raises `NoHeader`, `UnsupportedWorkbook`, `WorkbookTooLarge` or `UnreadableWorkbook`,
    `Unavailable` when too many wait for their turn, and nothing else.
    """
    if not data.startswith((PACKAGE, COMPOUND)):
        raise UnsupportedWorkbook(_told(data[:SNIFFED_BYTES]))
    sheets = xlsx.sheets if data.startswith(PACKAGE) else xls.sheets
    if not ONE_AT_A_TIME.acquire(timeout=WAIT_S):
        raise Unavailable("many workbooks are being read just now; try again in a moment")
    try:
        return _chosen(sheets(data), is_header)
    except AtelierError:
        raise
    except Exception as error:  # broken files raise all sorts of them
        raise UnreadableWorkbook(
            "the file is damaged; open it in Excel and save it again"
        ) from error
    finally:
        ONE_AT_A_TIME.release()


def _told(start: bytes) -> str:
    """Why the file is no workbook, and what to do."""
    advice = "; open it in Excel and save it as an Excel workbook (.xlsx)"
    text = start.removeprefix(b"\xef\xbb\xbf")
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = text[2:].replace(b"\0", b"")
    if WEB_PAGE.match(text) or (MARKUP.match(text) and b"<html" in text.lower()):
        return "the file is not an Excel workbook but a web page" + advice
    if MARKUP.match(text):
        return "the file is not an Excel workbook but an XML file" + advice
    if text.strip() and not BINARY.search(text):
        return "the file is not an Excel workbook but a text file" + advice
    return "the file is not an Excel workbook; send .xlsx or .xls"


def _chosen(sheets: Iterable[Sheet], is_header: Callable[[Row], bool]) -> list[Row]:
    looked_at: dict[str, list[Row]] = {}
    for sheet in sheets:
        leading = list(itertools.islice(sheet.rows, LEADING_ROWS))
        for place, row in enumerate(leading):
            if is_header(row):
                return list(_limited(itertools.chain(leading[place:], sheet.rows)))
        looked_at[sheet.name] = leading
    raise NoHeader(looked_at)


def _limited(rows: Iterable[Row]) -> Iterator[Row]:
    for found, row in enumerate(rows, start=1):
        if row.number > MOST_LINES:
            raise WorkbookTooLarge(f"the sheet has rows below {MOST_LINES}, Excel's last")
        if found > MOST_ROWS:
            raise WorkbookTooLarge(f"the sheet has more than {MOST_ROWS} rows; split it")
        yield row
