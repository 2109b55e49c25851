"""Files as people really send them; each stands for its whole kind."""

from pathlib import Path

import pytest

from infra.workbooks.model import UnsupportedWorkbook
from infra.workbooks.reading import read_sheet
from tests.support.workbooks import HEADER

CASES = Path(__file__).parents[3] / "cases"
TWO_COLOURS = ("Red,Blue", "#FF0000,#0000FF")


def texts(file: str) -> list[tuple[str, ...]]:
    rows = read_sheet((CASES / file).read_bytes(), lambda row: row.cells[0].text == "URL")
    return [tuple(cell.text for cell in row.cells) for row in rows]


@pytest.mark.parametrize(
    ("file", "garment"),
    [
        (
            "styles-empty-fill.xlsx",
            ("https://example.com/StylesTee", "BrandT", "Male", "StylesTee", "2D_Kling", "S,M"),
        ),
        (
            "strict.xlsx",
            ("https://example.com/StrictTee", "BrandT", "Male", "StrictTee", "2D_Kling", "S,M"),
        ),
        (
            "header-with-bom.xlsx",
            ("https://example.com/BomTee", "BrandT", "Male", "BomTee", "2D_Kling", "S,M"),
        ),
        (
            "title-above-header.xlsx",
            ("https://example.com/TitleTee", "BrandT", "Male", "TitleTee", "2D_Kling", "S,M"),
        ),
        (
            "notes-sheet-first.xlsx",
            ("https://example.com/SecondTee", "BrandT", "Male", "SecondTee", "2D_Kling", "S,M"),
        ),
        *(
            (
                f"xlsx-{file}.xlsx",
                (f"https://shop.example/{name}", brand, "Female", name, "3D", sizes),
            )
            for file, brand, name, sizes in (
                ("alignment-not-in-list", "Case", "alignment-not-in-enum", "S,M,L"),
                ("font-colour-with-hash", "Case", "colour-with-hash", "S,M,L"),
                ("bookview-window-NaN", "Case", "bookview-NaN", "S,M,L"),
                ("core-properties-date-not-iso", "Case", "core-date-german", "S,M,L"),
                ("Sheet1-capital-in-zip", "Case", "Sheet1-capital-entry-only", "S,M,L"),
                ("zip-entries-with-backslashes", "Case", "backslash-entries", "S,M,L"),
                ("styled-blank-cell-in-row-1048576", "Trail", "Ned97bae6", "S,M,L"),
                ("rows-of-spaces-only", "Trail", "Nd3d527e9", "S,M,L"),
                ("sizes-end-in-_x000D_", "Vals", "Vx000Dsizes", "S,M,L"),
                ("zero-width-space-in-size", "Vals", "Vzerowidthinsize", "S,M,L"),
            )
        ),
        *(
            (f"{file}.xls", (f"https://shop.example/{name}", brand, "Female", name, "3D", "S,M,L"))
            for file, brand, name in (
                ("xls-stream-named-BOOK", "Xls", "Nc8eb7f50"),
                ("xls-root-entry-shares-sectors", "Php", "Ndb44170b"),
                ("xls-first-sheet-hidden", "XlsH", "N636198e3"),
            )
        ),
    ],
)
def test_what_excel_opens_is_read(file, garment):
    assert texts(file) == [HEADER, (*garment[:5], *TWO_COLOURS, garment[5])]


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("protected.xlsx", "encrypted; save it without a password"),
        ("page-saved-as.xls", r"a web page; open it in Excel and save it .*\.xlsx"),
        ("tabs-saved-as.xls", r"a text file; open it in Excel and save it .*\.xlsx"),
    ],
)
def test_what_is_no_workbook_to_us_is_called_by_its_name(file, told):
    with pytest.raises(UnsupportedWorkbook, match=told):
        texts(file)
