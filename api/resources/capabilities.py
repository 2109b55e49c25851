"""What can be drawn, so that nobody has to learn it from what was ignored."""

from typing import Final

import msgspec
from litestar import Response, get

from domain import vocabulary

AN_HOUR: Final = {"Cache-Control": "public, max-age=3600", "Vary": "Origin"}


class LooksDrawn(msgspec.Struct, frozen=True, kw_only=True):
    """What the members of ``user_details`` may say; skin tones go from light to dark."""

    gender: list[str]
    face_shape: list[str]
    skin_tone: list[int]
    pose: list[str]
    hairstyle: list[str]
    camera_view: list[str]
    view_mode: list[int]
    expression: list[str]


class ApparelDrawn(msgspec.Struct, frozen=True, kw_only=True):
    """What the members of ``apparel_details`` may say, of a garment that the catalogue lacks."""

    color: list[str]
    size: list[str]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Every word that can be drawn, under the name of the member that takes it.

    Anything else is drawn as the default, and the member is named in the task's ``ignored``.
    """

    user_details: LooksDrawn
    apparel_details: ApparelDrawn


CAPABILITIES: Final = Capabilities(
    user_details=LooksDrawn(
        gender=list(vocabulary.GENDERS),
        face_shape=list(vocabulary.FACE_SHAPES),
        skin_tone=list(range(len(vocabulary.SKIN_TONES))),
        pose=list(vocabulary.POSES),
        hairstyle=list(vocabulary.HAIRSTYLES),
        camera_view=list(vocabulary.CAMERA_VIEWS),
        view_mode=list(vocabulary.VIEW_MODES),
        expression=list(vocabulary.EXPRESSIONS),
    ),
    apparel_details=ApparelDrawn(
        color=list(vocabulary.COLORS),
        size=list(vocabulary.SIZES),
    ),
)


@get("/capabilities", tags=["Generate"], sync_to_thread=False)
def capabilities() -> Response[Capabilities]:
    """Every word that can be drawn.

    Case does not matter. View modes are the whole body, its upper half and a portrait. Colours of
    garments may be told in numbers as well, such as `#FF0000`, and sizes as `38`, `UK 10`, `34/32`
    or `one size`; a garment of the catalogue has the colours and sizes that `/clothes` tells. An
    empty text stands for the default.
    """
    return Response(CAPABILITIES, headers=AN_HOUR)


OPEN: Final = [capabilities]
