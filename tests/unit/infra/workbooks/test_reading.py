import contextlib
import datetime
import io
import random
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import openpyxl
import pytest
import xlwt
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.comments import Comment
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from domain.errors import Unavailable
from infra.workbooks import reading
from infra.workbooks import xls as xls_module
from infra.workbooks import xlsx as xlsx_module
from infra.workbooks.model import (
    MOST_CELLS,
    Cell,
    Row,
    UnreadableWorkbook,
    UnsupportedWorkbook,
    WorkbookTooLarge,
)
from infra.workbooks.reading import MOST_LINES, MOST_ROWS, NoHeader, read_sheet
from infra.workbooks.xlsx import (
    MOST_HELD_NODES,
    MOST_NODES,
    MOST_PARTS,
    MOST_UNPACKED_BYTES,
)
from tests.support.workbooks import (
    CONTRACT,
    HEADER,
    MAIN,
    repacked,
    with_shared_texts,
    with_sheet,
    xls,
    xlsx,
)

BOLD = InlineFont(b=True)
ROOT = Path(__file__).parents[4]
MAKERS = pytest.mark.parametrize("make", [xlsx, xls])
REFUSALS = (UnreadableWorkbook, UnsupportedWorkbook, WorkbookTooLarge)


def texts(row):
    return tuple(cell.text for cell in row.cells)


def bomb(declared_as="xl/media/image1.png"):
    return repacked(xlsx(CONTRACT), extra={declared_as: bytes(MOST_UNPACKED_BYTES)})


def element(content):
    return b'<worksheet xmlns="' + MAIN.encode() + b'">' + content + b"</worksheet>"


@MAKERS
def test_the_contracts_own_sheet_is_read(make):
    assert [texts(row) for row in read_sheet(make(CONTRACT))] == [HEADER, *CONTRACT]


@MAKERS
def test_blank_rows_are_left_out_and_the_others_keep_their_numbers(make):
    rows = read_sheet(make([[], ["a"], ["", ""], ["", "b"]]))
    assert rows[1:] == [Row(3, (Cell("a"),)), Row(5, (Cell(""), Cell("b")))]


@MAKERS
def test_numbers_are_read_as_they_are_shown(make):
    (row,) = read_sheet(make([[501, 42.0, 38.5]]))[1:]
    assert texts(row) == ("501", "42", "38.5")


@MAKERS
def test_what_is_no_text_is_told(make):
    day = datetime.date(2024, 1, 2)
    if make is xls:
        style = xlwt.easyxf(num_format_str="YYYY-MM-DD")
        book = xlwt.Workbook()
        sheet = book.add_sheet("s")
        sheet.write(0, 0, True)
        sheet.write(0, 1, day, style)
        buffer = io.BytesIO()
        book.save(buffer)
        (row,) = read_sheet(buffer.getvalue())
    else:
        (row,) = read_sheet(make([], [True, day]))
    assert [cell.problem for cell in row.cells] == ["text, not true or false", "text, not a date"]


@MAKERS
def test_a_formula_is_told_where_it_is(make):
    formula = "=1+1" if make is xlsx else xlwt.Formula("1+1")
    (row,) = read_sheet(make([["a", formula, "c"]]))[1:]
    assert [cell.problem for cell in row.cells] == ["", "a value, not a formula", ""]


def test_formulas_on_other_sheets_are_no_matter():
    book = xlwt.Workbook()
    book.add_sheet("first").write(0, 0, "a")
    book.add_sheet("second").write(0, 0, xlwt.Formula("1+1"))
    buffer = io.BytesIO()
    book.save(buffer)
    assert read_sheet(buffer.getvalue()) == [Row(1, (Cell("a"),))]


def test_an_error_in_a_cell_is_told():
    cells = element(b'<sheetData><row><c t="e"><v>#N/A</v></c></row></sheetData>')
    (row,) = read_sheet(with_sheet(cells))
    assert row.cells[0].problem == "a value, not the error #N/A"


