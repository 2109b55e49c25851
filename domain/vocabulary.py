"""The words that a picture can be asked for in, and what each of them means to the painter.

What is not here is drawn as the default, and reported as ignored. Case does not matter, and a blank
or a hyphen stands for an underscore.
"""

from typing import Final, NamedTuple

from PIL import ImageColor

Direction = tuple[float, float, float]  # x to the person's left, y to the back, z up


class Arm(NamedTuple):
    """How an arm is held, as on the left side."""

    wrist: Direction  # from the shoulder, in shares of the arm's length
    elbow: Direction  # where the elbow points
    fingers: Direction  # where the hand points
    palm: Direction  # where its palm faces
    curl: float = 1.0  # 0: fingers straight; 1: relaxed
    on_hip: bool = False  # the wrist is where the hand lies on the hip, whatever ``wrist`` says
    folded: bool = False  # the forearm lies across the trunk, however far that stands out


class Leg(NamedTuple):
    """Where a foot stands, as on the left side."""

    out: float  # from below the hip, in shares of the leg's length
    forward: float = 0.0  # likewise
    toes: float = 6.0  # degrees that they point out by
    heel: float = 0.0  # degrees that it is lifted by


class Pose(NamedTuple):
    """How somebody stands; ``bends`` are rotation vectors in degrees, in relation to the parent."""

    left: Arm
    right: Arm
    left_leg: Leg
    right_leg: Leg
    shift: float = 0.0  # of the hips to the left, in shares of the leg's length
    bends: dict[str, Direction] = {}  # noqa: RUF012 - nobody changes it


