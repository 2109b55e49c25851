from uuid import UUID

import pytest

from domain.garment import (
    Garment,
    GarmentListed,
    GarmentRevised,
    evolve,
    garment_id,
    initial,
    worn,
)
from domain.picture import ApparelDetails
from tests.support.scenario import garment_details, requested

LISTED = evolve(initial, GarmentListed(details=garment_details()))


def test_there_is_nothing_before_it_is_listed():
    assert initial.details is None


def test_a_listed_garment_is_what_its_row_says():
    assert LISTED.details == garment_details()


def test_a_revision_tells_all_anew():
    revised = garment_details(sizes=("XL",), url="https://example.com/9")
    assert evolve(LISTED, GarmentRevised(details=revised)) == Garment(details=revised)


def test_events_of_other_aggregates_change_nothing():
    assert evolve(LISTED, requested()) == LISTED


def test_the_id_of_a_garment_is_for_ever():
    assert garment_id("BrandA", "Cloth1") == UUID("26348c02-2a53-5c91-a13f-09f78f4343b6")


@pytest.mark.parametrize(("brand", "name"), [(" branda", "CLOTH1\t"), ("ＢrandA", "cloth1")])
def test_the_same_brand_and_name_are_the_same_garment_however_they_are_written(brand, name):
    assert garment_id(brand, name) == garment_id("BrandA", "Cloth1")


@pytest.mark.parametrize(("brand", "name"), [("BrandA", "Cloth 1"), ("BrandAC", "loth1"), ("", "")])
def test_another_brand_or_name_is_another_garment(brand, name):
    assert garment_id(brand, name) != garment_id("BrandA", "Cloth1")


@pytest.mark.parametrize(
    ("color", "hex_code", "known"),
    [
        ("Blue", "#0000FF", True),
        (" blue ", "#0000FF", True),
        ("", "#FF0000", True),
        ("Pink", "#FF0000", False),
    ],
)
def test_the_garment_decides_its_colour(color, hex_code, known):
    found = worn(LISTED, ApparelDetails(color=color))
    assert found is not None
    assert (found.name, found.color_hex, found.color_known) == ("Cloth1", hex_code, known)


def test_a_hex_code_without_its_sign_gets_one():
    garment = Garment(details=garment_details(colors=("Red",), colors_hex=("FF0000",)))
    found = worn(garment, ApparelDetails())
    assert found is not None
    assert found.color_hex == "#FF0000"


@pytest.mark.parametrize(("size", "known"), [("L", True), ("l ", True), ("", True), ("XL", False)])
def test_the_garment_decides_its_sizes(size, known):
    for field in ("size", "size2"):
        found = worn(LISTED, ApparelDetails(**{field: size}))
        assert found is not None
        assert getattr(found, f"{field}_known") is known


def test_nobody_wears_what_is_not_listed():
    assert worn(initial, ApparelDetails(color="Red")) is None


def test_whom_a_garment_is_for_and_what_it_comes_in_goes_with_it():
    found = worn(LISTED, ApparelDetails())
    assert found is not None
    assert (found.gender, found.sizes) == ("Male", ("S", "M", "L"))
