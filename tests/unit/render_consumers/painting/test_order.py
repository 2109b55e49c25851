from domain.picture import UserDetails
from render_consumers.painting.garment import EASE, GarmentLook
from render_consumers.painting.order import understand


def test_labels_are_understood_however_they_are_written() -> None:
    details = UserDetails(
        gender="MALE", pose="t-pose", camera_view="Three Quarter", hairstyle="Bob"
    )
    order = understand(details, GarmentLook("ReD", "xl"))
    assert order.ignored == ()
    assert order.gender == 0.0
    assert order.garment == (1.0, 0.0, 0.0)
    assert order.ease == EASE["XL"]


def test_nothing_said_of_the_garment_is_nothing_ignored() -> None:
    assert understand(UserDetails(), GarmentLook()).ignored == ()


def test_an_alpha_of_nought_is_white() -> None:
    details = UserDetails(background_color_hex="#00000000")
    assert understand(details, GarmentLook()).backdrop == (1.0, 1.0, 1.0)
