"""The columns of the catalogue's spreadsheet, and what may stand in them."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from api.edge.errors import Invalid, Violation
from domain.garment import GarmentDetails, garment_id
from domain.picture import LONGEST_GARMENT_NAME
from infra.workbooks.model import BLANK, Cell, Row, column_letter, trimmed
from infra.workbooks.reading import NoHeader, read_sheet

LONGEST_LABEL: Final = 64  # characters
LONGEST_URL: Final = 2048
MOST_IN_A_LIST: Final = 100
MOST_VIOLATIONS: Final = 10_000  # a file with more is no catalogue
RENDER_MODES: Final = {"2d_kling": "2D_Kling", "3d": "3D"}
HEX: Final = re.compile(r"#?([0-9A-Fa-f]{6}|[0-9A-Fa-f]{8})")


SEPARATORS: Final = re.compile("[,，、;；\\r\\n\\v\\f\\x85\\u2028\\u2029]")
LONGEST_TEXT: Final = 32_767  # characters; Excel puts no more into a cell
LARGEST_NAME: Final = 99_999_999_999  # as a number; Excel shows larger ones rounded
LARGEST_SIZE: Final = 9_999  # as a number; what is larger was a list such as 100,110,120
MOST_SHEETS_TOLD: Final = 10


class Column(NamedTuple):
    """A column by its name; `read` raises ValueError with how the sentence "… must be" ends."""

    name: str
    attribute: str
    read: Callable[[str], Any]
    takes_number: Callable[[Cell], bool] = lambda _cell: True


class Header(NamedTuple):
    """Where the columns are."""

    row: int
    places: dict[str, int]  # from 0, by the columns' names


def read_catalogue(data: bytes) -> list[GarmentDetails]:
    """The garments of an Excel file. Raises what `read_sheet` does, and `Invalid`."""
    try:
        rows = read_sheet(data, is_header)
    except NoHeader as error:
        raise _no_header(error.sheets) from error
    return read_garments(rows)


def read_garments(rows: Sequence[Row]) -> list[GarmentDetails]:
    """The garments below the header. Raises `Invalid` with every bad cell, by row and column."""
    header = _header(rows[0])
    violations: list[Violation] = []
    garments = [_garment(row, header, violations) for row in rows[1:]]
    if not garments:
        violations.append(_violation(header.row + 1, None, "must hold the first garment"))
    violations += _contradictions(rows[1:], garments, header)
    if violations:
        more = f" and {len(violations) - 1} more" if len(violations) > 1 else ""
        raise Invalid(
            f"nothing was stored; correct {violations[0].field}{more}",
            violations[:MOST_VIOLATIONS],
        )
    return [garment for garment in garments if garment is not None]


def is_header(row: Row) -> bool:
    """Whether the row names every column once."""
    return not _missed(row)


def _header(row: Row) -> Header:
    names = _names(row)
    return Header(row.number, {each.name: names.index(_same(each.name)) for each in COLUMNS})


def _missed(row: Row) -> list[Violation]:
    names = _names(row)
    violations = []
    for column in COLUMNS:
        times = names.count(_same(column.name))
        if times != 1:
            what = "more than one column" if times else "no column"
            violations.append(_violation(row.number, None, f"has {what} {column.name}"))
    return violations


def _no_header(sheets: dict[str, list[Row]]) -> Invalid:
    """What the row that comes nearest to a header lacks."""
    wanted = ", ".join(column.name for column in COLUMNS)
    looked_at = ", ".join(f"“{name}”" for name in list(sheets)[:MOST_SHEETS_TOLD])
    missed: list[list[Violation]] = [_missed(row) for rows in sheets.values() for row in rows]
    nearest = min(missed, key=len) if missed else []
    return Invalid(
        f"one of the first rows of a visible sheet must name {wanted};"
        f" these sheets were looked at: {looked_at or 'none'}",
        nearest,
    )


def _names(row: Row) -> list[str]:
    return [_same(cell.text[:LONGEST_LABEL]) for cell in row.cells]


def _same(name: str) -> str:
    return re.sub(r"[\s_\u200c\u200d]+", " ", name).strip().casefold()


def _garment(row: Row, header: Header, violations: list[Violation]) -> GarmentDetails | None:
    before = len(violations)
    values: dict[str, Any] = {}
    for column in COLUMNS:
        place = header.places[column.name]
        cell = row.cells[place] if place < len(row.cells) else BLANK
        try:
            values[column.attribute] = _value(column, cell)
        except ValueError as error:
            violations.append(_violation(row.number, (place, column.name), f"must be {error}"))
    if len(violations) > before:
        return None
    if len(values["colors"]) != len(values["colors_hex"]):
        place = header.places["Colors Hex"]
        count = f"must be as many as Colors has ({len(values['colors'])})"
        violations.append(_violation(row.number, (place, "Colors Hex"), count))
        return None
    return GarmentDetails(**values)


def _value(column: Column, cell: Cell) -> Any:
    if cell.problem:
        raise ValueError(cell.problem)
    if not cell.text:
        raise ValueError("filled in")
    if len(cell.text) > LONGEST_TEXT:
        raise ValueError(f"text of at most {LONGEST_TEXT} characters")
    if cell.number and not column.takes_number(cell):
        raise ValueError("text, but Excel has made a number of it: format the column as text")
    return column.read(cell.text)


def _without_controls(text: str) -> str:
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise ValueError("text without control characters")
    return text


def _plain_number(largest: int) -> Callable[[Cell], bool]:
    """Whether it is what was typed: 007 becomes 7, 5.10 becomes 5.1, 100,110 becomes 100110."""

    def is_plain(cell: Cell) -> bool:
        return cell.text.isdecimal() and int(cell.text) <= largest and not cell.formatted

    return is_plain


def _no_number(_cell: Cell) -> bool:
    """None is taken: 1000E2 becomes 100000, and 001122 becomes 1122."""
    return False


def _contradictions(
    rows: Sequence[Row], garments: Sequence[GarmentDetails | None], header: Header
) -> list[Violation]:
    """A garment may stand in two rows only if both say the same."""
    first: dict[Any, tuple[int, GarmentDetails]] = {}
    violations = []
    for row, garment in zip(rows, garments, strict=True):
        if garment is None:
            continue
        number, other = first.setdefault(
            garment_id(garment.brand, garment.name), (row.number, garment)
        )
        if other != garment:
            told = f"must not be the garment of row {number} again, with something else in its row"
            place = header.places["Name"]
            violations.append(_violation(row.number, (place, "Name"), told))
    return violations


def _violation(row: int, column: tuple[int, str] | None, message: str) -> Violation:
    field = f"row {row}"
    if column:
        place, name = column
        field += f", column {column_letter(place)} ({name})"
    return Violation(field=field, message=message)


def _url(text: str) -> str:
    told = f"an address that starts with http:// or https://, of at most {LONGEST_URL} characters"
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ValueError(told) from error
    blank = any(char.isspace() for char in text)
    if (
        parts.scheme not in ("http", "https")
        or not parts.netloc
        or blank
        or len(text) > LONGEST_URL
    ):
        raise ValueError(told)
    return _without_controls(text)


def _label(most: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if len(text) > most:
            raise ValueError(f"text of at most {most} characters")
        return _without_controls(text)

    return read


def _render_mode(text: str) -> str:
    if text.casefold() not in RENDER_MODES:
        raise ValueError("one of " + ", ".join(RENDER_MODES.values()))
    return RENDER_MODES[text.casefold()]


def _hex(text: str) -> str:
    if not HEX.fullmatch(text):
        raise ValueError("hex codes such as #FF0000, with commas between them")
    return text


def _list_of(read: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    def read_all(text: str) -> tuple[str, ...]:
        items = tuple(read(item) for item in map(trimmed, SEPARATORS.split(text)) if item)
        if not 1 <= len(items) <= MOST_IN_A_LIST:
            raise ValueError(f"1 to {MOST_IN_A_LIST} items with commas between them")
        return items

    return read_all


COLUMNS: Final = (
    Column("URL", "url", _url),
    Column("Brand", "brand", _label(LONGEST_GARMENT_NAME), _plain_number(LARGEST_NAME)),
    Column("Gender", "gender", _label(LONGEST_LABEL)),
    Column("Name", "name", _label(LONGEST_GARMENT_NAME), _plain_number(LARGEST_NAME)),
    Column("Render Mode", "render_mode", _render_mode),
    Column("Colors", "colors", _list_of(_label(LONGEST_LABEL)), _plain_number(LARGEST_SIZE)),
    Column("Colors Hex", "colors_hex", _list_of(_hex), _no_number),
    Column("Sizes", "sizes", _list_of(_label(LONGEST_LABEL)), _plain_number(LARGEST_SIZE)),
)
