"""The words that a picture can be asked for in, and what each of them means to the painter.

What is not here is drawn as the default, and reported as ignored. Case does not matter, and a blank
stands for an underscore.
"""

from typing import Final, NamedTuple

from PIL import ImageColor

Direction = tuple[float, float, float]  # x to the person's left, y to the back, z up


class Arms(NamedTuple):
    """Where upper and lower arm of the left side point in a pose."""

    upper: Direction
    lower: Direction


GENDERS: Final = {  # from 0, male, to 1, female
    **dict.fromkeys(("female", "woman"), 1.0),
    **dict.fromkeys(("male", "man"), 0.0),
    **dict.fromkeys(("neutral", "other", "non-binary", "nonbinary", "unspecified"), 0.5),
}
FACE_SHAPES: Final[dict[str, dict[str, float]]] = {"oval": {}}  # changes of the average face
# Skin from lightest to darkest, after the Monk scale, as seen in soft daylight (sRGB).
SKIN_TONES: Final = (
    "#FBE3D3", "#F6D6C0", "#F0C9AE", "#E8BA98", "#DCA782", "#C98F69",
    "#AE7850", "#8E5D3D", "#6F462D", "#52321F", "#3B2318",
)  # fmt: skip
POSES: Final = {
    "i-pose": Arms((0.21, 0.03, -1.0), (0.12, -0.12, -1.0)),
    "a-pose": Arms((0.8, 0.02, -1.0), (0.75, -0.06, -1.0)),
    "t-pose": Arms((1.0, 0.02, -0.02), (1.0, -0.02, -0.02)),
}
HAIRSTYLES: Final = ("short", "bob", "bald")
CAMERA_VIEWS: Final = {  # degrees that the person is turned by, anticlockwise from above
    "front": 0.0,
    "back": 180.0,
    "left": -90.0,
    "right": 90.0,
    "side": 90.0,
    "three_quarter": 32.0,
    "three_quarter_left": -32.0,
    "three_quarter_right": 32.0,
}
FULL, UPPER, PORTRAIT = 0, 1, 2
# From where to where of the body's height a mode shows, in shares of that height.
VIEW_MODES: Final = {FULL: (-0.065, 1.055), UPPER: (0.44, 1.045), PORTRAIT: (0.76, 1.035)}
EXPRESSIONS: Final = {  # facial actions and their strength
    "neutral": {"mouthSmile": 0.10},
    "smile": {"mouthSmile": 0.85, "cheekSquint": 0.5, "eyeSquint": 0.15, "mouthDimple": 0.2},
}
# Sizes by letter, the smallest first; brands' numbers, pairs and inches are drawn as well.
SIZES: Final = ("XXS", "XS", "S", "M", "L", "XL", "XXL", "3XL", "4XL")
COLORS: Final = ImageColor.colormap  # the names of CSS; colours in numbers are drawn as well