@MAKERS
def test_as_many_rows_as_allowed_are_read_and_no_more(make):
    rows = [[n] for n in range(1, MOST_ROWS + 1)]
    assert len(read_sheet(make(rows[:-1]))) == MOST_ROWS
    with pytest.raises(WorkbookTooLarge, match="split"):
        read_sheet(make(rows))


def test_a_row_far_down_is_refused_without_going_there():
    far = b'<sheetData><row r="2000000000"><c><v>1</v></c></row></sheetData>'
    with pytest.raises(WorkbookTooLarge, match=str(MOST_LINES)):
        read_sheet(with_sheet(element(far)))


def test_a_sheet_that_claims_to_be_huge_is_read_for_what_it_is():
    claim = b'<dimension ref="A1:XFD1048576"/><sheetData><row><c><v>1</v></c></row></sheetData>'
    assert read_sheet(with_sheet(element(claim))) == [Row(1, (Cell("1"),))]


@pytest.mark.parametrize(
    "data",
    [b"", b"no workbook", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", repacked(xlsx([]))[:2]],
)
def test_another_type_of_file_is_refused(data):
    with pytest.raises(UnsupportedWorkbook, match="not an Excel workbook"):
        read_sheet(data)


def test_macros_are_refused():
    with pytest.raises(UnsupportedWorkbook, match="macros"):
        read_sheet(repacked(xlsx(CONTRACT), extra={"xl/vbaProject.bin": b"code"}))


def test_a_workbook_that_may_have_macros_is_refused():
    def macro_enabled(name, part):
        plain = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
        return part.replace(plain, b"application/vnd.ms-excel.sheet.macroEnabled.main+xml")

    with pytest.raises(UnsupportedWorkbook, match=r"macros \(\.xlsm\)"):
        read_sheet(repacked(xlsx(CONTRACT), macro_enabled))


def test_entities_are_refused():
    laughs = b'<!DOCTYPE x [<!ENTITY a "' + b"ha" * 1000 + b'">]>' + element(b"<sheetData/>")
    with pytest.raises(UnsupportedWorkbook, match="entities"):
        read_sheet(with_sheet(laughs))


def test_entities_are_found_in_parts_that_are_not_called_xml():
    laughs = b'<!DOCTYPE x [<!ENTITY a "ha">]><x/>'
    with pytest.raises(UnsupportedWorkbook, match="entities"):
        read_sheet(repacked(xlsx(CONTRACT), extra={"xl/media/image1.png": laughs}))


def test_pictures_are_no_matter():
    data = repacked(xlsx(CONTRACT), extra={"xl/media/image1.png": b"\x89PNG\r\n\x1a\n" * 100})
    assert len(read_sheet(data)) == 1 + len(CONTRACT)


def test_a_bomb_is_refused_before_it_is_unpacked():
    data = bomb()
    assert len(data) < 100_000
    tracemalloc.start()
    with pytest.raises(WorkbookTooLarge, match="unpacks"):
        read_sheet(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 1024 * 1024


def test_a_bomb_that_lies_about_its_size_is_refused():
    data = bytearray(bomb())
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"PK\x05\x06"))
    data[at + 24 : at + 28] = (10).to_bytes(4, "little")
    with pytest.raises(UnreadableWorkbook):
        read_sheet(bytes(data))


@pytest.mark.parametrize(
    "sheet",
    [
        b"<sheetData><row>" + b"<c/>" * MOST_HELD_NODES + b"</row></sheetData>",
        b"<x/>" * MOST_HELD_NODES,
        b"<sheetData>" + b"<row/>" * MOST_NODES + b"</sheetData>",
        b"<x>" * 200 + b"</x>" * 200,
    ],
    ids=["one row", "no rows", "rows", "depth"],
)
def test_a_tree_that_would_fill_the_memory_is_refused(sheet):
    with pytest.raises(WorkbookTooLarge, match="is too large"):
        read_sheet(with_sheet(element(sheet)))


