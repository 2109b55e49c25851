"""Reads the sheets of an .xlsx package by a streaming parser, in bounded memory.

Every part is counted first, and refused for entities or more than we take. Of what holds no cells,
only the formats of numbers are looked at, and these never decide whether a file can be read.
"""

import contextlib
import io
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any, Final
from xml.parsers import expat

from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format
from openpyxl.utils import column_index_from_string

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

MOST_PARTS: Final = 1_000  # files in a package
MOST_UNPACKED_BYTES: Final = 48 * 1024 * 1024  # of a whole package
MOST_NODES: Final = 2_000_000  # elements and attributes of a package; 20,000 rows have 1,400,000
MOST_HELD_NODES: Final = 100_000  # of one row, or of what is in no row
MOST_CHARACTERS: Final = 1024 * 1024  # of one text, of which copies are made
MOST_DEPTH: Final = 100
MOST_TAG_BYTES: Final = 128 * 1024  # about; a tag is parsed at once, with all its attributes
CHUNK_BYTES: Final = 64 * 1024

# Excel's usual form, and the one that it calls Strict Open XML Spreadsheet.
NAMESPACES: Final = (
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
)
COUNTED: Final = ("v", "is", "f", "si")
LET_GO: Final = {"worksheet": "row", "sst": "si"}
ESCAPE: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
LONGEST_FORMAT: Final = 255  # characters; Excel takes no more

# What else comes as a package, by a part that it has.
OTHERS: Final = {
    "content.xml": "the file is an OpenDocument spreadsheet; save it as an Excel workbook (.xlsx)",
    "index/document.iwa": "the file is a Numbers spreadsheet; export it to Excel (.xlsx)",
    "word/document.xml": "the file is a Word document; send .xlsx or .xls",
}

Attributes = dict[str, str]


def sheets(data: bytes) -> Iterator[Sheet]:
    """The visible sheets, each opened when it is asked for."""
    if data.count(b"PK\x01\x02") > MOST_PARTS:
        raise WorkbookTooLarge("the file is a package of too many parts")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        package = _Package(archive)
        package.check()
        workbook = next(iter(package.targets("", "officedocument").values()), "xl/workbook.xml")
        parts = package.targets(workbook)
        texts = _shared_texts(package, workbook)
        formats = _formats(package, workbook)
        looked_at = set()
        for name, relation in _visible(package, workbook):
            part = parts.get(relation, "")
            if part and part not in looked_at:  # many may name one
                looked_at.add(part)
                yield Sheet(name, _rows(package, part, texts, formats))


