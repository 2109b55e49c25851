"""What was asked for, in the painter's own terms, and what of it cannot be drawn."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from domain import vocabulary
from domain.picture import UserDetails
from domain.vocabulary import Pose
from render_consumers.painting.body.look import iris
from render_consumers.painting.clothes import size_chart
from render_consumers.painting.clothes.outfit import GarmentLook, Outfit, Piece, outfit
from render_consumers.painting.picture import colours
from render_consumers.painting.picture.colours import Colour

HAIRSTYLES = {word: style.name for style in vocabulary.HAIRSTYLES for word in style.words()}
GARMENT: Colour = (0.28, 0.29, 0.31)  # linear light, when none or an unknown one is asked for
# What goes with the garment: a plain top, and plain trousers.
PLAIN_TOP: Colour = (0.62, 0.61, 0.59)
PLAIN_TROUSERS: Colour = (0.022, 0.026, 0.038)

T = TypeVar("T")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a picture depends on but the measurements; ``ignored`` names fields."""

    gender: float
    pose: Pose
    skin: Colour
    hair: Colour
    iris: Colour
    hairstyle: str
    face: dict[str, float]
    actions: dict[str, float]
    degrees: float
    mode: int
    backdrop: Colour
    garment: Colour
    outfit: Outfit
    flat: bool
    fit_map: bool
    ignored: tuple[str, ...]

    def colour_of(self, piece: Piece) -> Colour:
        """The garment's colour, or what is plain with it."""
        if not piece.plain:
            return self.garment
        return PLAIN_TOP if piece == self.outfit.top else PLAIN_TROUSERS


def understand(
    details: UserDetails, look: GarmentLook, *, flat: bool = False, fit_map: bool = False
) -> Order:
    """Every label looked up in the vocabulary.

    An unknown one becomes the default, and its field is ignored; an empty one asks for nothing.
    """
    ignored: list[str] = []

    def known(field: str, label: str, table: Mapping[str, T], default: str) -> T:
        words = {_plain(word): value for word, value in table.items()}
        if _plain(label) and _plain(label) not in words:
            ignored.append(field)
        return words.get(_plain(label), table[default])

    gender = known("user_details.gender", details.gender, vocabulary.GENDERS, "neutral")
    usual = "bob" if gender > 0.5 else "short"
    tone, mode = details.skin_tone, details.view_mode
    if tone >= len(vocabulary.SKIN_TONES):
        tone = colours.DEFAULT_SKIN
        ignored.append("user_details.skin_tone")
    if mode not in vocabulary.VIEW_MODES:
        mode = vocabulary.FULL
        ignored.append("user_details.view_mode")
    garment = colours.named(look.colour) if look.colour.strip() else GARMENT
    if garment is None:
        ignored.append("apparel_details.color")
    worn = outfit(look, gender)
    ignored += [
        f"apparel_details.{piece.field}"
        for piece in worn.pieces
        if piece.asked and not size_chart.known(piece.kind, piece.size, piece.gender)
    ]
    skin, hair = colours.skin(tone), colours.from_hex(details.hair_color)
    return Order(
        gender=gender,
        pose=known("user_details.pose", details.pose, vocabulary.POSES, "i-pose"),
        skin=skin,
        hair=hair,
        iris=iris(skin, hair),
        face=known("user_details.face_shape", details.face_shape, vocabulary.FACE_SHAPES, "oval"),
        hairstyle=known("user_details.hairstyle", details.hairstyle, HAIRSTYLES, usual),
        actions=known(
            "user_details.expression", details.expression, vocabulary.EXPRESSIONS, "neutral"
        ),
        degrees=known(
            "user_details.camera_view", details.camera_view, vocabulary.CAMERA_VIEWS, "front"
        ),
        mode=mode,
        backdrop=colours.from_hex(details.background_color_hex),
        garment=garment or GARMENT,
        outfit=worn,
        flat=flat,
        fit_map=fit_map,
        ignored=tuple(ignored),
    )


def _plain(label: str) -> str:
    return label.strip().lower().replace(" ", "_").replace("-", "_")
