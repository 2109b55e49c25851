"""What was asked for, in the painter's own terms, and what of it cannot be drawn."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from domain.picture import UserDetails
from render_consumers.painting import camera, colours
from render_consumers.painting.body import POSES, Pose
from render_consumers.painting.colours import Colour
from render_consumers.painting.garment import EASE, GarmentLook

GENDERS = {"male": 0.0, "man": 0.0, "female": 1.0, "woman": 1.0}
NEUTRAL_GENDERS = {"", "neutral", "other", "non-binary", "nonbinary", "unspecified"}
HAIRSTYLES = {"short": "short", "bob": "bob", "bald": "bald"}
FACE_SHAPES: dict[str, dict[str, float]] = {"oval": {}, "": {}}
EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {"mouthSmile": 0.10},
    "smile": {"mouthSmile": 0.85, "cheekSquint": 0.5, "eyeSquint": 0.15, "mouthDimple": 0.2},
}
GARMENT: Colour = (0.28, 0.29, 0.31)  # linear light, when none or an unknown one is asked for

T = TypeVar("T")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a picture depends on but the measurements; ``ignored`` names fields."""

    gender: float
    pose: Pose
    skin: Colour
    hair: Colour
    hairstyle: str
    actions: dict[str, float]
    degrees: float
    mode: int
    backdrop: Colour
    garment: Colour
    ease: float
    flat: bool
    ignored: tuple[str, ...]


def understand(details: UserDetails, look: GarmentLook, *, flat: bool = False) -> Order:
    """Every label looked up; an unknown one becomes the default and its field is ignored."""
    ignored: list[str] = []

    def known(field: str, label: str, table: Mapping[str, T], default: str) -> T:
        key = label.strip().lower().replace(" ", "_")
        if key not in table:
            ignored.append(field)
        return table.get(key, table[default])

    gender = known(
        "user_details.gender", details.gender, GENDERS | dict.fromkeys(NEUTRAL_GENDERS, 0.5), ""
    )
    usual = "bob" if gender > 0.5 else "short"
    known("user_details.face_shape", details.face_shape, FACE_SHAPES, "oval")
    tone, mode = details.skin_tone, details.view_mode
    if tone >= len(colours.SKIN):
        tone = colours.DEFAULT_SKIN
        ignored.append("user_details.skin_tone")
    if mode not in camera.FRAMES:
        mode = camera.FULL
        ignored.append("user_details.view_mode")
    garment = colours.named(look.colour) if look.colour.strip() else GARMENT
    if garment is None:
        ignored.append("apparel_details.color")
    return Order(
        gender=gender,
        pose=known("user_details.pose", details.pose, POSES, "i-pose"),
        skin=colours.skin(tone),
        hair=colours.from_hex(details.hair_color),
        hairstyle=known("user_details.hairstyle", details.hairstyle or usual, HAIRSTYLES, usual),
        actions=known("user_details.expression", details.expression, EXPRESSIONS, "neutral"),
        degrees=known("user_details.camera_view", details.camera_view, camera.VIEWS, "front"),
        mode=mode,
        backdrop=colours.from_hex(details.background_color_hex),
        garment=garment or GARMENT,
        ease=known(
            "apparel_details.size", look.size or "m", {k.lower(): v for k, v in EASE.items()}, "m"
        ),
        flat=flat,
        ignored=tuple(ignored),
    )