class _Package:
    """The parts by their names, which are compared without case."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._parts = {_plain_path(part.filename): part for part in archive.infolist()}

    def open(self, name: str) -> IO[bytes]:
        return self._archive.open(self._parts[name])

    def check(self) -> None:
        """Raises when we take no such package, or one of its parts is too much."""
        self._check_kind()
        if sum(part.file_size for part in self._archive.infolist()) > MOST_UNPACKED_BYTES:
            raise WorkbookTooLarge(f"the file unpacks to more than {MOST_UNPACKED_BYTES} bytes")
        counter = _Counter()
        for part in self._archive.infolist():
            with self._archive.open(part) as source:  # never gives more bytes than declared
                counter.count(source)
        with self.open("[content_types].xml") as types:
            if b"macroEnabled" in types.read():
                raise UnsupportedWorkbook("the workbook has macros (.xlsm); save it as .xlsx")

    def _check_kind(self) -> None:
        names = set(self._parts)
        parts = self._archive.infolist()
        if "[content_types].xml" not in names or not any(n.startswith("xl/") for n in names):
            told = next((OTHERS[name] for name in OTHERS if name in names), "")
            raise UnsupportedWorkbook(
                told or "the file is not an Excel workbook; send .xlsx or .xls"
            )
        if any(name.endswith("vbaproject.bin") for name in names):
            raise UnsupportedWorkbook("the workbook has macros; save it as .xlsx")
        if "xl/workbook.bin" in names:
            raise UnsupportedWorkbook(
                "binary workbooks (.xlsb) are not supported; save it as .xlsx"
            )
        if any(part.flag_bits & 1 for part in parts):
            raise UnsupportedWorkbook("the file is encrypted; save it without a password")
        methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if any(part.compress_type not in methods for part in parts):
            raise UnsupportedWorkbook(
                "the file is compressed in a way that Excel does not read; save it as .xlsx"
            )

    def targets(self, source: str, kind: str = "worksheet") -> dict[str, str]:
        """The parts of a kind that a part refers to, by the ids of these relations."""
        folder, name = posixpath.split(source)
        relations = posixpath.join(folder, "_rels", f"{name}.rels")
        found: dict[str, str] = {}

        def start(tag: str, attributes: Attributes) -> None:
            kinds = attributes.get("Type", "").lower()
            if tag.endswith(" Relationship") and kinds.endswith(f"/{kind}"):
                target = attributes["Target"].replace("\\", "/")
                found[attributes["Id"]] = _plain_path(posixpath.join("/", folder, target))

        self.parse(relations, start)
        return {relation: target for relation, target in found.items() if target in self._parts}

    def companion(self, workbook: str, kind: str) -> str:
        """The part of a kind that is there once: by its relation, or else by its usual name."""
        usual = posixpath.join(posixpath.dirname(workbook), f"{kind}.xml")
        return next(iter(self.targets(workbook, kind).values()), usual)

    def parse(self, name: str, *handlers: Callable[..., None]) -> None:
        """Parse a part that may be missing."""
        if name in self._parts:
            with self.open(name) as part:
                _parse(part, *handlers)


def _plain_path(name: str) -> str:
    return posixpath.normpath(name.replace("\\", "/")).lstrip("/").lower()


class _Counter:
    """Counts what a part holds, without building it."""

    def __init__(self) -> None:
        self._all = 0
        self._cells = dict.fromkeys(COUNTED, 0)

    def count(self, source: IO[bytes]) -> None:
        """Raises when the part is too much, or has a DTD; it need not be XML."""
        self._held = self._depth = 0
        self._let_go = ""
        with contextlib.suppress(expat.ExpatError):  # what is needed is parsed again
            _parse(source, self._start, self._end)

    def _start(self, tag: str, attributes: Attributes) -> None:
        tag = _local(tag)
        if self._depth == 0:
            self._let_go = LET_GO.get(tag, "")
        self._depth += 1
        self._held += 1 + len(attributes)
        self._all += 1 + len(attributes)
        if tag in self._cells:
            self._cells[tag] += 1
            if self._cells[tag] > MOST_CELLS:
                raise WorkbookTooLarge(TOO_MANY_CELLS)
        if self._all > MOST_NODES or self._held > MOST_HELD_NODES or self._depth > MOST_DEPTH:
            raise WorkbookTooLarge("the workbook is too large; keep only the catalogue in it")

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if _local(tag) == self._let_go:
            self._held = 0


def _local(tag: str) -> str:
    """The name of a spreadsheet's element, and nothing for others."""
    namespace, _, name = tag.rpartition(" ")
    return name if namespace in NAMESPACES else ""


def _nothing(*_: Any) -> None:
    pass


def _parse(
    source: IO[bytes],
    start: Callable[[str, Attributes], None],
    end: Callable[[str], None] = _nothing,
    text: Callable[[str], None] = _nothing,
) -> None:
    for _ in _parsed(source, start, end, text):
        pass


def _parsed(
    source: IO[bytes],
    start: Callable[[str, Attributes], None],
    end: Callable[[str], None],
    text: Callable[[str], None],
) -> Iterator[None]:
    """Parse the part, and pause after each piece."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    fed = 0
    while chunk := source.read(CHUNK_BYTES):
        parser.Parse(chunk, False)
        fed += len(chunk)
        if fed - parser.CurrentByteIndex > MOST_TAG_BYTES:
            raise WorkbookTooLarge("the workbook has an XML tag that is too long")
        yield
    parser.Parse(b"", True)
    yield


def _refuse_doctype(*_: Any) -> None:
    raise UnsupportedWorkbook("the file declares XML entities, which Excel never does")


def _visible(package: _Package, workbook: str) -> list[tuple[str, str]]:
    """The names of the visible sheets, and the ids of the relations to them."""
    found = []

    def start(tag: str, attributes: Attributes) -> None:
        if _local(tag) == "sheet" and attributes.get("state", "visible") == "visible":
            relation = next(v for k, v in attributes.items() if k.endswith("/relationships id"))
            found.append((attributes.get("name", ""), relation))

    package.parse(workbook, start)
    return found


class _Text:
    """The text of a `t` or `v`, but for hints at its pronunciation."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._taken = False
        self._hint = False

    def start(self, tag: str) -> None:
        self._hint = self._hint or tag == "rPh"
        self._taken = tag in ("t", "v") and not self._hint

    def end(self, tag: str) -> None:
        self._taken = False
        self._hint = self._hint and tag != "rPh"

    def more(self, text: str) -> None:
        if self._taken:
            self._pieces.append(text)
            self._length += len(text)
            if self._length > MOST_CHARACTERS:
                raise WorkbookTooLarge("the workbook has a text that is too long")

    def take(self) -> str:
        text = "".join(self._pieces)
        self._pieces.clear()
        self._length = 0
        return text