GENDERS: Final = {  # from 0, male, to 1, female
    **dict.fromkeys(("female", "woman"), 1.0),
    **dict.fromkeys(("male", "man"), 0.0),
    **dict.fromkeys(("neutral", "other", "non-binary", "nonbinary", "unspecified"), 0.5),
}
_LONG = {
    "chin-height-incr": 0.45, "chin-jaw-drop-incr": 0.25, "cheek-volume-incr": -0.4,
    "head-scale-horiz-incr": -0.5, "chin-width-incr": 0.1,
}  # fmt: skip
# Changes of the average face. None of them moves crown or neck, so that no measurement changes.
FACE_SHAPES: Final[dict[str, dict[str, float]]] = {
    "oval": {"cheek-bones-incr": 0.15, "chin-width-incr": -0.25},
    "round": {"cheek-volume-incr": 0.9, "chin-height-incr": -0.7, "chin-width-incr": 0.35,
              "head-fat-incr": 0.55, "cheek-bones-incr": 0.2},
    "square": {"chin-width-incr": 1.0, "chin-bones-incr": 0.8, "chin-height-incr": -0.25,
               "cheek-volume-incr": 0.1, "forehead-temple-incr": 0.8, "head-scale-horiz-incr": 0.2},
    **dict.fromkeys(("long", "oblong", "rectangular"), _LONG),
    "heart": {"chin-width-incr": -1.3, "chin-bones-incr": -1.2, "cheek-bones-incr": 0.6,
              "forehead-temple-incr": 1.2, "cheek-volume-incr": -0.55, "chin-height-incr": 0.25},
    "diamond": {"cheek-bones-incr": 1.2, "forehead-temple-incr": -1.3, "chin-width-incr": -1.0,
                "cheek-volume-incr": -0.7, "chin-height-incr": 0.2},
    "triangle": {"chin-bones-incr": 1.2, "chin-width-incr": 0.5, "cheek-volume-incr": 0.8,
                 "forehead-temple-incr": -1.0, "cheek-bones-incr": -0.8,
                 "head-scale-horiz-incr": -0.3},
}  # fmt: skip
# The ten tones of the Monk scale by their numbers, 1 to 10, as seen in soft daylight (sRGB): the
# scale's own colours, with the blood that its swatches leave out. Who counts from 0 gets 1 there.
SKIN_TONES: Final = (
    "#F3D9C9", "#F3D9C9", "#F0CFB9", "#EDC8A6", "#E0B68F", "#CB9D75",
    "#A97B55", "#8A5C42", "#6C4733", "#523524", "#3C261C",
)  # fmt: skip
_DOWN = Arm((0.16, -0.05, -0.976), (0.35, 1.0, 0.0), (0.05, -0.12, -1.0), (-0.9, 0.45, 0.0))
_SLANTED = Arm((0.62, -0.03, -0.77), (0.2, 1.0, 0.0), (0.60, -0.08, -0.77), (-0.8, 0.25, -0.6))
_LEVEL = Arm((0.992, -0.01, -0.02), (0.0, 1.0, -0.4), (1.0, -0.03, -0.05), (0.0, -0.25, -1.0), 0.6)
_ON_HIP = Arm(
    (0.0, 0.0, -0.7), (1.0, 0.55, 0.0), (-0.08, -0.85, -0.5), (-1.0, 0.05, 0.05), 0.5, on_hip=True
)
_AHEAD = Arm((0.13, -0.40, -0.86), (0.5, 1.0, -0.3), (0.0, -0.55, -0.9), (-1.0, 0.1, 0.0))
_BEHIND = Arm((0.17, 0.30, -0.92), (0.4, 1.0, 0.0), (0.03, 0.15, -1.0), (-1.0, 0.2, 0.0))
_RAISED = Arm((0.60, -0.22, 0.25), (0.8, 0.3, -1.0), (0.25, -0.05, 1.0), (-0.1, -1.0, 0.0), 0.15)
_FOLDED = Arm(
    (-0.42, -0.36, -0.49), (0.9, 0.2, -0.8), (-1.0, 0.15, 0.2), (0.15, 1.0, 0.0), folded=True
)
_FOLDED_OVER = Arm(
    (-0.40, -0.44, -0.43), (0.9, 0.2, -0.8), (-1.0, 0.35, 0.15), (-0.35, 1.0, 0.0), folded=True
)
_EVEN = (Leg(0.045), Leg(0.045))
_STANDING = Pose(_DOWN, _DOWN, *_EVEN)
_CONTRAPPOSTO = Pose(
    _DOWN,
    _DOWN,
    Leg(0.08, 0.10, toes=22.0),
    Leg(-0.035, toes=8.0),
    shift=-0.045,
    bends={
        "root": (0.0, 5.0, 0.0),
        "spine04": (0.0, -4.0, 0.0),
        "spine02": (0.0, -4.0, 0.0),
        "neck02": (0.0, 3.0, -6.0),
    },
)
_WALKING = Pose(
    _BEHIND,
    _AHEAD,
    Leg(-0.03, 0.24, toes=4.0, heel=-12.0),
    Leg(-0.03, -0.24, toes=4.0, heel=28.0),
    bends={"root": (2.0, 0.0, -5.0), "spine03": (0.0, 0.0, 9.0), "neck02": (-2.0, 0.0, -4.0)},
)
POSES: Final = {
    **dict.fromkeys(("i-pose", "standing", "neutral"), _STANDING),
    "a-pose": Pose(_SLANTED, _SLANTED, *_EVEN),
    "t-pose": Pose(_LEVEL, _LEVEL, *_EVEN),
    **dict.fromkeys(("contrapposto", "relaxed"), _CONTRAPPOSTO),
    **dict.fromkeys(("walking", "walk"), _WALKING),
    **dict.fromkeys(("hands_on_hips", "akimbo"), Pose(_ON_HIP, _ON_HIP, *_EVEN)),
    **dict.fromkeys(("waving", "wave"), Pose(_DOWN, _RAISED, *_EVEN)),
    **dict.fromkeys(("arms_crossed", "crossed_arms"), Pose(_FOLDED, _FOLDED_OVER, *_EVEN)),
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
_SMILE = {
    "mouthSmile": 0.80, "cheekSquint": 0.45, "eyeSquint": 0.15, "mouthDimple": 0.2,
    "mouthUpperUp": 0.08, "browInnerUp": 0.10,
}  # fmt: skip
_BIG_SMILE = {
    "mouthSmile": 1.0, "cheekSquint": 0.5, "eyeSquint": 0.1, "mouthUpperUp": 0.45,
    "mouthLowerDown": 0.35, "jawOpen": 0.16, "mouthStretch": 0.15, "browOuterUp": 0.15,
}  # fmt: skip
_SAD = {
    "mouthFrown": 0.75, "browInnerUp": 1.2, "browDown": 0.10, "mouthShrugLower": 0.35,
    "eyeBlink": 0.06, "eyeLookDown": 0.2, "mouthPress": 0.15,
}  # fmt: skip
_ANGRY = {
    "browDown": 1.0, "noseSneer": 0.45, "eyeSquint": 0.35, "eyeWide": 0.2, "mouthPress": 0.55,
    "mouthFrown": 0.40, "mouthRollUpper": 0.15, "jawForward": 0.2,
}  # fmt: skip
_SURPRISED = {
    "browInnerUp": 0.85, "browOuterUp": 0.85, "eyeWide": 0.9, "jawOpen": 0.42, "mouthFunnel": 0.25,
}  # fmt: skip
_WINK = {
    "eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.7, "browDownLeft": 0.2, "mouthSmileLeft": 0.75,
    "mouthSmileRight": 0.45, "mouthDimpleLeft": 0.3, "browOuterUpRight": 0.25,
}  # fmt: skip
_KISS = {
    "mouthPucker": 1.0, "mouthFunnel": 0.15, "eyeBlink": 0.12, "browInnerUp": 0.25,
    "cheekSquint": 0.15,
}  # fmt: skip
# Facial actions and their strength: of both sides, unless the action names one.
EXPRESSIONS: Final[dict[str, dict[str, float]]] = {
    "neutral": {"mouthSmile": 0.18, "eyeWide": 0.15, "browInnerUp": 0.12},
    **dict.fromkeys(("smile", "smiling", "happy"), _SMILE),
    **dict.fromkeys(("big_smile", "laugh", "laughing"), _BIG_SMILE),
    **dict.fromkeys(("sad", "unhappy"), _SAD),
    **dict.fromkeys(("angry", "anger"), _ANGRY),
    **dict.fromkeys(("surprised", "surprise"), _SURPRISED),
    **dict.fromkeys(("wink", "winking"), _WINK),
    **dict.fromkeys(("kiss", "kissing"), _KISS),
}
# Sizes by letter, the smallest first; brands' numbers, pairs and inches are drawn as well.
SIZES: Final = ("XXS", "XS", "S", "M", "L", "XL", "XXL", "3XL", "4XL")
COLORS: Final = ImageColor.colormap  # the names of CSS; colours in numbers are drawn as well
