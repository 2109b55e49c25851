"""Excel files for the catalogue, as Excel saves them, and as nobody should send them."""

import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import openpyxl
import xlwt

HEADER = ("URL", "Brand", "Gender", "Name", "Render Mode", "Colors", "Colors Hex", "Sizes")
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
CONTRACT = (  # the example of the contract
    (
        "https://example.com/1",
        "BrandA",
        "Male",
        "Cloth1",
        "2D_Kling",
        "Red,Blue,Green",
        "#FF0000,#0000FF,#008000",
        "S,M,L",
    ),
    (
        "https://example.com/2",
        "BrandB",
        "Female",
        "Cloth2",
        "3D",
        "Black,White",
        "#000000,#FFFFFF",
        "XS,S,M,L,XL",
    ),
    (
        "https://example.com/3",
        "BrandC",
        "Female",
        "Cloth3",
        "3D",
        "Yellow,Purple",
        "#FFFF00,#800080",
        "M,L,XL,XXL",
    ),
)


def row(**changes: Any) -> tuple[Any, ...]:
    """The first row of the contract's example, changed; `render_mode` is Render Mode."""
    named = {key.replace("_", " ").title().replace("Url", "URL"): changes[key] for key in changes}
    return tuple((dict(zip(HEADER, CONTRACT[0], strict=True)) | named)[name] for name in HEADER)


def xlsx(rows: Iterable[Sequence[Any]], header: Sequence[Any] = HEADER) -> bytes:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Catalogue")
    for each in (header, *rows):
        sheet.append(each)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def xls(rows: Iterable[Sequence[Any]], header: Sequence[Any] = HEADER) -> bytes:
    book = xlwt.Workbook()
    sheet = book.add_sheet("Catalogue")
    for number, each in enumerate((header, *rows)):
        for place, value in enumerate(each):
            sheet.write(number, place, value)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def repacked(
    data: bytes,
    change: Callable[[str, bytes], bytes] = lambda _name, part: part,
    *,
    extra: dict[str, bytes] | None = None,
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """The package with its parts changed, and more of them."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(buffer, "w", method) as new,
    ):
        for part in old.namelist():
            new.writestr(part, change(part, old.read(part)))
        for part, content in (extra or {}).items():
            new.writestr(part, content)
    return buffer.getvalue()


def with_sheet(xml: bytes) -> bytes:
    """A workbook whose sheet is this XML."""
    sheet = "xl/worksheets/sheet1.xml"
    return repacked(xlsx([]), lambda name, part: xml if name == sheet else part)


def with_shared_texts(data: bytes, xml: bytes) -> bytes:
    """The workbook with this XML as the part that Excel keeps its texts in."""
    declared = (
        b'<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.'
        b'openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>'
    )

    def declare(name: str, part: bytes) -> bytes:
        return part.replace(b"</Types>", declared) if name == "[Content_Types].xml" else part

    return repacked(data, declare, extra={"xl/sharedStrings.xml": xml})