def _shared_texts(package: _Package, workbook: str) -> list[Cell]:
    texts: list[Cell] = []
    text = _Text()

    def start(tag: str, _attributes: Attributes) -> None:
        text.start(_local(tag))

    def end(tag: str) -> None:
        text.end(_local(tag))
        if _local(tag) == "si":
            texts.append(text_cell(_unescaped(text.take())))

    package.parse(package.companion(workbook, "sharedstrings"), start, end, text.more)
    return texts


def _unescaped(text: str) -> str:
    """The text with what Excel cannot write in XML, such as `_x000D_`."""
    if "_x" not in text:
        return text
    text = ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


class _Formats:
    """How cells show their numbers, by the numbers of their styles."""

    def __init__(self) -> None:
        self.codes = {str(number): code for number, code in BUILTIN_FORMATS.items()}
        self.styles: list[str] = []

    def is_date(self, style: str) -> bool:
        return bool(is_date_format(self.code(style)))

    def code(self, style: str) -> str:
        known = style.isdecimal() and len(style) < 10 and int(style) < len(self.styles)
        return self.codes.get(self.styles[int(style)], GENERAL) if known else GENERAL


def _formats(package: _Package, workbook: str) -> _Formats:
    formats = _Formats()
    inside: list[str] = []

    def start(tag: str, attributes: Attributes) -> None:
        number = attributes.get("numFmtId", "0")
        if _local(tag) == "numFmt":
            formats.codes[number] = attributes.get("formatCode", GENERAL)[:LONGEST_FORMAT]
        if _local(tag) == "xf" and inside[-1:] == ["cellXfs"]:
            formats.styles.append(number)
        inside.append(_local(tag))

    def end(_tag: str) -> None:
        inside.pop()

    with contextlib.suppress(expat.ExpatError):
        package.parse(package.companion(workbook, "styles"), start, end)
    return formats


def _rows(package: _Package, name: str, texts: list[Cell], formats: _Formats) -> Iterator[Row]:
    reader = _SheetReader(texts, formats)
    with package.open(name) as part:
        for _ in _parsed(part, reader.start, reader.end, reader.text.more):
            yield from reader.rows
            reader.rows.clear()


class _SheetReader:
    """Makes rows of a sheet's elements."""

    def __init__(self, texts: list[Cell], formats: _Formats) -> None:
        self.rows: list[Row] = []
        self.text = _Text()
        self._texts = texts
        self._formats = formats
        self._row = self._column = 0
        self._cells: list[Cell] = []
        self._attributes: Attributes = {}
        self._formula = False

    def start(self, tag: str, attributes: Attributes) -> None:
        tag = _local(tag)
        self.text.start(tag)
        if tag == "row":
            self._row = int(attributes.get("r", self._row + 1))
            self._column, self._cells = 0, []
        elif tag == "c":
            self._column = _column(attributes["r"]) if "r" in attributes else self._column + 1
            self._attributes, self._formula = attributes, False
            self.text.take()
        elif tag == "f":
            self._formula = True

    def end(self, tag: str) -> None:
        tag = _local(tag)
        self.text.end(tag)
        if tag == "c":
            self._put(self._cell(self.text.take()))
        elif tag == "row" and (row := filled_row(self._row, self._cells)):
            self.rows.append(row)

    def _put(self, cell: Cell) -> None:
        if cell != BLANK and self._column <= MOST_COLUMNS:
            self._cells += [BLANK] * (self._column - len(self._cells))
            self._cells[self._column - 1] = cell

    def _cell(self, text: str) -> Cell:
        if self._formula:
            return FORMULA
        kind = self._attributes.get("t", "n")
        if kind in ("str", "inlineStr"):
            return text_cell(_unescaped(text))
        if not text.strip():
            return BLANK
        match kind:
            case "s":
                return self._shared(int(text))
            case "n":
                return self._number(text)
            case "b":
                return TRUTH
            case "d":
                return DATE
            case "e":
                return Cell("", f"a value, not the error {text}")
            case _:
                return Cell("", "text")

    def _shared(self, place: int) -> Cell:
        if place < 0:
            raise UnreadableWorkbook("the file is damaged: a cell refers to a missing text")
        return self._texts[place]

    def _number(self, text: str) -> Cell:
        style = self._attributes.get("s", "0")
        if self._formats.is_date(style):
            return DATE
        try:
            value: float = int(text)
        except ValueError:
            value = float(text)
        return number_cell(value, formatted=changes(self._formats.code(style), value))


def _column(reference: str) -> int:
    return int(column_index_from_string(reference.rstrip("0123456789")))
