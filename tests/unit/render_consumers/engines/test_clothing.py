import pytest

from domain.garment import WornGarment
from domain.picture import ApparelDetails
from render_consumers.engines.clothing import look, not_in_catalogue
from render_consumers.painting.clothes.garment import GarmentLook
from tests.support.scenario import requested, video_requested

KINDS = pytest.mark.parametrize("kind", [requested, video_requested])
ASKED = ApparelDetails(brand="BrandA", item_id="Cloth1", color="Sea", size="XL")


def found(**known):
    example = {"color_known": True, "size_known": True, "size2_known": True}
    return WornGarment(name="Cloth1", color_hex="#0000AA", **example | known)


@KINDS
def test_the_catalogue_decides_the_colour(kind):
    request = kind(apparel_details=ASKED, garment=found())
    assert look(request) == GarmentLook(colour="#0000AA", size="XL")
    assert not_in_catalogue(request) == ()


@KINDS
def test_what_the_garment_does_not_come_in_is_told_and_not_drawn(kind):
    request = kind(apparel_details=ASKED, garment=found(color_known=False, size_known=False))
    assert look(request) == GarmentLook(colour="#0000AA", size="")
    assert not_in_catalogue(request) == ("apparel_details.color", "apparel_details.size")


@KINDS
def test_a_second_size_that_the_garment_has_not_is_told(kind):
    request = kind(apparel_details=ASKED, garment=found(size2_known=False))
    assert look(request) == GarmentLook(colour="#0000AA", size="XL")
    assert not_in_catalogue(request) == ("apparel_details.size2",)


@KINDS
def test_an_unknown_garment_is_plain_in_the_colour_asked_for_and_told(kind):
    request = kind(apparel_details=ASKED)
    assert look(request) == GarmentLook(colour="Sea", size="XL")
    assert not_in_catalogue(request) == ("apparel_details.brand", "apparel_details.item_id")


def test_nothing_asked_for_is_nothing_that_lacks():
    assert not_in_catalogue(requested(apparel_details=ApparelDetails(color="Red"))) == ()
