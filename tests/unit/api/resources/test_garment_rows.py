from pathlib import Path

import pytest

from api.edge.errors import Invalid
from api.resources.garment_rows import read_catalogue
from domain.garment import GarmentDetails
from tests.support.workbooks import HEADER, row, xls, xlsx

CASES = Path(__file__).parents[3] / "cases"
MAKERS = pytest.mark.parametrize("make", [xlsx, xls])


def garment(data: bytes) -> GarmentDetails:
    (found,) = read_catalogue(data)
    return found


def told(data: bytes) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        read_catalogue(data)
    return [(each.field, each.message) for each in refused.value.details]


@pytest.mark.parametrize(
    ("file", "colors", "sizes"),
    [
        ("fullwidth-commas.xlsx", ("红", "蓝"), ("S", "M", "L")),
        ("line-breaks-in-a-cell.xlsx", ("Red", "Blue"), ("S", "M", "L")),
        ("xlsx-sizes-end-in-_x000D_.xlsx", ("Red", "Blue"), ("S", "M", "L")),
        ("xlsx-zero-width-space-in-size.xlsx", ("Red", "Blue"), ("S", "M", "L")),
        ("xlsx-rows-of-spaces-only.xlsx", ("Red", "Blue"), ("S", "M", "L")),
        ("header-with-bom.xlsx", ("Red", "Blue"), ("S", "M")),
        ("title-above-header.xlsx", ("Red", "Blue"), ("S", "M")),
        ("notes-sheet-first.xlsx", ("Red", "Blue"), ("S", "M")),
    ],
)
def test_files_that_people_send_are_read(file, colors, sizes):
    found = garment((CASES / file).read_bytes())
    assert (found.colors, found.colors_hex, found.sizes) == (colors, ("#FF0000", "#0000FF"), sizes)


@pytest.mark.parametrize(
    ("file", "field"),
    [
        ("xlsx-hex-1000E2-became-100000.xlsx", "row 2, column G (Colors Hex)"),
        ("xlsx-sizes-became-number.xlsx", "row 2, column H (Sizes)"),
    ],
)
def test_what_excel_made_a_number_of_is_told(file, field):
    message = "must be text, but Excel has made a number of it: format the column as text"
    assert told((CASES / file).read_bytes()) == [(field, message)]


@MAKERS
@pytest.mark.parametrize(
    ("cell", "sizes"),
    [
        ("S，M、L;XL；XXL\nS/M", ("S", "M", "L", "XL", "XXL", "S/M")),
        ("34/32", ("34/32",)),
        ("One size - S.M|L", ("One size - S.M|L",)),
        ("\ufeffS\u200b ,\u00a0M\u200b", ("S", "M")),
        (38, ("38",)),
        (0, ("0",)),
    ],
)
def test_lists_part_at_commas_semicolons_and_line_breaks_only(make, cell, sizes):
    assert garment(make([row(sizes=cell)])).sizes == sizes


@MAKERS
@pytest.mark.parametrize("number", [100_110, 48.5, -1, 1e20])
def test_a_number_that_may_have_been_a_list_is_told(make, number):
    assert [field for field, _ in told(make([row(sizes=number)]))] == ["row 2, column H (Sizes)"]


@MAKERS
def test_a_name_may_be_a_number(make):
    assert garment(make([row(name=501)])).name == "501"


@MAKERS
def test_invisible_characters_in_a_header_are_no_matter(make):
    header = ["\ufeffURL\u200b", "\u00a0Brand", "Gen\u200bder", *HEADER[3:]]
    header[4] = "Render\u00a0Mode"
    assert len(read_catalogue(make([row()], header))) == 1


@MAKERS
@pytest.mark.parametrize(("above", "found"), [(19, True), (20, False)])
def test_the_header_is_sought_in_the_leading_rows(make, above, found):
    data = make([*[["note"]] * (above - 1), HEADER, row(gender="")], ["title"])
    (field, _), *more = told(data)
    assert (field == f"row {above + 2}, column C (Gender)") is found
    assert bool(more) is not found


@MAKERS
def test_the_row_that_comes_nearest_to_a_header_is_told(make):
    data = make([HEADER[:-1], row()], ["title"])
    assert told(data) == [("row 2", "has no column Sizes")]
    with pytest.raises(Invalid, match="looked at: “Catalogue”"):
        read_catalogue(data)


@MAKERS
@pytest.mark.parametrize("number", [5.1, -7, 1e21, 123_456_789_012])
def test_a_brand_or_name_that_is_no_longer_what_was_typed_is_told(make, number):
    message = "must be text, but Excel has made a number of it: format the column as text"
    assert told(make([row(brand=number, name=number)])) == [
        ("row 2, column B (Brand)", message),
        ("row 2, column D (Name)", message),
    ]


@MAKERS
def test_an_entity_parts_no_list(make):
    assert garment(make([row(colors="Black &amp; White,b,c")])).colors == (
        "Black & White",
        "b",
        "c",
    )


def test_what_must_be_corrected_is_said_with_how_much_more_there_is():
    with pytest.raises(Invalid, match=r"^nothing was stored; correct row 2, column C \(Gender\)$"):
        read_catalogue(xlsx([row(gender="")]))
    with pytest.raises(Invalid, match=r"column C \(Gender\) and 2 more$"):
        read_catalogue(xlsx([row(gender="", name="", sizes="")]))
