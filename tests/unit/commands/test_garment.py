from commands.garment import ListGarment
from domain.garment import GarmentListed, GarmentRevised, garment_id
from tests.support.scenario import garment_details, given

LISTED = GarmentListed(details=garment_details())
OTHER = garment_details(sizes=("S",))


def list_garment(**changes):
    return ListGarment(
        aggregate_id=garment_id("BrandA", "Cloth1"),
        account=None,
        details=garment_details(**changes),
    )


def test_a_new_garment_is_listed():
    given().when(list_garment()).then(LISTED)


def test_the_same_row_again_adds_no_event():
    given(LISTED).when(list_garment()).then_nothing()


def test_another_row_for_the_garment_revises_it():
    given(LISTED).when(list_garment(sizes=("S",))).then(GarmentRevised(details=OTHER))


def test_the_same_revision_twice_adds_no_second_event():
    given(LISTED, GarmentRevised(details=OTHER)).when(list_garment(sizes=("S",))).then_nothing()


def test_a_change_back_is_an_event():
    history = given(LISTED, GarmentRevised(details=OTHER))
    history.when(list_garment()).then(GarmentRevised(details=garment_details()))