@pytest.mark.parametrize("length", [300_000, 3_000_000])
def test_a_tag_that_would_fill_the_memory_is_refused(length):
    tag = b"<row " + b" ".join(b'a%d=""' % n for n in range(length)) + b"/>"
    with pytest.raises(WorkbookTooLarge, match="tag"):
        read_sheet(with_sheet(element(b"<sheetData>" + tag + b"</sheetData>")))


@pytest.mark.parametrize("tag", [b"v", b"si"])
def test_more_cells_or_texts_than_a_catalogue_has_are_refused(tag):
    row = b"<row>" + b"<%s/>" % tag * 50 + b"</row>"
    many = element(b"<sheetData>" + row * (MOST_CELLS // 50 + 1) + b"</sheetData>")
    with pytest.raises(WorkbookTooLarge, match="cells"):
        read_sheet(with_sheet(many))


def test_a_sheet_that_is_named_a_thousand_times_is_looked_through_once(monkeypatch):
    looks = []
    look = xlsx_module._rows

    def noted(*arguments):
        looks.append(arguments)
        return look(*arguments)

    monkeypatch.setattr(xlsx_module, "_rows", noted)

    def named_again(name: str, part: bytes) -> bytes:
        start, end = part.find(b"<sheet "), part.find(b"</sheets>")
        again = part[start:end] * 1_000 if name == "xl/workbook.xml" else b""
        return part[:end] + again + part[end:] if again else part

    with pytest.raises(NoHeader):
        read_sheet(repacked(xlsx(CONTRACT), named_again), lambda _row: False)
    assert len(looks) == 1


def test_nobody_waits_long_for_the_workbooks_of_others(monkeypatch):
    monkeypatch.setattr(reading, "WAIT_S", 0.01)
    with reading.ONE_AT_A_TIME, pytest.raises(Unavailable):
        read_sheet(xlsx(CONTRACT))
    assert len(read_sheet(xlsx(CONTRACT))) == 4


def test_long_text_is_no_long_tag():
    text = b"x" * 1_000_000
    cells = b'<sheetData><row><c t="str"><v>' + text + b"</v></c></row></sheetData>"
    assert read_sheet(with_sheet(element(cells))) == [Row(1, (Cell(text.decode()),))]


def test_a_text_that_would_fill_the_memory_is_refused():
    cells = b'<sheetData><row><c t="str"><v>' + b"x" * 2**21 + b"</v></c></row></sheetData>"
    with pytest.raises(WorkbookTooLarge, match="text that is too long"):
        read_sheet(with_sheet(element(cells)))


def test_texts_that_cells_share_are_read():
    shared = b'<sst xmlns="%s"><si><t>a</t></si><si><r><t>b</t></r><r><t>c</t></r></si></sst>'
    cells = b'<sheetData><row><c t="s"><v>1</v></c><c t="s"><v>0</v></c></row></sheetData>'
    data = with_shared_texts(with_sheet(element(cells)), shared % MAIN.encode())
    assert read_sheet(data) == [Row(1, (Cell("bc"), Cell("a")))]


def test_the_worst_that_is_taken_stays_within_the_bound_that_why_md_states(tmp_path):
    rows = b'<row a="" b="" c="" d=""/>' * (MOST_NODES // 5 - 1_000)  # where texts should be
    file = tmp_path / "worst.xlsx"
    file.write_bytes(with_shared_texts(xlsx([]), element(rows)))
    script = (
        "import pathlib, resource, sys\n"
        "from infra.workbooks.reading import read_sheet\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "read_sheet(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "print(peak() - before)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, file], cwd=ROOT, capture_output=True, check=True
    )
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    assert int(finished.stdout) * unit < 256 * 1024 * 1024


def test_a_stream_of_short_sectors_that_go_in_a_circle_is_refused():
    data = bytearray(xls(CONTRACT))
    (table,) = struct.unpack_from("<i", data, 76)
    (directory,) = struct.unpack_from("<i", data, 48)
    root, stream = 512 * (1 + directory) + 116, 512 * (1 + directory) + 128 + 116
    sector = len(data) // 512 - 1
    data[root : root + 8] = data[stream : stream + 8]
    struct.pack_into("<ii", data, stream, 0, 3_000)
    struct.pack_into("<ii", data, 60, sector, 1)
    struct.pack_into("<i", data, 512 * (1 + table) + 4 * sector, -2)
    data += struct.pack("<128i", 0, *[-1] * 127)
    with pytest.raises(UnreadableWorkbook, match="no end"):
        read_sheet(bytes(data))


@MAKERS
def test_the_sheets_that_are_looked_at_are_the_visible_ones(make):
    data = make([["second"]], ["first"])
    with pytest.raises(NoHeader) as refused:
        read_sheet(data, lambda _row: False)
    assert refused.value.sheets == {
        "Catalogue": [Row(1, (Cell("first"),)), Row(2, (Cell("second"),))]
    }


@pytest.mark.parametrize("part", [b"", b"<a", b"\0\1", b"<styleSheet><x/></styleSheet>"])
@pytest.mark.parametrize("name", ["xl/styles.xml", "xl/theme/theme1.xml", "docProps/core.xml"])
def test_parts_that_hold_no_values_never_decide(name, part):
    data = repacked(xlsx(CONTRACT), lambda each, old: part if each == name else old)
    assert len(read_sheet(data)) == 1 + len(CONTRACT)


def test_cells_without_a_value_count_nothing():
    row = b"<row>" + b'<c s="1"/>' * 8 + b"</row>"
    cells = element(b"<sheetData>" + row * (MOST_CELLS // 4) + b"</sheetData>")
    with pytest.raises(NoHeader):
        read_sheet(with_sheet(cells))


def test_a_package_of_too_many_parts_is_refused():
    parts = {f"xl/{n}.xml": b"<a/>" for n in range(MOST_PARTS)}
    with pytest.raises(WorkbookTooLarge, match="parts"):
        read_sheet(repacked(xlsx([]), extra=parts))


def test_a_package_that_needs_much_memory_to_unpack_is_refused():
    with pytest.raises(UnsupportedWorkbook, match="compressed"):
        read_sheet(repacked(xlsx(CONTRACT), method=zipfile.ZIP_LZMA))


@MAKERS
def test_no_part_of_a_file_is_read_as_if_it_were_the_whole(make):
    data = make(CONTRACT * 20)
    for length in {*range(0, 2048, 61), *range(0, len(data) - 1, len(data) // 60)}:
        with pytest.raises(REFUSALS):
            read_sheet(data[:length])


@MAKERS
def test_whatever_is_wrong_in_a_file_it_is_read_or_refused(make):
    chance = random.Random(4)
    whole = make(CONTRACT)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 4, 40])):
            data[chance.randrange(8, len(data))] = chance.randrange(256)
        with contextlib.suppress(*REFUSALS):
            read_sheet(bytes(data))


@pytest.mark.parametrize("cells", [["a"] * 3, [1.5] * 3, [7, 8, 9], [xlwt.Formula("1")] * 3])
def test_an_xls_of_too_many_cells_is_refused_before_it_is_laid_out(cells, monkeypatch):
    data = xls([cells], ["a", "b"])
    monkeypatch.setattr(xls_module, "MOST_CELLS", 5)
    assert len(read_sheet(data)) == 2
    monkeypatch.setattr(xls_module, "MOST_CELLS", 4)
    with pytest.raises(WorkbookTooLarge, match="split"):
        read_sheet(data)


@pytest.mark.parametrize(
    ("number_format", "value", "formatted"),
    [
        ("General", 501, False),
        ("0", 38, False),
        ("@", 38, False),
        ("#,##0", 38, False),
        ("#,##0", 3840, True),
        ("0.00", 38, True),
        ("00000", 501, True),
        ("0%", 0.5, True),
        ("0.00E+00", 1e5, True),
    ],
)
def test_a_number_that_an_xls_shows_otherwise_is_told(number_format, value, formatted):
    book = xlwt.Workbook()
    sheet = book.add_sheet("s")
    for place in range(3):  # several in a row share a record
        sheet.write(0, place, value, xlwt.easyxf(num_format_str=number_format))
    sheet.write(2, 0, value, xlwt.easyxf(num_format_str=number_format))
    buffer = io.BytesIO()
    book.save(buffer)

    cells = [cell for row in read_sheet(buffer.getvalue()) for cell in row.cells]

    assert [cell.formatted for cell in cells] == [formatted] * 4


@MAKERS
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Rock &amp; Roll", "Rock & Roll"),
        ("Levi&#39;s", "Levi's"),
        ("Levi&#x2019;s", "Levi’s"),
        ("Acme&nbsp;", "Acme"),
        ("Caf&eacute;", "Café"),
        ("H&M", "H&M"),
        ("https://shop.example/?a=1&copy=2", "https://shop.example/?a=1&copy=2"),
        ("A&B; C", "A&B; C"),
    ],
)
def test_entities_are_what_they_stand_for(make, written, meant):
    assert texts(read_sheet(make([[written]]))[1]) == (meant,)


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("content.xml", "OpenDocument"),
        ("Index/Document.iwa", "Numbers"),
        ("word/document.xml", "Word"),
        ("catalogue.xlsx", "not an Excel workbook"),
    ],
)
def test_another_programs_package_is_called_by_its_name(part, told):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr(part, b"<x/>")

    with pytest.raises(UnsupportedWorkbook, match=told):
        read_sheet(buffer.getvalue())


def titled(sheet):
    sheet.insert_rows(1)
    sheet.merge_cells("A1:H1")
    sheet["A1"] = "Catalogue"


@pytest.mark.parametrize(
    "change",
    [
        lambda sheet: setattr(sheet.parent, "epoch", CALENDAR_MAC_1904),
        lambda sheet: setattr(sheet.row_dimensions[2], "hidden", True),
        lambda sheet: setattr(sheet.column_dimensions["C"], "hidden", True),
        lambda sheet: setattr(sheet["A2"], "hyperlink", "https://shop.example"),
        lambda sheet: setattr(sheet["A2"], "comment", Comment("x", "y")),
        lambda sheet: setattr(sheet.auto_filter, "ref", "A1:H2"),
        lambda sheet: setattr(sheet, "freeze_panes", "A2"),
        lambda sheet: setattr(sheet["D2"], "quotePrefix", True),
        lambda sheet: setattr(sheet["D2"], "value", CellRichText("Clo", TextBlock(BOLD, "th1"))),
        lambda sheet: setattr(sheet["D2"], "value", "\u3000Cloth1\u3000"),
        lambda sheet: setattr(sheet["E1"], "value", "Render\nMode"),
        lambda sheet: sheet.append([""] * 8),
        lambda sheet: sheet.parent.create_chartsheet("chart", 0),
        titled,
    ],
    ids=[
        *("dates from 1904", "hidden row", "hidden column", "link", "comment", "filter", "frozen"),
        *("quote prefix", "rich text", "wide blanks", "header in two lines", "empty texts"),
        *("chart first", "merged title"),
    ],
)
def test_what_people_do_to_a_sheet_changes_nothing(change):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(HEADER)
    sheet.append(CONTRACT[0])
    change(sheet)
    buffer = io.BytesIO()
    book.save(buffer)

    rows = read_sheet(buffer.getvalue() + b"\0" * 9, lambda row: row.cells[0].text == "URL")

    assert [texts(row)[5:] for row in rows[1:]] == [CONTRACT[0][5:]]
    assert texts(rows[1])[:4] == CONTRACT[0][:4]
