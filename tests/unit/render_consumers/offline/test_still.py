import numpy as np

from domain.picture import ApparelDetails, UserDetails
from render_consumers.offline.still import Asked, drawn
from render_consumers.painting.painter import GarmentLook, Painter

SIZE = (96, 128)


def test_a_request_is_drawn_as_the_consumer_draws_it(painter: Painter) -> None:
    details = UserDetails(camera_view="left", face_shape="dodecahedral")
    asked = Asked(user_details=details, apparel_details=ApparelDetails(color="Green", size="XL"))
    picture, ignored = drawn(painter, asked, SIZE)
    expected = painter.paint(details, GarmentLook("Green", "XL"), size=SIZE)
    assert np.array_equal(np.asarray(picture), expected.pixels)
    assert ignored == ("user_details.face_shape",)


def test_the_mode_decides_the_look(painter: Painter) -> None:
    solid, flat = (drawn(painter, Asked(render_mode=m), SIZE)[0] for m in ("3D", "2D_Kling"))
    assert solid.tobytes() != flat.tobytes()
