import pytest

from projections.gallery import FILES_PER_EVENT, ITEM, GalleryRow, next_cursor
from tests.support.scenario import TASK


def row(second, position, file_index=0):
    return GalleryRow(
        task=TASK,
        garment=None,
        source_key="s",
        thumbnail_key="t",
        last_modified=second,
        position=position,
        file_index=file_index,
    )


@pytest.mark.parametrize("rows", [[], [row(10, 1)], [row(10, 2), row(10, 1)]])
def test_the_last_page_has_no_cursor(rows):
    assert next_cursor(rows, 2) is None


def test_a_page_that_ends_with_a_second_goes_on_before_that_second():
    assert next_cursor([row(12, 3), row(11, 2), row(10, 1)], 2) == 11


def test_a_page_that_ends_inside_a_second_goes_on_after_its_last_item():
    rows = [row(12, 9), row(11, 8, 1), row(11, 8, 0)]
    assert next_cursor(rows, 2) == ITEM + 8 * FILES_PER_EVENT + 1


def test_no_second_for_thirty_thousand_years_is_taken_for_an_item():
    assert ITEM > 30_000 * 365 * 86_400
