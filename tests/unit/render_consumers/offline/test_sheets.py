"""A sheet shows every word of its table, by itself; what it shows is drawn by the painter."""

import numpy as np
import pytest

from api.cli import table
from domain import vocabulary
from render_consumers.offline import sheets
from render_consumers.offline.sheets import CELL, SHEETS, Sheet, distinct, laid_out
from render_consumers.painting.painter import Painter


def asked(name: str, field: str) -> set[object]:
    return {getattr(cell.asked.user_details, field) for cell in SHEETS[name]().cells}


def test_the_command_line_names_every_sheet() -> None:
    assert tuple(SHEETS) == table.SHEETS


def test_every_word_of_the_tables_is_on_its_sheet() -> None:
    assert asked("faces", "face_shape") == set(distinct(vocabulary.FACE_SHAPES))
    assert asked("expressions", "expression") == set(distinct(vocabulary.EXPRESSIONS))
    assert asked("poses", "pose") == set(distinct(vocabulary.POSES))
    assert asked("views", "camera_view") == set(distinct(vocabulary.CAMERA_VIEWS))
    assert asked("views", "view_mode") == set(vocabulary.VIEW_MODES)
    assert asked("skin-tones", "skin_tone") == set(range(len(vocabulary.SKIN_TONES)))
    assert len(asked("hair", "hairstyle")) == len(vocabulary.HAIRSTYLES)
    worn = {cell.asked.apparel_details.size for cell in SHEETS["sizes"]().cells}
    assert worn == set(vocabulary.SIZES)


def test_a_new_word_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    added = vocabulary.EXPRESSIONS | {"puzzled": {"browInnerUp": 1.0}}
    monkeypatch.setattr(vocabulary, "EXPRESSIONS", added)
    assert "puzzled" in asked("expressions", "expression")


def test_words_for_the_same_are_shown_once() -> None:
    assert distinct({"side": 90.0, "right": 90.0, "left": -90.0}) == ["side", "left"]


def test_a_sheet_has_its_pictures_side_by_side(painter: Painter) -> None:
    views = SHEETS["views"]()
    told: list[str] = []
    paper = laid_out(painter, Sheet("Two", 2, views.cells[:2]), told.append)
    assert paper.width == 2 * CELL[0] + 3 * sheets.GAP
    pixels = np.asarray(paper)
    top, left = sheets.TITLE, sheets.GAP
    first = pixels[top : top + CELL[1], left : left + CELL[0]]
    second = pixels[top : top + CELL[1], left + CELL[0] + sheets.GAP :][:, : CELL[0]]
    assert not np.array_equal(first, second)
    assert first.std() > 20 < second.std()
    assert told == ["Two: 1 of 2, front, full body", "Two: 2 of 2, back, full body"]
