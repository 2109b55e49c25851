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


class Hairstyle(NamedTuple):
    """A haircut by its number, its name and what else people call it."""

    number: str
    name: str
    synonyms: tuple[str, ...] = ()

    def words(self) -> tuple[str, ...]:
        return (self.name, self.number, *self.synonyms)


# Numbers and names are stored in events for ever: new ones go to the end.
HAIRSTYLES: Final = (
    Hairstyle("0", "bald", ("shaved", "hairless")),
    Hairstyle("1", "stubble", ("bald_with_stubble",)),
    Hairstyle("2", "buzz", ("buzz_cut",)),
    Hairstyle("3", "crew", ("crew_cut",)),
    Hairstyle("4", "short", ("short_hair",)),
    Hairstyle("5", "side_part", ("side_parting",)),
    Hairstyle("6", "quiff"),
    Hairstyle("7", "pompadour"),
    Hairstyle("8", "slick_back", ("slicked_back",)),
    Hairstyle("9", "undercut"),
    Hairstyle("10", "french_crop", ("crop", "caesar")),
    Hairstyle("11", "spiky", ("spikes",)),
    Hairstyle("12", "faux_hawk", ("mohawk",)),
    Hairstyle("13", "curtains", ("middle_part",)),
    Hairstyle("14", "mullet"),
    Hairstyle("15", "short_curls", ("short_curly",)),
    Hairstyle("16", "curls", ("curly",)),
    Hairstyle("17", "afro"),
    Hairstyle("18", "dreads", ("dreadlocks", "locs")),
    Hairstyle("19", "top_knot", ("man_bun",)),
    Hairstyle("20", "pixie", ("pixie_cut",)),
    Hairstyle("21", "bob"),
    Hairstyle("22", "bob_fringe", ("bob_with_bangs",)),
    Hairstyle("23", "lob", ("long_bob",)),
    Hairstyle("24", "shag"),
    Hairstyle("25", "layered", ("layers",)),
    Hairstyle("26", "long_straight", ("straight",)),
    Hairstyle("27", "fringe", ("bangs", "long_fringe")),
    Hairstyle("28", "side_swept"),
    Hairstyle("29", "long_curly"),
    Hairstyle("30", "long_wavy", ("wavy", "long", "long_hair")),
    Hairstyle("31", "half_up", ("half_up_half_down",)),
    Hairstyle("32", "ponytail"),
    Hairstyle("33", "high_ponytail"),
    Hairstyle("34", "pigtails", ("bunches",)),
    Hairstyle("35", "braid", ("plait", "single_braid")),
    Hairstyle("36", "braids", ("plaits", "two_braids")),
    Hairstyle("37", "box_braids"),
    Hairstyle("38", "bun"),
    Hairstyle("39", "low_bun", ("chignon",)),
)
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
VIEW_MODES: Final = {FULL: (-0.065, 1.055), UPPER: (0.44, 1.045), PORTRAIT: (0.76, 1.055)}
EXPRESSIONS: Final = {  # facial actions and their strength
    "neutral": {"mouthSmile": 0.10},
    "smile": {"mouthSmile": 0.85, "cheekSquint": 0.5, "eyeSquint": 0.15, "mouthDimple": 0.2},
}
# How far a garment of a size keeps off the body, in metres.
SIZES: Final = {"XS": 0.003, "S": 0.006, "M": 0.010, "L": 0.014, "XL": 0.020, "XXL": 0.027}
COLORS: Final = ImageColor.colormap  # the names of CSS; colours in numbers are drawn as well
