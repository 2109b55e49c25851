"""What a workbook is to us: sheets of rows of cells, and the ways in which it may be refused."""

import html
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from openpyxl.utils import get_column_letter

from domain.errors import AtelierError

MOST_COLUMNS: Final = 64  # what lies to the right is not looked at
MOST_CELLS: Final = 250_000  # with a value, and as many shared texts; 20,000 rows have 160,000
TOO_MANY_CELLS: Final = f"the workbook has more than {MOST_CELLS} cells; split it"
GENERAL: Final = "General"
SHOWN_AS_THEY_ARE: Final = ("general", "0", "@")  # numbers in these formats
THOUSANDS: Final = "#,##0"
ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")

# They show nothing, and get into cells from web pages and other programs. The joiners U+200C and
# U+200D are not among them, since words and emoji are written with these.
INVISIBLE: Final = dict.fromkeys(
    map(ord, "\u00ad\u061c\u180e\u200b\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff")
) | dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
EDGES: Final = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200c\u200d"


class UnreadableWorkbook(AtelierError):
    """The file is broken."""

    code = "unreadable_workbook"


class UnsupportedWorkbook(AtelierError):
    """The file is something else than a plain Excel workbook."""

    code = "unsupported_workbook"


class WorkbookTooLarge(AtelierError):
    """The file holds, or unpacks to, more than we take."""

    code = "workbook_too_large"


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as text; `problem` ends the sentence "… must be" when it is none."""

    text: str
    problem: str = ""
    number: bool = field(default=False, compare=False)
    formatted: bool = field(default=False, compare=False)  # a number that Excel shows otherwise


class Row(NamedTuple):
    """A row up to its last cell that is filled; `number` counts from 1, as Excel does."""

    number: int
    cells: tuple[Cell, ...]


class Sheet(NamedTuple):
    """A visible sheet; its rows are read as they are asked for, without the blank ones."""

    name: str
    rows: Iterator[Row]


BLANK: Final = Cell("")
FORMULA: Final = Cell("", "a value, not a formula")
DATE: Final = Cell("", "text, not a date")
TRUTH: Final = Cell("", "text, not true or false")


def column_letter(place: int) -> str:
    """What Excel calls a column, counted from 0."""
    return str(get_column_letter(place + 1))


def trimmed(text: str) -> str:
    """The text without invisible characters, and without blanks around it."""
    return text.translate(INVISIBLE).strip(EDGES)


def text_cell(text: str) -> Cell:
    """Entities are what they stand for: shop systems write `H&amp;M` into their exports."""
    text = trimmed(ENTITY.sub(lambda found: html.unescape(found[0]), text))
    return Cell(text) if text else BLANK


def changes(number_format: str, value: float) -> bool:
    """Whether the format shows the number otherwise than by its plain digits."""
    code = number_format.lower()
    return code not in SHOWN_AS_THEY_ARE and not (code == THOUSANDS and abs(value) < 1000)


def number_cell(value: float, *, formatted: bool = False) -> Cell:
    if not math.isfinite(value):
        return Cell("", "text or a number that Excel can show")
    text = str(int(value)) if value == int(value) else repr(value)
    return Cell(text, number=True, formatted=formatted)


def filled_row(number: int, cells: list[Cell]) -> Row | None:
    """The row up to its last filled cell, or None when there is none."""
    filled = max((n for n, cell in enumerate(cells, start=1) if cell != BLANK), default=0)
    return Row(number, tuple(cells[:filled])) if filled else None
