"""Contact sheets: everything that can be drawn, side by side, from the tables of the vocabulary."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from PIL import Image, ImageDraw, ImageFont

from domain import vocabulary
from domain.measurements import Measurements
from domain.picture import ApparelDetails, UserDetails
from domain.vocabulary import FULL, PORTRAIT, UPPER
from infra.process.progress import Progress
from render_consumers.offline.still import Asked, drawn
from render_consumers.painting.painter import Painter

CELL: Final = (192, 256)  # width and height in pixels
CAPTION, TITLE, GAP = 22, 46, 8  # pixels
PAPER, INK, FAINT = "#F4F1EC", "#22201D", "#6B655C"
QUALITY: Final = 86
WOMAN: Final = UserDetails(
    background_color_hex="F4F1ECFF",
    expression="Smile",
    real_world_measurements=Measurements(height=170, bust=90, waist=70, hips=97),
)
MAN: Final = msgspec.structs.replace(
    WOMAN,
    gender="Male",
    real_world_measurements=Measurements(height=181, bust=99, waist=84, hips=98),
)
HOODIE: Final = ApparelDetails(item_id="Hoodie", color="SteelBlue", size="M")
# Names as catalogues have them; each is the plainest of its kind.
GARMENTS: Final = (
    *("T-Shirt", "Long sleeve", "Shirt", "Polo", "Hoodie", "Jacket", "Sweater", "Tank top"),
    *("Sports bra", "Dress", "Skirt", "Shorts", "Leggings", "Trousers", "Jeans"),
)
WOMENS: Final = ("Sports bra", "Dress", "Skirt")
BODIES: Final[Mapping[str, tuple[UserDetails, Measurements]]] = {
    "petite": (WOMAN, Measurements(height=155, bust=80, waist=61, hips=86)),
    "slim": (WOMAN, Measurements(height=172, bust=84, waist=64, hips=90)),
    "average": (WOMAN, Measurements(height=168, bust=92, waist=74, hips=100)),
    "curvy": (WOMAN, Measurements(height=165, bust=108, waist=84, hips=116)),
    "large": (WOMAN, Measurements(height=170, bust=124, waist=110, hips=128)),
    "small": (MAN, Measurements(height=166, bust=90, waist=76, hips=91)),
    "lean": (MAN, Measurements(height=184, bust=94, waist=77, hips=93)),
    "middling": (MAN, Measurements(height=179, bust=101, waist=88, hips=100)),
    "athletic": (MAN, Measurements(height=183, bust=112, waist=84, hips=102, muscle=0.9)),
    "heavy": (MAN, Measurements(height=178, bust=124, waist=122, hips=118)),
}
VIEW_NAMES: Final = {FULL: "full body", UPPER: "upper body", PORTRAIT: "face"}


class Cell(NamedTuple):
    """One picture of a sheet and what stands below it."""

    caption: str
    asked: Asked


class Sheet(NamedTuple):
    """A title, so many cells in a row, and the cells."""

    title: str
    columns: int
    cells: list[Cell]


def main() -> None:
    """Draw the sheets that are named into a folder: `atelier contact-sheet` starts this."""
    folder, *names = Path(sys.argv[1]), *sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    with Progress() as progress:
        progress.step("loading the body model")
        painter = Painter()
        for name in names:
            path = folder / f"{name}.jpg"
            paper = laid_out(painter, SHEETS[name](), progress.step)
            paper.save(path, "JPEG", quality=QUALITY, optimize=True)
            print(path, flush=True)


def laid_out(painter: Painter, sheet: Sheet, told: Callable[[str], object]) -> Image.Image:
    """The sheet as one picture."""
    rows = -(-len(sheet.cells) // sheet.columns)
    width, height = CELL[0] + GAP, CELL[1] + CAPTION + GAP
    paper = Image.new("RGB", (sheet.columns * width + GAP, TITLE + rows * height), PAPER)
    pen = ImageDraw.Draw(paper)
    pen.text((2 * GAP, TITLE / 2), sheet.title, INK, ImageFont.load_default(22), "lm")
    for number, cell in enumerate(sheet.cells):
        told(f"{sheet.title}: {number + 1} of {len(sheet.cells)}, {cell.caption}")
        x = GAP + number % sheet.columns * width
        y = TITLE + number // sheet.columns * height
        paper.paste(drawn(painter, cell.asked, CELL)[0], (x, y))
        middle = (x + CELL[0] / 2, y + CELL[1] + CAPTION / 2)
        pen.text(middle, cell.caption, FAINT, ImageFont.load_default(13), "mm")
    return paper


def bodies() -> Sheet:
    """Ten bodies in the same clothes."""
    cells = [
        Cell(f"{name}, {of.height:.0f} cm", _asked(who, real_world_measurements=of))
        for name, (who, of) in BODIES.items()
    ]
    return Sheet("Bodies", 5, cells)


def faces() -> Sheet:
    """Every face shape, as a woman and as a man."""
    shapes = distinct(vocabulary.FACE_SHAPES)
    cells = [
        Cell(shape, _asked(who, face_shape=shape, view_mode=PORTRAIT, expression="Neutral"))
        for who in (WOMAN, MAN)
        for shape in shapes
    ]
    return Sheet("Face shapes", len(shapes), cells)


def expressions() -> Sheet:
    """Every expression."""
    cells = [
        Cell(name, _asked(WOMAN, expression=name, view_mode=PORTRAIT))
        for name in distinct(vocabulary.EXPRESSIONS)
    ]
    return Sheet("Expressions", 4, cells)


def hair() -> Sheet:
    """Every hairstyle; women and men take turns."""
    colours = ("3B2A20FF", "6B4F30FF", "1C1715FF", "B08850FF", "8A3B1EFF")
    cells = [
        Cell(
            name,
            _asked(
                (WOMAN, MAN)[number % 2],
                hairstyle=name,
                hair_color=colours[number % len(colours)],
                view_mode=PORTRAIT,
                camera_view="three_quarter",
            ),
        )
        for number, name in enumerate(style.name for style in vocabulary.HAIRSTYLES)
    ]
    return Sheet("Hair", 8, cells)


def garments() -> Sheet:
    """Every garment, on a woman and on a man."""
    colours = ("White", "Navy", "SteelBlue", "DarkOliveGreen", "Crimson", "DimGray", "Goldenrod")
    cells = [
        Cell(name, _dressed(who, item_id=name, color=colours[number % len(colours)]))
        for who in (WOMAN, MAN)
        for number, name in enumerate(GARMENTS)
        if who is WOMAN or name not in WOMENS
    ]
    return Sheet("Garments", 9, cells)


def sizes() -> Sheet:
    """Every size on one body, and one size on five."""
    on_one = [Cell(f"{size} on one body", _dressed(WOMAN, size=size)) for size in vocabulary.SIZES]
    on_many = [
        Cell(f"M, {name}", _asked(who, real_world_measurements=of))
        for name, (who, of) in BODIES.items()
        if who is WOMAN
    ]
    return Sheet("Sizes", max(len(on_one), len(on_many)), on_one + on_many)


def poses() -> Sheet:
    """Every pose, from the front and from the side."""
    names = distinct(vocabulary.POSES)
    cells = [
        Cell(f"{name}{told}", _asked(who, pose=name, camera_view=view))
        for view, told, who in (("front", "", WOMAN), ("three_quarter", ", three-quarter", MAN))
        for name in names
    ]
    return Sheet("Poses", len(names), cells)


def views() -> Sheet:
    """Every camera view in every view mode."""
    names = distinct(vocabulary.CAMERA_VIEWS)
    cells = [
        Cell(f"{name}, {VIEW_NAMES[mode]}", _asked(WOMAN, camera_view=name, view_mode=mode))
        for mode in vocabulary.VIEW_MODES
        for name in names
    ]
    return Sheet("Views", len(names), cells)


def skin_tones() -> Sheet:
    """Every skin tone."""
    cells = [
        Cell(f"{tone}", _asked(who, skin_tone=tone, view_mode=PORTRAIT))
        for who in (WOMAN, MAN)
        for tone in range(len(vocabulary.SKIN_TONES))
    ]
    return Sheet("Skin tones", len(vocabulary.SKIN_TONES), cells)


SHEETS: Final[dict[str, Callable[[], Sheet]]] = {
    "bodies": bodies,
    "faces": faces,
    "expressions": expressions,
    "hair": hair,
    "garments": garments,
    "sizes": sizes,
    "poses": poses,
    "views": views,
    "skin-tones": skin_tones,
}


def distinct(table: Mapping[str, Any]) -> list[str]:
    """The words of a table but for those that mean the same as one before."""
    found: dict[str, Any] = {}
    for word, meaning in table.items():
        if meaning not in found.values():
            found[word] = meaning
    return list(found)


def _asked(who: UserDetails, **details: Any) -> Asked:
    return Asked(user_details=msgspec.structs.replace(who, **details), apparel_details=HOODIE)


def _dressed(who: UserDetails, **apparel: Any) -> Asked:
    worn = msgspec.structs.replace(HOODIE, **apparel)
    return Asked(user_details=who, apparel_details=worn)


if __name__ == "__main__":
    main()
