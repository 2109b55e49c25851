import pytest

from domain.garment import WornGarment
from domain.picture import ApparelDetails
from render_consumers.engines.clothing import look, not_drawn
from render_consumers.painting.clothes.kinds import Kind, Shape
from render_consumers.painting.clothes.outfit import GarmentLook
from tests.support.scenario import requested, video_requested

KINDS = pytest.mark.parametrize("kind", [requested, video_requested])
ASKED = ApparelDetails(brand="BrandA", item_id="Zip Hoodie", color="Sea", size="XL", size2="34/32")
SIZES = ("S", "M", "L")


def found(name="Zip Hoodie", sizes=(), gender="", **known):
    example = {"color_known": True, "size_known": True, "size2_known": True}
    return WornGarment(
        name=name, color_hex="#0000AA", sizes=sizes, gender=gender, **example | known
    )


@KINDS
def test_the_catalogue_decides_kind_colour_and_whom_it_is_cut_for(kind):
    request = kind(apparel_details=ASKED, garment=found(sizes=SIZES, gender="Male"))

    assert look(request) == GarmentLook(
        colour="#0000AA", size="XL", size2="34/32", kind=Kind.HOODIE, gender=0.0, sizes=SIZES
    )
    assert not_drawn(request) == ()


@KINDS
def test_what_the_garment_does_not_come_in_is_told(kind):
    lacking = found(color_known=False, size_known=False, size2_known=False)
    request = kind(apparel_details=ASKED, garment=lacking)

    assert look(request) == GarmentLook(colour="#0000AA", kind=Kind.HOODIE)
    assert not_drawn(request) == (
        "apparel_details.color",
        "apparel_details.size",
        "apparel_details.size2",
    )


@KINDS
def test_a_size_that_the_garment_lacks_is_left_to_those_that_it_has(kind):
    request = kind(apparel_details=ASKED, garment=found(sizes=SIZES, size_known=False))

    assert (look(request).size, look(request).sizes) == ("XL", SIZES)
    assert not_drawn(request) == ("apparel_details.size",)


@KINDS
def test_a_garment_that_the_catalogue_lacks_is_drawn_by_its_name_in_the_colour_asked_for(kind):
    request = kind(apparel_details=ASKED)

    assert look(request) == GarmentLook("Sea", "XL", "34/32", kind=Kind.HOODIE)
    assert not_drawn(request) == ("apparel_details.brand",)


@pytest.mark.parametrize("listed", [None, found("Cloth1")])
def test_a_name_that_tells_nothing_is_told(listed):
    request = requested(apparel_details=ApparelDetails(item_id="Cloth1"), garment=listed)

    assert look(request).kind is None
    assert not_drawn(request) == ("apparel_details.item_id",)


def test_nothing_asked_for_is_nothing_that_lacks():
    assert not_drawn(requested(apparel_details=ApparelDetails(color="Red"))) == ()


@pytest.mark.parametrize(
    ("told", "cut_for"),
    [("Male", 0.0), ("WOMEN", 1.0), ("Damen", 1.0), ("", None), ("Dogs", None)],
)
def test_garments_are_cut_for_whom_the_catalogue_says(told, cut_for):
    request = requested(apparel_details=ASKED, garment=found(gender=told))

    assert look(request).gender == cut_for


def test_what_the_name_says_of_sleeves_and_length_is_cut():
    listed = requested(garment=found("Sleeveless Maxi Dress"))

    assert look(listed).shape == Shape(sleeves="none", length="maxi")
    assert look(requested(apparel_details=ASKED)).shape == Shape()
